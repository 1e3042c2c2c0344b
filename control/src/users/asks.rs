//! Which personal fields of users a list can be asked for by.

use shared::tenant::visibility::PersonalField;

use super::filters::{ClearKey, Filters, Key, PersonalKey};
use super::visibility::Asks;
use super::visibility::asked::{IN_USERNAMES, in_username};
use crate::http::rows::Order;

/// The fields that a search reads: user name (which may be a telephone number), address and names.
const SEARCHED: [PersonalField; 5] = [
    PersonalField::Username,
    PersonalField::Email,
    PersonalField::Phone,
    PersonalField::FirstName,
    PersonalField::LastName,
];

impl Asks for Filters {
    fn asks(&self, order: &[Order<Key>]) -> Vec<(&'static str, Vec<PersonalField>)> {
        let mut asks = Vec::new();
        if let Some(username) = &self.username {
            asks.push(("username", in_username(username)));
        }
        if self.email.is_some() {
            asks.push(("email", vec![PersonalField::Email]));
        }
        if self.legacy_id.is_some() {
            asks.push(("legacy_id", vec![PersonalField::LegacyId]));
        }
        if !self.search.is_empty() {
            asks.push(("search", SEARCHED.to_vec()));
        }
        let ordered = order.iter().flat_map(|order| match order.by {
            Key::Personal(PersonalKey::Username) => IN_USERNAMES.to_vec(),
            Key::Personal(PersonalKey::Email) => vec![PersonalField::Email],
            Key::Clear(ClearKey::LastLogin) => vec![PersonalField::LastLogin],
            Key::Clear(ClearKey::Id | ClearKey::CreatedAt) => Vec::new(),
        });
        asks.push(("ordering", ordered.collect()));
        asks
    }
}
