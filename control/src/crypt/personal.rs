//! Personal data of users: encrypted at rest under a data key of each user, decrypted into a type that cannot reach a
//! log or a statement by accident.
//!
//! A user's key is wrapped by the key of the tenant. Destroying it erases the user's data in every place, including
//! backups. Only the stores of `users` and `legacy` encrypt and decrypt, because they know the row. [`Personal`] has
//! no `Debug`, no `Display`, no `Serialize` and no driver encoding: `users::visibility` decides what an answer shows.

use shared::derive::Secret;
use shared::fields;
use shared::ids::{TenantId, UserId};

use uuid::Uuid;
use zeroize::Zeroizing;

use super::aead;
use super::sealed::{Column, TenantKeys};
use crate::failure::Failure;
use crate::world::random;

/// A personal column: of a user's row, or of a row that is the user's.
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
    /// The name of an authenticator.
    AuthenticatorName,
    /// The fields of an entry of the profile.
    ProfileEntry,
}

impl Field {
    fn label(self) -> &'static str {
        match self {
            Self::Username => "users.username",
            Self::Email => "users.email",
            Self::FirstName => "users.first_name",
            Self::LastName => "users.last_name",
            Self::Phone => "users.phone",
            Self::AuthenticatorName => "authenticators.name",
            Self::ProfileEntry => "profile_entries.sealed",
        }
    }
}

/// The length of a sealed empty text: whether a column is empty can be seen without its key.
pub const EMPTY_BYTES: usize = aead::ADDED_BYTES;

/// The data key of a user. No `Debug`; wiped when dropped.
pub struct UserKey {
    tenant: TenantId,
    user: UserId,
    key: Secret,
}

impl UserKey {
    /// Makes a key for a user, and wraps it for the user's row in `user_keys`.
    ///
    /// # Errors
    /// No randomness.
    pub fn make(keys: &TenantKeys, user: UserId) -> Result<(Self, Vec<u8>), Failure> {
        let key = Secret::new(random()?);
        let wrapped = keys.seal(Column::UserKey, &user.to_string(), key.expose())?;
        Ok((Self { tenant: keys.tenant(), user, key }, wrapped))
    }

    /// Unwraps the key of a user.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for what was not wrapped for this user.
    pub fn unwrap(keys: &TenantKeys, user: UserId, wrapped: &[u8]) -> Result<Self, Failure> {
        let key = keys.open(Column::UserKey, &user.to_string(), wrapped)?;
        let key = Secret::from_slice(&key).ok_or(Failure::Unreadable("user_keys.wrapped"))?;
        Ok(Self { tenant: keys.tenant(), user, key })
    }

    /// Seals a text for a personal column of the user's.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal(&self, field: Field, text: &str) -> Result<Vec<u8>, Failure> {
        aead::seal(&self.key, &self.associated_data(field), text.as_bytes())
    }

    /// Decrypts a result of [`UserKey::seal`] for the same user and column.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for anything else.
    pub fn open(&self, field: Field, stored: &[u8]) -> Result<Personal, Failure> {
        self.opened(field, &self.associated_data(field), stored)
    }

    /// Seals a text for one of several rows that the user has in a table.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal_row(&self, field: Field, row: Uuid, text: &str) -> Result<Vec<u8>, Failure> {
        aead::seal(&self.key, &self.data_of_row(field, row), text.as_bytes())
    }

    /// Decrypts a result of [`UserKey::seal_row`] for the same user, column and row.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for anything else.
    pub fn open_row(&self, field: Field, row: Uuid, stored: &[u8]) -> Result<Personal, Failure> {
        self.opened(field, &self.data_of_row(field, row), stored)
    }

    fn opened(&self, field: Field, data: &[u8], stored: &[u8]) -> Result<Personal, Failure> {
        let unreadable = || Failure::Unreadable(field.label());
        let opened = aead::open(&self.key, data, stored)?.ok_or_else(unreadable)?;
        let text = std::str::from_utf8(&opened).map_err(|_| unreadable())?;
        Ok(Personal(text.to_owned()))
    }

    /// Encrypts the body of an audit entry about the user.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal_entry(&self, entry: Uuid, body: &[u8]) -> Result<Vec<u8>, Failure> {
        aead::seal(&self.key, &self.data_of_entry(entry), body)
    }

    /// Decrypts a result of [`UserKey::seal_entry`] for the same user and entry.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for anything else.
    pub fn open_entry(&self, entry: Uuid, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let opened = aead::open(&self.key, &self.data_of_entry(entry), sealed)?;
        opened.ok_or(Failure::Unreadable("audit_entries.body"))
    }

    fn data_of_entry(&self, entry: Uuid) -> Vec<u8> {
        let list: [&[u8]; 4] =
            [self.tenant.as_bytes(), b"audit_entries.body", entry.as_bytes(), self.user.as_bytes()];
        fields::encode("personal/v1", &list)
    }

    fn data_of_row(&self, field: Field, row: Uuid) -> Vec<u8> {
        let list: [&[u8]; 4] =
            [self.tenant.as_bytes(), field.label().as_bytes(), row.as_bytes(), self.user.as_bytes()];
        fields::encode("personal/v1", &list)
    }

    fn associated_data(&self, field: Field) -> Vec<u8> {
        let list: [&[u8]; 3] = [self.tenant.as_bytes(), field.label().as_bytes(), self.user.as_bytes()];
        fields::encode("personal/v1", &list)
    }
}

