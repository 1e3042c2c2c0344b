//! A web origin as a tenant lists it and as a browser sends it in `Origin`.
//!
//! Two origins are the same only if their bytes are (RFC 6454, section 6.2, in the form of the URL
//! Standard's serialisation), so that everything that a browser would never send is refused when it is
//! listed: it could not match, and its owner would look for the reason elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::ids::HostName;

/// `scheme://host[:port]`: `https`, a host in lower-case A-labels, a port that is not the scheme's own;
/// no path, not `null`, no pattern.
///
/// `http` is for development: for `localhost`, names under it and `127.0.0.1`, which browsers hold to be trustworthy
/// (Secure Contexts, section 3.1). For other hosts an attacker on the network could serve the origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

const LOOPBACK: &str = "127.0.0.1";

fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host == LOOPBACK
}

fn is_port(text: &str, own: &str) -> bool {
    let number = text.parse::<u16>().is_ok_and(|port| port > 0 && port.to_string() == text);
    number && text != own
}

impl Origin {
    /// Parses an origin.
    ///
    /// # Errors
    /// Any text that is not exactly what a browser sends.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("origin");
        let (scheme, authority) = text.split_once("://").ok_or(invalid)?;
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let own_port = match scheme {
            "https" => "443",
            "http" if is_local(host) => "80",
            _ => return Err(invalid),
        };
        let host_holds = host == LOOPBACK || HostName::parse(host).is_ok();
        let port_holds = port.is_none_or(|port| is_port(port, own_port));
        if host_holds && port_holds { Ok(Self(text.to_owned())) } else { Err(invalid) }
    }

    /// The text, as it stands in `Origin`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Origin {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_a_browser_sends_is_one() {
        for good in [
            "https://app.acme.example",
            "https://app.acme.example:8443",
            "https://xn--bcher-kva.example",
            "https://acme.example:80",
            "http://localhost",
            "http://localhost:3000",
            "http://app.acme.localhost:3000",
            "http://127.0.0.1:5173",
            "https://localhost:3000",
        ] {
            assert_eq!(Origin::parse(good).as_ref().map(Origin::as_str), Ok(good));
        }
        for bad in [
            "",
            "null",
            "*",
            "https://*",
            "https://*.acme.example",
            "acme.example",
            "//acme.example",
            "https://",
            "https://acme.example/",
            "https://acme.example/path",
            "https://acme.example?x",
            "https://acme.example#x",
            "https://Acme.example",
            "HTTPS://acme.example",
            "https://bücher.example",
            "https://acme.example.",
            "https://acme.example:443",
            "https://acme.example:",
            "https://acme.example:0",
            "https://acme.example:08443",
            "https://acme.example:+8443",
            "https://acme.example:65536",
            "https://acme.example:8443:1",
            "https://user@acme.example",
            "https://user:8443@acme.example",
            "https://192.0.2.1",
            "https://[::1]",
            "http://acme.example",
            "http://localhost:80",
            "http://localhost.acme.example",
            "http://notlocalhost",
            "http://127.0.0.2",
            "ws://localhost",
            "file://",
            "capacitor://localhost",
            " https://acme.example",
            "https://acme.example ",
            "https://acme.example, https://acme.example",
            "https://acme.example\u{0}",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_kept_byte_for_byte(text in "(https?://)?[a-z0-9.:*/-]{0,30}|.{0,40}") {
            if let Ok(origin) = Origin::parse(&text) {
                prop_assert_eq!(origin.as_str(), text.as_str());
                prop_assert!(text.is_ascii() && text.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(text.matches('/').count(), 2);
            }
        }
    }
}
