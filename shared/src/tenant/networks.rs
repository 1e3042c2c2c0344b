//! The networks from which a tenant accepts requests, as its settings list them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Invalid;

/// A network: an address with a prefix length, or an address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl Network {
    /// Parses `192.0.2.0/24`, `2001:db8::/32`, or an address. Bits after the prefix are cleared.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| Self(network.trunc())).map_err(|_| Invalid("network"))
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Network {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// Whether two lists admit a client's address: a denied network is refused, and if networks are allowed, every other
/// one is refused. A malformed address is in no network.
#[must_use]
pub fn admits(allowed: &[Network], denied: &[Network], client: &str) -> bool {
    let address = client.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let within = |list: &[Network]| address.is_some_and(|at| list.iter().any(|network| network.contains(at)));
    !within(denied) && (allowed.is_empty() || within(allowed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_network_is_written_in_one_form() {
        for (text, written) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            (" 192.0.2.77/24 ", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(Network::parse(text).unwrap().to_string(), written);
        }
        for text in ["", "192.0.2.0/33", "192.0.2/24", "::/129", "acme.example", "192.0.2.0/", "192.0.2.0-9"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_denied_network_goes_before_an_allowed_one() {
        let office = list(&["192.0.2.0/24", "2001:db8::/32"]);
        let printer = list(&["192.0.2.9"]);
        for (client, open, closed) in [
            ("192.0.2.7", true, true),
            ("192.0.2.9", false, false),
            ("::ffff:192.0.2.7", true, true),
            ("2001:db8:1::1", true, true),
            ("198.51.100.1", true, false),
            ("", true, false),
            ("no address", true, false),
        ] {
            assert_eq!(admits(&[], &printer, client), open, "{client}");
            assert_eq!(admits(&office, &printer, client), closed, "{client}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text: String) {
            if let Ok(network) = Network::parse(&text) {
                prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
            }
            let _ = admits(&[], &[], &text);
        }
    }
}
