//! The notices that a tenant's users get by mail about their accounts, as its settings name them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;

/// The notices that users get by mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Notice {
    /// The password was changed.
    PasswordChanged,
    /// The address was changed. Sent to the old address.
    AddressChanged,
    /// A second factor was added or removed.
    SecondFactorChanged,
    /// A sign-in came from a device that was not seen before.
    NewDevice,
}

impl Notice {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::PasswordChanged, Self::AddressChanged, Self::SecondFactorChanged, Self::NewDevice];

    /// Its name in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password_changed",
            Self::AddressChanged => "address_changed",
            Self::SecondFactorChanged => "second_factor_changed",
            Self::NewDevice => "new_device",
        }
    }

    /// Parses an administrator's input.
    ///
    /// # Errors
    /// An unknown name.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == word).ok_or(Invalid("notice"))
    }

    pub(super) fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }

    /// Whether a list has all notices, which is the default.
    pub(super) fn are_all(list: &[Self]) -> bool {
        Self::ALL.iter().all(|notice| list.contains(notice))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Notice {
    type Error = Invalid;

    fn try_from(word: String) -> Result<Self, Invalid> {
        Self::parse(&word)
    }
}

impl Serialize for Notice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Notice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notice_is_read_back() {
        for notice in Notice::ALL {
            assert_eq!(Notice::parse(notice.as_str()), Ok(notice));
        }
        assert!(Notice::parse("Password_changed").is_err() && Notice::parse("").is_err());
        assert!(Notice::are_all(&Notice::all()) && !Notice::are_all(&Notice::ALL[1..]));
    }
}
