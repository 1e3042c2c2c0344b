//! The personal fields of users, how a role is shown each of them, and the form of the rules in settings.
//!
//! Control applies the rules (`users::visibility` there); the edge does not show users. They are defined here because
//! they are a tenant's setting.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Invalid;

/// Longest name of a role in a rule, in characters.
const ROLE_CHARS: usize = 64;
/// The role in a rule for every role that has no rule of its own for the field.
pub const ANY_ROLE: &str = "*";

/// How a field is shown, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visibility {
    /// The field is absent.
    Absent,
    /// The field is masked: `a***@example.org`.
    Masked,
    /// The value.
    Clear,
}

impl Visibility {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Absent, Self::Masked, Self::Clear];

    /// Its name in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Masked => "masked",
            Self::Clear => "clear",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|visibility| visibility.as_str() == word)
    }
}

/// A personal field, by its name in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonalField {
    /// User name.
    Username,
    /// Address.
    Email,
    /// First name.
    FirstName,
    /// Last name.
    LastName,
    /// Telephone number.
    Phone,
    /// The id at the service that the tenant came from.
    LegacyId,
    /// The last sign-in.
    LastLogin,
    /// The client's network address in an entry of the audit log.
    Client,
    /// The entries of the profile. They have no masked form: masked, they are absent.
    Profile,
}

impl PersonalField {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Username,
        Self::Email,
        Self::FirstName,
        Self::LastName,
        Self::Phone,
        Self::LegacyId,
        Self::LastLogin,
        Self::Client,
        Self::Profile,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Email => "email",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Phone => "phone",
            Self::LegacyId => "legacy_id",
            Self::LastLogin => "last_login",
            Self::Client => "client",
            Self::Profile => "profile",
        }
    }

    /// The field of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }
}

impl Serialize for PersonalField {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How users with a role are shown a field: `<role>.<field>=<clear|masked|absent>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// The role, or [`ANY_ROLE`].
    pub role: String,
    /// The field.
    pub field: PersonalField,
    /// How the field is shown.
    pub visibility: Visibility,
}

impl Rule {
    /// Parses an administrator's input.
    ///
    /// # Errors
    /// Another form, an impossible role name, an unknown field or value.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("rule: expected <role>.<field>=<clear|masked|absent>");
        let (role, field, word) = Self::parts(text).ok_or(invalid)?;
        Ok(Self { role: role.to_owned(), field, visibility: Visibility::parse(word).ok_or(invalid)? })
    }

    /// Reads a rule of a document. An unknown value of a later release is read as absent.
    fn read(text: &str) -> Option<Self> {
        let (role, field, word) = Self::parts(text)?;
        Some(Self {
            role: role.to_owned(),
            field,
            visibility: Visibility::parse(word).unwrap_or(Visibility::Absent),
        })
    }

    fn parts(text: &str) -> Option<(&str, PersonalField, &str)> {
        let (of, word) = text.split_once('=')?;
        let (role, field) = of.rsplit_once('.')?;
        let of_a_role = |c: char| !c.is_control() && !c.is_whitespace() && !",=*".contains(c);
        let is_role = (1..=ROLE_CHARS).contains(&role.chars().count()) && role.chars().all(of_a_role);
        if role == ANY_ROLE || is_role { Some((role, PersonalField::parse(field)?, word)) } else { None }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}={}", self.role, self.field.as_str(), self.visibility.as_str())
    }
}

impl TryFrom<String> for Rule {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

/// The rules of a document. A field that a later release adds is not shown here anyway, and its rule is passed over.
pub(super) fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rule>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.iter().filter_map(|text| Rule::read(text)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rule_names_role_field_and_sight() {
        let rule = Rule::parse("staff.first_name=masked").unwrap();
        let expected =
            Rule { role: "staff".into(), field: PersonalField::FirstName, visibility: Visibility::Masked };
        assert_eq!(rule, expected);
        assert_eq!(Rule::parse("*.phone=absent").unwrap().role, ANY_ROLE);
        assert_eq!(Rule::parse("a.b.phone=clear").unwrap().role, "a.b");
        for bad in [
            "",
            "staff",
            "staff.phone",
            "staff=clear",
            ".phone=clear",
            "staff.shoe=clear",
            "staff.phone=open",
            "staff.phone=Clear",
            "staff.phone=clear ",
            "staff .phone=clear",
            "st*.phone=clear",
            "a,b.phone=clear",
            &format!("{}.phone=clear", "x".repeat(65)),
        ] {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_word_of_a_later_release_shows_nothing() {
        let read = |text| Rule::read(text).map(|rule| rule.to_string());
        assert_eq!(read("staff.phone=hashed").as_deref(), Some("staff.phone=absent"));
        assert_eq!(read("staff.shoe=clear"), None);
    }

    #[test]
    fn more_is_more() {
        assert!(Visibility::Absent < Visibility::Masked && Visibility::Masked < Visibility::Clear);
    }

    proptest! {
        #[test]
        fn a_rule_is_read_back_as_it_is_written(text in "[a-z.*]{0,5}\\.(phone|client|email)=[a-z]{1,6}|\\PC{0,30}") {
            if let Ok(rule) = Rule::parse(&text) {
                prop_assert_eq!(rule.to_string(), text);
                prop_assert_eq!(Rule::parse(&rule.to_string()), Ok(rule));
            }
        }
    }
}
