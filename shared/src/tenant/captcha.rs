//! The CAPTCHA of a tenant: when a client has to solve one, which service says whether it did, and what holds where that
//! service does not answer. The service speaks the protocol of Cloudflare Turnstile's `siteverify`, which hCaptcha and
//! reCAPTCHA speak, too.
//!
//! What an answer of the service is worth is judged here; the edge asks.

use std::fmt;

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Invalid;
use crate::contract::limits::{
    CAPTCHA_AFTER, CAPTCHA_AGE_SECS, CAPTCHA_HOSTS, CAPTCHA_TIMEOUT_MAX_MS, CAPTCHA_TIMEOUT_MIN_MS,
    CAPTCHA_TIMEOUT_MS, CAPTCHA_TOKEN_BYTES, CLOCK_AHEAD_SECS, PAGE_URL_BYTES, PAIR_ATTEMPTS,
};
use crate::ids::HostName;

/// Cloudflare's service.
const TURNSTILE: &str = "https://challenges.cloudflare.com/turnstile/v0/siteverify";
/// The services that a tenant's own administrators may name. Another URL is the platform's to set: the edge sends requests
/// there.
pub const SERVICES: [&str; 4] = [
    TURNSTILE,
    "https://api.hcaptcha.com/siteverify",
    "https://www.google.com/recaptcha/api/siteverify",
    "https://www.recaptcha.net/recaptcha/api/siteverify",
];
/// Longest site key, secret and action, in bytes.
const TEXT_BYTES: usize = 256;

/// The URL of a service: `https`, or `http` on this machine, for development.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifyUrl(String);

impl VerifyUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// Another scheme, no host, a user, a fragment, or anything that a URL writes otherwise (RFC 3986, section 2).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("URL of a CAPTCHA service");
        let (scheme, rest) = text.split_once("://").ok_or(invalid)?;
        let (authority, path) = rest.split_once('/').ok_or(invalid)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_local = matches!(host, "localhost" | "127.0.0.1");
        let scheme_holds = scheme == "https" || scheme == "http" && is_local;
        let host_holds = is_local || HostName::parse(host).is_ok();
        let port_holds = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
        let holds = scheme_holds && host_holds && port_holds && path.bytes().all(is_plain);
        if holds && text.len() <= PAGE_URL_BYTES { Ok(Self(text.to_owned())) } else { Err(invalid) }
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of [`SERVICES`].
    #[must_use]
    pub fn is_listed(&self) -> bool {
        SERVICES.contains(&self.as_str())
    }
}

impl Default for VerifyUrl {
    fn default() -> Self {
        Self(String::from(TURNSTILE))
    }
}

impl fmt::Display for VerifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for VerifyUrl {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<VerifyUrl> for String {
    fn from(url: VerifyUrl) -> Self {
        url.0
    }
}

/// At which sign-ins a CAPTCHA is asked for. A word of a later release reads as the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CaptchaDemand {
    /// At those before which many passwords were wrong: for the account, from the network, or at the tenant.
    #[default]
    Suspicious,
    /// At every one.
    #[serde(other)]
    Always,
}

impl CaptchaDemand {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspicious => "suspicious",
            Self::Always => "always",
        }
    }
}

/// What holds where the service does not answer, or not as it should. A word of a later release reads as the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OnFailure {
    /// The request goes on as if the CAPTCHA had been solved. Every other limit of sign-ins stands.
    #[default]
    Allow,
    /// The request is refused with 503.
    #[serde(other)]
    Refuse,
}

impl OnFailure {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
        }
    }
}

/// All but the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptchaPolicy {
    /// The widget's key: clients get it with the refusal.
    pub site_key: String,
    /// Where the edge asks.
    #[serde(default)]
    pub verify_url: VerifyUrl,
    /// At which sign-ins it is asked for.
    #[serde(default)]
    pub asked: CaptchaDemand,
    /// With [`CaptchaDemand::Suspicious`]: after how many wrong passwords for one account from one network. Of an account from all
    /// unknown networks together, of a network and of the tenant, after as many times more as their limits are above the
    /// limit of that.
    #[serde(default = "after")]
    pub after: u64,
    /// Whether registrations, password resets and links once more are asked for one, too.
    #[serde(default)]
    pub forms: bool,
    /// How long the service may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// What holds where it does not answer.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The hosts on whose pages the widget may have been solved; empty: those that the service allows.
    #[serde(default)]
    pub hostnames: Vec<HostName>,
    /// What the widget must have as its action; empty: anything.
    #[serde(default)]
    pub action: String,
}

