//! Personal data on its way between PostgreSQL and an answer.
//!
//! Only the stores of `users` and `legacy` turn a column into a [`Personal`] and back, by [`Personal::open`]
//! and [`Personal::stored`], which are told whose column it is: a value that is encrypted under a key of its
//! user cannot be read without. The columns hold the text itself. [`Personal`] has no `Debug`, no `Display`
//! and no coding of the driver, so it reaches neither a log nor a statement by accident.

use serde::{Serialize, Serializer};
use shared::ids::{TenantId, UserId};

/// Where a personal text is stored.
#[derive(Clone, Copy)]
pub struct Place {
    /// The tenant of the user.
    pub tenant: TenantId,
    /// The user whom it is about.
    pub user: UserId,
    /// The column.
    pub field: Field,
}

/// A personal column of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// User name as typed.
    Username,
    /// Address as typed.
    Email,
    /// First name.
    FirstName,
    /// Last name.
    LastName,
    /// Telephone number.
    Phone,
    /// What a search reads.
    Search,
}

/// A personal text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Personal(String);

impl Personal {
    /// Reads what is stored at `place`.
    #[must_use]
    pub fn open(_place: Place, stored: String) -> Self {
        Self(stored)
    }

    /// What is stored at `place` for a text.
    #[must_use]
    pub fn stored(_place: Place, text: &str) -> String {
        text.to_owned()
    }

    /// The text, for an answer or a comparison.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Serialize for Personal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
