//! The client that opened a session: its `User-Agent` and place.
//!
//! Both are personal data. The edge stores them sealed ([`crate::wire::seal::Kind::Client`]) in the session's row;
//! control shows them to the session's user and notifies the user of a new device.

use serde::{Deserialize, Serialize};

use crate::contract::limits::{AGENT_BYTES, CITY_BYTES};

/// The client at the sign-in that opened a session. Unknown values are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Its `User-Agent`, at most [`AGENT_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The country of its address: two letters of ISO 3166-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The city of its address, at most [`CITY_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
}

impl ClientInfo {
    /// Takes the `User-Agent` of a request and the place of its address. Texts are truncated at a character boundary.
    /// A country that does not have two letters, or is unknown (`XX`), is absent.
    #[must_use]
    pub fn new(agent: Option<&str>, country: Option<&str>, city: Option<&str>) -> Self {
        let kept =
            |text: Option<&str>, most| text.map(|text| cut(text.trim(), most)).filter(|it| !it.is_empty());
        let is_country = |text: &&str| {
            text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) && *text != "XX"
        };
        Self {
            agent: kept(agent, AGENT_BYTES),
            country: country.map(str::trim).filter(is_country).map(String::from),
            city: kept(city, CITY_BYTES),
        }
    }

    /// Whether all values are absent.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        let Self { agent, country, city } = self;
        agent.is_none() && country.is_none() && city.is_none()
    }
}

/// The text without control characters, as far as it fits into `most` bytes.
fn cut(text: &str, most: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > most {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character() {
        let agent = |text: &str| ClientInfo::new(Some(text), None, None).agent;
        assert_eq!(agent("curl/8.5.0").as_deref(), Some("curl/8.5.0"));
        assert_eq!(agent(&"x".repeat(300)).map(|it| it.len()), Some(AGENT_BYTES));
        // 85 characters of three bytes are 255.
        assert_eq!(agent(&"€".repeat(100)).map(|it| it.len()), Some(255));
        assert_eq!(agent("a\u{0}b\nc").as_deref(), Some("abc"));
        assert_eq!((agent(""), agent("  "), agent("\t")), (None, None, None));
    }

    #[test]
    fn a_country_has_two_letters() {
        let country = |text: &str| ClientInfo::new(None, Some(text), None).country;
        assert_eq!(country("PT").as_deref(), Some("PT"));
        for unknown in ["XX", "T1", "pt", "PRT", "", "P\u{e9}"] {
            assert_eq!(country(unknown), None, "{unknown}");
        }
        assert!(ClientInfo::new(Some(""), Some("XX"), None).is_unknown());
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded(agent in "\\PC{0,400}", city in "\\PC{0,200}") {
            let info = ClientInfo::new(Some(&agent), Some(&city), Some(&city));
            prop_assert!(info.agent.is_none_or(|it| (1..=AGENT_BYTES).contains(&it.len())));
            prop_assert!(info.city.is_none_or(|it| (1..=CITY_BYTES).contains(&it.len())));
        }
    }
}