fn after() -> u64 {
    CAPTCHA_AFTER
}

fn timeout_ms() -> u64 {
    CAPTCHA_TIMEOUT_MS
}

/// The CAPTCHA in a tenant's document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captcha {
    /// All but the secret.
    #[serde(flatten)]
    pub policy: CaptchaPolicy,
    /// The secret, sealed to the edge and to [`CaptchaPolicy::verify_url`]: it opens for no other service.
    pub secret: String,
}

/// Whether a text can be a site key or a secret: printable and without blanks.
fn is_key(text: &str) -> bool {
    (1..=TEXT_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl CaptchaPolicy {
    /// What does not hold, by field.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut fault = |field, message: String| faults.push((field, message));
        if !is_key(&self.site_key) {
            fault("site_key", String::from(KEY_WORDS));
        }
        for (name, value, [least, greatest]) in [
            ("after", self.after, [1, PAIR_ATTEMPTS]),
            ("timeout_ms", self.timeout_ms, [CAPTCHA_TIMEOUT_MIN_MS, CAPTCHA_TIMEOUT_MAX_MS]),
        ] {
            if value < least {
                fault(name, format!("Ensure this value is greater than or equal to {least}."));
            } else if value > greatest {
                fault(name, format!("Ensure this value is less than or equal to {greatest}."));
            }
        }
        if self.hostnames.len() > CAPTCHA_HOSTS {
            fault("hostnames", format!("Ensure this field has no more than {CAPTCHA_HOSTS} elements."));
        }
        if !self.action.is_empty() && !is_key(&self.action) {
            fault("action", String::from(KEY_WORDS));
        }
        faults
    }

    /// Whether `count` wrong passwords are as many as a CAPTCHA is asked for after, where `free` of them are before a wait.
    #[must_use]
    pub fn is_reached(&self, count: u64, free: u64) -> bool {
        count >= free.saturating_mul(self.after) / PAIR_ATTEMPTS
    }
}

/// What is wrong with a secret.
///
/// # Errors
/// The words for its field.
pub fn check_secret(secret: &str) -> Result<(), String> {
    if is_key(secret) { Ok(()) } else { Err(String::from(KEY_WORDS)) }
}

const KEY_WORDS: &str = "Enter 1 to 256 printable characters without blanks.";

/// Whether a text can be what a widget gave. The service is not asked about anything else: what looks like an attack may be
/// refused by what stands in front of the service, which must not look like a failure of the service.
#[must_use]
pub fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+=:".contains(&byte);
    (1..=CAPTCHA_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

/// What an answer of the service is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The CAPTCHA was solved.
    Solved,
    /// It was not, or elsewhere, for something else, or too long ago.
    Unsolved,
    /// The answer says nothing of the client: why.
    Failed(&'static str),
}

/// The codes of an answer that are about the tenant or the service, not about the client.
const NOT_OF_THE_CLIENT: [&str; 4] =
    ["missing-input-secret", "invalid-input-secret", "sitekey-secret-mismatch", "internal-error"];

/// Judges the answer of a service at `now_secs`.
#[must_use]
pub fn judge(policy: &CaptchaPolicy, status: u16, body: &[u8], now_secs: i64) -> Verdict {
    // Services answer what they do not accept with 200 or 400, in JSON alike.
    if !matches!(status, 200 | 400..=499) {
        return Verdict::Failed("status");
    }
    let Ok(Value::Object(answer)) = serde_json::from_slice(body) else { return Verdict::Failed("no JSON") };
    let codes = answer.get("error-codes").and_then(Value::as_array);
    let not_of_the_client = || {
        let codes = codes.into_iter().flatten().filter_map(Value::as_str);
        codes.into_iter().find_map(|code| NOT_OF_THE_CLIENT.into_iter().find(|known| *known == code))
    };
    match answer.get("success") {
        Some(Value::Bool(true)) if status == 200 => {}
        Some(Value::Bool(false)) => return not_of_the_client().map_or(Verdict::Unsolved, Verdict::Failed),
        Some(_) | None => return Verdict::Failed("no success"),
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let host_holds = policy.hostnames.is_empty()
        || text("hostname").is_some_and(|host| {
            policy.hostnames.iter().any(|allowed| allowed.as_str().eq_ignore_ascii_case(host))
        });
    let action_holds = policy.action.is_empty() || text("action") == Some(policy.action.as_str());
    let is_young = match text("challenge_ts").map(DateTime::parse_from_rfc3339) {
        Some(Ok(at)) => (-CLOCK_AHEAD_SECS..=CAPTCHA_AGE_SECS).contains(&(now_secs - at.timestamp())),
        Some(Err(_)) => return Verdict::Failed("challenge_ts"),
        // The service looks at the age, too; one that does not say it has done so.
        None => true,
    };
    if host_holds && action_holds && is_young { Verdict::Solved } else { Verdict::Unsolved }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(crate) fn policy() -> CaptchaPolicy {
        serde_json::from_value(json!({"site_key": "0x4AAAAAAADnPIDROrmt1Wwj"})).unwrap()
    }

    #[test]
    fn a_service_is_asked_by_https_or_on_this_machine() {
        for good in SERVICES.into_iter().chain([
            "https://captcha.acme.example:8443/verify?v=1",
            "http://127.0.0.1:8080/siteverify",
            "http://localhost/siteverify",
        ]) {
            assert_eq!(VerifyUrl::parse(good).map(String::from).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "https://",
            "https://acme.example",
            "http://acme.example/verify",
            "http://10.0.0.1/verify",
            "https://u:p@acme.example/verify",
            "https://acme.example:0/verify",
            "https://acme.example:x/verify",
            "https://Acme.example/verify",
            "https://acme.example/ver ify",
            "https://acme.example/verify#x",
            "ftp://acme.example/verify",
            "http://127.0.0.1.acme.example/verify",
            "http://localhost@acme.example/verify",
        ] {
            assert!(VerifyUrl::parse(bad).is_err(), "{bad}");
        }
        let listed = |text: &str| VerifyUrl::parse(text).unwrap().is_listed();
        assert!(SERVICES.into_iter().all(listed) && !listed("https://challenges.cloudflare.com/"));
        assert_eq!(VerifyUrl::parse(TURNSTILE), Ok(VerifyUrl::default()));
    }

    #[test]
    fn what_is_left_out_has_a_default_and_words_of_later_releases_are_strict() {
        let read = policy();
        let of = (read.asked, read.on_failure, read.after, read.timeout_ms, read.forms);
        assert_eq!(of, (CaptchaDemand::Suspicious, OnFailure::Allow, 3, 3000, false));
        assert_eq!((read.verify_url.as_str(), read.faults()), (TURNSTILE, vec![]));
        let later = json!({"site_key": "k", "asked": "by the moon", "on_failure": "wonder", "more": 1});
        let read: CaptchaPolicy = serde_json::from_value(later).unwrap();
        assert_eq!((read.asked, read.on_failure), (CaptchaDemand::Always, OnFailure::Refuse));
        let captcha = Captcha { policy: policy(), secret: String::from("sealed") };
        let json = serde_json::to_value(&captcha).unwrap();
        assert_eq!(serde_json::from_value::<Captcha>(json).unwrap(), captcha);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let bad = CaptchaPolicy {
            site_key: String::from("a b"),
            after: 0,
            timeout_ms: 10_001,
            hostnames: vec![HostName::parse("acme.example").unwrap(); CAPTCHA_HOSTS + 1],
            action: "x".repeat(257),
            ..policy()
        };
        let named: Vec<_> = bad.faults().into_iter().map(|(name, _)| name).collect();
        assert_eq!(named, ["site_key", "after", "timeout_ms", "hostnames", "action"]);
        for secret in ["", "a b", "s\u{e4}", "a\n", &"x".repeat(257)] {
            assert!(check_secret(secret).is_err(), "{secret}");
        }
        assert_eq!(check_secret("0x4AAAAAAADnPIDROrmt1Wwj_secret"), Ok(()));
    }

    #[test]
    fn counts_are_compared_in_the_proportion_of_their_limits() {
        let policy = policy();
        for (count, free, reached) in
            [(2, 10, false), (3, 10, true), (5, 20, false), (6, 20, true), (29, 100, false), (30, 100, true)]
        {
            assert_eq!(policy.is_reached(count, free), reached, "{count} of {free}");
        }
    }

    const NOW: i64 = 1_800_000_000;

    fn judged(policy: &CaptchaPolicy, status: u16, answer: &Value) -> Verdict {
        judge(policy, status, answer.to_string().as_bytes(), NOW)
    }

    fn solved_at(secs: i64) -> Value {
        let at = DateTime::from_timestamp(secs, 0).unwrap().to_rfc3339();
        json!({"success": true, "challenge_ts": at, "hostname": "acme.example", "error-codes": [], "action": "login",
            "cdata": ""})
    }

    #[test]
    fn a_solved_one_is_of_this_time_place_and_purpose() {
        let any = policy();
        let strict = CaptchaPolicy {
            hostnames: vec![HostName::parse("acme.example").unwrap()],
            action: String::from("login"),
            ..policy()
        };
        for (age, verdict) in [
            (0, Verdict::Solved),
            (300, Verdict::Solved),
            (301, Verdict::Unsolved),
            (-60, Verdict::Solved),
            (-61, Verdict::Unsolved),
        ] {
            assert_eq!(judged(&strict, 200, &solved_at(NOW - age)), verdict, "{age}");
        }
        for (field, value) in
            [("hostname", json!("evil.example")), ("hostname", json!(null)), ("action", json!("comment"))]
        {
            let mut answer = solved_at(NOW);
            answer[field] = value;
            assert_eq!(judged(&strict, 200, &answer), Verdict::Unsolved, "{answer}");
            assert_eq!(judged(&any, 200, &answer), Verdict::Solved, "{answer}");
        }
        let mut answer = solved_at(NOW);
        answer["hostname"] = json!("ACME.example");
        assert_eq!(judged(&strict, 200, &answer), Verdict::Solved);
        assert_eq!(judged(&any, 200, &json!({"success": true})), Verdict::Solved);
        assert_eq!(judged(&strict, 200, &json!({"success": true})), Verdict::Unsolved);
    }

    #[test]
    fn a_refusal_is_the_clients_unless_it_is_about_the_secret_or_the_service() {
        let refused = |codes: Value| json!({"success": false, "error-codes": codes});
        for codes in [
            json!(["invalid-input-response"]),
            json!(["timeout-or-duplicate"]),
            json!(["missing-input-response"]),
            json!(["bad-request"]),
            json!(["a code of a later time"]),
            json!([]),
            json!(null),
            json!("invalid-input-secret"),
        ] {
            for status in [200, 400] {
                assert_eq!(judged(&policy(), status, &refused(codes.clone())), Verdict::Unsolved, "{codes}");
            }
        }
        for code in NOT_OF_THE_CLIENT {
            let answer = refused(json!(["bad-request", code]));
            assert_eq!(judged(&policy(), 200, &answer), Verdict::Failed(code));
        }
    }

    #[test]
    fn anything_else_is_no_answer() {
        for (status, body) in [
            (200, "<html>"),
            (200, ""),
            (200, "[]"),
            (200, "true"),
            (200, "{}"),
            (200, r#"{"success":"true"}"#),
            (200, r#"{"success":1}"#),
            (200, r#"{"success":true,"challenge_ts":"lately"}"#),
            (400, r#"{"success":true}"#),
            (302, r#"{"success":true}"#),
            (204, r#"{"success":true}"#),
            (500, r#"{"success":false}"#),
            (0, ""),
        ] {
            let verdict = judge(&policy(), status, body.as_bytes(), NOW);
            assert!(matches!(verdict, Verdict::Failed(_)), "{status} {body}: {verdict:?}");
        }
    }

    #[test]
    fn a_token_is_plain_and_not_too_long() {
        for token in [
            "XXXX.DUMMY.TOKEN.XXXX",
            "0.zrSnRHO7h0HwSjSCU8oyzbjEtD8p.d62306d4ee00",
            "P1_eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJwYXNza2V5Ijoi",
            "10000000-aaaa-bbbb-cccc-000000000001",
        ] {
            assert!(is_token(token), "{token}");
        }
        for bad in [
            "",
            "a b",
            "\u{e4}",
            "<script>alert(1)</script>",
            "../../etc/passwd",
            "' or 1=1 --",
            "a%00",
            "a&b",
        ] {
            assert!(!is_token(bad), "{bad}");
        }
        assert!(
            is_token(&"x".repeat(CAPTCHA_TOKEN_BYTES)) && !is_token(&"x".repeat(CAPTCHA_TOKEN_BYTES + 1))
        );
    }

    proptest! {
        #[test]
        fn any_answer_is_safe(status: u16, body: Vec<u8>, text: String) {
            let _ = (judge(&policy(), status, &body, NOW), VerifyUrl::parse(&text), is_token(&text));
        }
    }
}
