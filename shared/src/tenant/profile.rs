//! The items of a user's profile and what each is worth, as a tenant's setting `profile_weights` says.
//!
//! Control alone computes how complete a profile is (`users::completion` there). It is defined here because it is a
//! tenant's setting.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Greatest weight of an item.
const GREATEST: u8 = 100;

/// An item of a profile that can be there or missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileItem {
    /// A first name.
    FirstName,
    /// A last name.
    LastName,
    /// A telephone number.
    Phone,
    /// An email address that is verified.
    EmailVerified,
    /// At least one qualification.
    Qualifications,
    /// At least one employment.
    Employment,
    /// At least one skill.
    Skills,
    /// At least one certification.
    Certifications,
}

impl ProfileItem {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::FirstName,
        Self::LastName,
        Self::Phone,
        Self::EmailVerified,
        Self::Qualifications,
        Self::Employment,
        Self::Skills,
        Self::Certifications,
    ];

    /// Its name in settings and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Phone => "phone",
            Self::EmailVerified => "email_verified",
            Self::Qualifications => "qualifications",
            Self::Employment => "employment",
            Self::Skills => "skills",
            Self::Certifications => "certifications",
        }
    }

    /// Its weight at a tenant that sets none. Together they are 100.
    #[must_use]
    pub fn default_weight(self) -> u8 {
        match self {
            Self::Qualifications | Self::Employment => 20,
            Self::FirstName
            | Self::LastName
            | Self::Phone
            | Self::EmailVerified
            | Self::Skills
            | Self::Certifications => 10,
        }
    }

    /// The item of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.as_str() == name)
    }
}

impl Serialize for ProfileItem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The weight of an item: `<item>=<0 to 100>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileWeight {
    /// The item.
    pub item: ProfileItem,
    /// Its weight; 0 does not count.
    pub weight: u8,
}

impl ProfileWeight {
    /// Parses an administrator's input.
    ///
    /// # Errors
    /// Another form, an unknown item, a number out of bounds.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("weight: expected <item>=<0 to 100>");
        let (item, number) = text.split_once('=').ok_or(invalid)?;
        let item = ProfileItem::parse(item).ok_or(invalid)?;
        let weight: u8 = number.parse().map_err(|_| invalid)?;
        // One spelling: neither `+5` nor `05`.
        if weight <= GREATEST && weight.to_string() == number {
            Ok(Self { item, weight })
        } else {
            Err(invalid)
        }
    }
}

impl fmt::Display for ProfileWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.item.as_str(), self.weight)
    }
}

impl TryFrom<String> for ProfileWeight {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<ProfileWeight> for String {
    fn from(weight: ProfileWeight) -> Self {
        weight.to_string()
    }
}

/// The weights of all items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights([u8; ProfileItem::ALL.len()]);

impl Weights {
    /// The weights of a tenant's list: an item that it does not name has none. An empty list stands for the defaults.
    #[must_use]
    pub fn of(list: &[ProfileWeight]) -> Self {
        Self(ProfileItem::ALL.map(|item| match list.iter().find(|weight| weight.item == item) {
            Some(weight) => weight.weight,
            None if list.is_empty() => item.default_weight(),
            None => 0,
        }))
    }

    /// How complete a profile with these items is, in percent, rounded down, and which items that count it lacks. One
    /// of which nothing counts is complete.
    #[must_use]
    pub fn completion(self, is_there: impl Fn(ProfileItem) -> bool) -> Completion {
        let (mut total, mut earned, mut missing) = (0_u32, 0_u32, Vec::new());
        for (item, weight) in ProfileItem::ALL.into_iter().zip(self.0).filter(|(_, weight)| *weight > 0) {
            total += u32::from(weight);
            if is_there(item) {
                earned += u32::from(weight);
            } else {
                missing.push(item);
            }
        }
        let percent = (100 * earned).checked_div(total).unwrap_or(100);
        Completion { percent: u8::try_from(percent).unwrap_or(100), missing }
    }
}

/// How complete a profile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// In percent.
    pub percent: u8,
    /// The items that count and are not there, in the order of [`ProfileItem::ALL`].
    pub missing: Vec<ProfileItem>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_weight_names_an_item_and_a_number() {
        let weight = ProfileWeight::parse("skills=25").unwrap();
        assert_eq!((weight.item, weight.weight), (ProfileItem::Skills, 25));
        assert_eq!(weight.to_string(), "skills=25");
        for bad in [
            "",
            "skills",
            "skills=",
            "skills=101",
            "skills=+1",
            "skills=05",
            "skills=1.5",
            "shoes=1",
            "Skills=1",
        ] {
            assert!(ProfileWeight::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_defaults_add_up_to_a_hundred() {
        let sum: u32 = ProfileItem::ALL.iter().map(|item| u32::from(item.default_weight())).sum();
        assert_eq!(sum, 100);
    }

    #[test]
    fn completion_is_what_was_earned_of_what_counts() {
        let list =
            |texts: &[&str]| texts.iter().map(|text| ProfileWeight::parse(text).unwrap()).collect::<Vec<_>>();
        use ProfileItem as P;
        for (weights, there, percent, missing) in [
            (&[][..], &P::ALL[..], 100, &[][..]),
            (&[], &[], 0, &P::ALL),
            (&[], &[P::FirstName, P::LastName, P::Employment], 40, &P::ALL[2..]),
            // Two of three, rounded down; what is not named does not count.
            (&["phone=1", "skills=2"], &[P::Skills, P::FirstName], 66, &[P::Phone]),
            (&["phone=0", "skills=2"], &[P::Skills], 100, &[]),
            (&["phone=0"], &[], 100, &[]),
        ] {
            let completion = Weights::of(&list(weights)).completion(|item| there.contains(&item));
            let missing: Vec<_> = missing.iter().copied().filter(|item| !there.contains(item)).collect();
            assert_eq!(completion, Completion { percent, missing }, "{weights:?} {there:?}");
        }
    }

    proptest! {
        #[test]
        fn one_item_more_never_lowers_it_and_only_all_are_a_hundred(
            weights in prop::array::uniform8(0_u8..=100), there in prop::array::uniform8(any::<bool>()), more in 0_usize..8,
        ) {
            let list: Vec<_> = ProfileItem::ALL.into_iter().zip(weights)
                .map(|(item, weight)| ProfileWeight { item, weight }).collect();
            let at = |item: ProfileItem| ProfileItem::ALL.iter().position(|known| *known == item).unwrap();
            let before = Weights::of(&list).completion(|item| there[at(item)]);
            let after = Weights::of(&list).completion(|item| there[at(item)] || at(item) == more);
            prop_assert!(before.percent <= after.percent);
            prop_assert_eq!(before.percent == 100, before.missing.is_empty());
        }
    }
}
