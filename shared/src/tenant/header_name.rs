//! The name of a request header that a tenant lets its pages send (CORS, Fetch section 3.3).
//!
//! Everything that no page can send is refused when it is listed: it would have no effect, and its owner would
//! look for the reason elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::contract::limits::HEADER_NAME_BYTES;

/// A field name (RFC 9110, section 5.1) in lower case, without `*`, that a page may set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderName(String);

/// Forbidden request-headers (Fetch, section 2.2.2), in addition to those that begin with `proxy-` or `sec-`.
const FORBIDDEN: [&str; 21] = [
    "accept-charset",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "date",
    "dnt",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

impl HeaderName {
    /// Parses a name, in any case.
    ///
    /// # Errors
    /// No field name, one that is too long, `*`, one that browsers do not let pages set.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let name = text.to_ascii_lowercase();
        // `tchar` of RFC 9110, section 5.6.2, without `*`: in `Access-Control-Allow-Headers` that is every name.
        let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
        let whole = (1..=HEADER_NAME_BYTES).contains(&name.len()) && name.bytes().all(of_a_name);
        let forbidden =
            FORBIDDEN.contains(&name.as_str()) || name.starts_with("proxy-") || name.starts_with("sec-");
        if whole && !forbidden { Ok(Self(name)) } else { Err(Invalid("name of a request header")) }
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HeaderName {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<HeaderName> for String {
    fn from(name: HeaderName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_a_page_can_send_is_one() {
        for (good, name) in [
            ("X-Acme-Trace", "x-acme-trace"),
            ("x-cloud-trace-context", "x-cloud-trace-context"),
            ("a", "a"),
            ("x_y.z", "x_y.z"),
            ("secret", "secret"),
        ] {
            assert_eq!(HeaderName::parse(good).as_ref().map(HeaderName::as_str), Ok(name));
        }
        for bad in [
            "",
            "*",
            "x-*",
            "x y",
            "x:y",
            "x,y",
            "x\"y",
            "x\r\ny",
            "\u{e4}",
            " x",
            "x ",
            "Cookie",
            "Host",
            "Origin",
            "Sec-Fetch-Site",
            "Proxy-Authorization",
            "Content-Length",
            "DNT",
        ] {
            assert!(HeaderName::parse(bad).is_err(), "{bad}");
        }
        assert!(HeaderName::parse(&"x".repeat(HEADER_NAME_BYTES)).is_ok());
        assert!(HeaderName::parse(&"x".repeat(HEADER_NAME_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn a_name_adds_one_element_to_a_list(text in "[A-Za-z-]{1,9}|\\PC{0,20}") {
            if let Ok(name) = HeaderName::parse(&text) {
                prop_assert!(!name.as_str().contains([',', ' ', '*', '\r', '\n']));
                prop_assert_eq!(HeaderName::parse(name.as_str()), Ok(name.clone()));
            }
        }
    }
}