/// A personal text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Personal(String);

impl Personal {
    /// The text, for an answer or a comparison.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tenant: u8, byte: u8) -> TenantKeys {
        TenantKeys::new(TenantId::new(1, [tenant; 10]), vec![(1, Secret::new([byte; 32]))]).unwrap()
    }

    fn user(byte: u8) -> UserId {
        UserId::new(1, [byte; 10])
    }

    #[test]
    fn a_value_opens_in_its_own_column_of_its_own_user_alone() {
        let (key, wrapped) = UserKey::make(&keys(1, 1), user(1)).unwrap();
        let stored = key.seal(Field::Email, "ada@acme.test").unwrap();
        let opened = |keys: &TenantKeys, user, field| {
            UserKey::unwrap(keys, user, &wrapped).and_then(|key| key.open(field, &stored)).ok()
        };
        let text = opened(&keys(1, 1), user(1), Field::Email).unwrap();
        assert_eq!(text.expose(), "ada@acme.test");
        assert!(opened(&keys(1, 1), user(1), Field::Username).is_none(), "another column");
        assert!(opened(&keys(1, 1), user(2), Field::Email).is_none(), "another user");
        assert!(opened(&keys(2, 1), user(1), Field::Email).is_none(), "another tenant");
        assert!(opened(&keys(1, 2), user(1), Field::Email).is_none(), "another key");
        // A key of their own does not open it either.
        let (other, _) = UserKey::make(&keys(1, 1), user(1)).unwrap();
        assert!(other.open(Field::Email, &stored).is_err());
    }

    #[test]
    fn a_value_of_a_row_opens_in_that_row_alone() {
        let (key, _) = UserKey::make(&keys(1, 1), user(1)).unwrap();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let stored = key.seal_row(Field::ProfileEntry, one, "{}").unwrap();
        assert_eq!(key.open_row(Field::ProfileEntry, one, &stored).unwrap().expose(), "{}");
        assert!(key.open_row(Field::ProfileEntry, other, &stored).is_err(), "another row");
        assert!(key.open(Field::ProfileEntry, &stored).is_err(), "no row");
        assert!(key.open_entry(one, &stored).is_err(), "an entry of the log");
    }

    #[test]
    fn the_length_shows_whether_a_text_is_empty() {
        let (key, _) = UserKey::make(&keys(1, 1), user(1)).unwrap();
        assert_eq!(key.seal(Field::Phone, "").unwrap().len(), EMPTY_BYTES);
        assert_eq!(key.seal(Field::Phone, "1").unwrap().len(), EMPTY_BYTES + 1);
    }

    #[test]
    fn what_is_no_text_is_unreadable() {
        let (key, _) = UserKey::make(&keys(1, 1), user(1)).unwrap();
        let stored = aead::seal(&key.key, &key.associated_data(Field::Phone), b"\xff").unwrap();
        assert!(key.open(Field::Phone, &stored).is_err());
    }
}
