//! Log lines: one JSON object each, without secrets, addresses or URLs.
//!
//! Every answer of 500 or more is logged, and one in [`EVERY`] of the others. The platform's sampling is not used,
//! because it happens before a request runs and ignores its outcome.

use serde::Serialize;
use shared::ids::TenantId;

/// One in this many successful answers is logged.
pub const EVERY: u32 = 100;
/// Characters of a cause at most.
const DETAIL: usize = 300;
/// A run of so many characters that may stand in a token, with a digit among them, may be a secret.
const SECRET: usize = 20;

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It went well.
    Info,
    /// An operator should see it.
    Error,
}

/// An answer, as it is logged.
#[derive(Serialize)]
pub struct AnswerLine<'a> {
    /// Derived from the status.
    pub level: Level,
    /// `answered`.
    pub message: &'static str,
    /// A standard HTTP method, else `other`.
    pub method: &'static str,
    /// The entry of the route table, without the ids that stood in the path.
    pub route: &'a str,
    /// The status.
    pub status: u16,
    /// The tenant, if known.
    pub tenant: Option<TenantId>,
    /// The request's id, as in the answer.
    pub request_id: &'a str,
}

/// What came of a CAPTCHA, as it is logged.
#[derive(Serialize)]
pub struct CaptchaLine {
    /// Whether the service answered.
    pub level: Level,
    /// `captcha`.
    pub message: &'static str,
    /// `solved`, `unsolved`, `missing` or `failed`.
    pub outcome: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// Where it failed, whether the request went on: `allow` or `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<&'static str>,
    /// The tenant.
    pub tenant: TenantId,
}

/// Something that an operator should see.
#[derive(Serialize)]
struct FaultLine<'a> {
    level: Level,
    message: &'a str,
    detail: String,
}

/// The level for answers with this status.
#[must_use]
pub fn level(status: u16) -> Level {
    if status >= 500 { Level::Error } else { Level::Info }
}

/// The method for the log: a client may send any text.
#[must_use]
pub fn method(method: &str) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|name| *name == method).unwrap_or("other")
}

/// A line's text.
pub fn line(line: &impl Serialize) -> String {
    // The types of this file always serialise.
    serde_json::to_string(line).unwrap_or_default()
}

/// The line of a failure, with the text of its cause.
#[must_use]
pub fn fault(message: &str, cause: &str) -> String {
    line(&FaultLine { level: Level::Error, message, detail: redacted(cause) })
}

/// The first line of a cause (the rest is a JavaScript stack), without text that may be a secret, an address or a
/// URL, because runtimes quote their input.
fn redacted(cause: &str) -> String {
    let words = cause.lines().next().unwrap_or_default().split_whitespace();
    let words: Vec<&str> = words.map(|word| if is_safe(word) { word } else { "<redacted>" }).collect();
    words.join(" ").chars().take(DETAIL).collect()
}

fn is_safe(word: &str) -> bool {
    let inner = word.trim_matches(|c: char| c.is_ascii_punctuation());
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    let with_port = inner.rsplit_once(':').is_some_and(|(host, _)| is_address(host.trim_matches(['[', ']'])));
    let of_token = |c: char| c.is_ascii_alphanumeric() || "-_+=".contains(c);
    let secret = word.split(|c: char| !of_token(c)).any(|run| {
        run.len() >= SECRET && run.bytes().any(|byte| byte.is_ascii_digit()) || run.len() >= 2 * SECRET
    });
    !(secret
        || with_port
        || is_address(inner)
        || word.contains("://")
        || word.contains("::")
        || word.contains(['@', '?', '&', '%'])
        || word.to_ascii_lowercase().contains("bearer"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn causes_keep_their_words_and_lose_what_they_quote() {
        for (cause, logged) in [
            ("D1_ERROR: Network connection lost.", "D1_ERROR: Network connection lost."),
            (
                "SQLITE_CONSTRAINT_PRIMARYKEY: failed\n    at stack (edge.js:1)",
                "SQLITE_CONSTRAINT_PRIMARYKEY: failed",
            ),
            ("KV GET failed: 503 Service Unavailable", "KV GET failed: 503 Service Unavailable"),
            ("fetch https://control.example/api/?token=abc failed", "fetch <redacted> failed"),
            ("cannot connect to 192.0.2.7:443", "cannot connect to <redacted>"),
            ("from [2001:db8::1]:443, refused", "from <redacted> refused"),
            ("from (192.0.2.7)", "from <redacted>"),
            ("no such user ada@example.com", "no such user <redacted>"),
            ("/api/user/?search=ada", "<redacted>"),
            (
                "Invalid header value: access_token=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl;",
                "Invalid header value: <redacted>",
            ),
            ("Authorization: Bearer x", "Authorization: <redacted> x"),
        ] {
            let line: serde_json::Value = serde_json::from_str(&fault("a fault", cause)).unwrap();
            assert_eq!(line["detail"], logged, "{cause}");
        }
    }

    #[test]
    fn a_cause_is_short() {
        assert!(redacted(&"word ".repeat(1000)).len() <= DETAIL);
    }

    #[test]
    fn a_method_is_one_of_https_own() {
        assert_eq!((method("PATCH"), method("ada@example.com")), ("PATCH", "other"));
    }

    proptest! {
        #[test]
        fn no_address_token_or_query_is_logged(
            before in "[a-z ]{0,12}",
            v4: std::net::Ipv4Addr,
            v6: std::net::Ipv6Addr,
            token in "[A-Za-z0-9_-]{10}[0-9][A-Za-z0-9_-]{10,40}",
            query in "[a-z]{3,8}=[a-z]{3,8}",
        ) {
            for secret in [v4.to_string(), v6.to_string(), token, format!("?{query}"), format!("a@{query}")] {
                let line = fault("a fault", &format!("{before} {secret}: failed"));
                prop_assert!(!line.contains(&secret), "{line}");
            }
        }

        #[test]
        fn any_cause_is_one_line_of_json(cause: String) {
            let line = fault("a fault", &cause);
            prop_assert!(!line.contains('\n'));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        }
    }
}
