//! Who may register.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Registration {
    /// No one; administrators create accounts.
    #[default]
    Closed,
    /// Any caller.
    Open,
    /// Owners of an address in a listed domain.
    Domain,
    /// Invited users.
    Invitation,
}

impl Registration {
    /// Parses an administrator's input: strict, unlike the reading of a document.
    #[must_use]
    pub fn parse(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "closed" => Some(Self::Closed),
            "open" => Some(Self::Open),
            "domain" => Some(Self::Domain),
            "invitation" => Some(Self::Invitation),
            _ => None,
        }
    }

    /// Whether it is the default.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self == Self::Closed
    }

    /// Whether a caller without an invitation can register.
    #[must_use]
    pub fn takes_strangers(self) -> bool {
        matches!(self, Self::Open | Self::Domain)
    }
}

/// An unknown value of a later release is read as closed.
impl<'de> Deserialize<'de> for Registration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&Value::deserialize(deserializer)?).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_of_a_later_release_lets_nobody_in() {
        for (word, registration) in [
            (json!("open"), Registration::Open),
            (json!("domain"), Registration::Domain),
            (json!("invitation"), Registration::Invitation),
            (json!("closed"), Registration::Closed),
            (json!("ajar"), Registration::Closed),
            (json!(true), Registration::Closed),
        ] {
            assert_eq!(serde_json::from_value::<Registration>(word.clone()).unwrap(), registration, "{word}");
            if word.is_string() && word != "ajar" {
                assert_eq!(serde_json::to_value(registration).unwrap(), word);
            }
        }
    }
}
