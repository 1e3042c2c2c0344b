//! The key of one row: it encrypts personal data of a person who is not a user, or has no verified address yet.
//!
//! It is wrapped by the tenant's key and stored in the row. Deleting the row deletes the key; a backup still has
//! both.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::derive::Secret;
use shared::fields;
use shared::ids::TenantId;
use zeroize::Zeroizing;

use super::aead;
use super::sealed::{Column, TenantKeys};
use crate::failure::Failure;
use crate::world::random;

/// See the module. No `Debug`; wiped when dropped.
pub struct RowKey {
    tenant: TenantId,
    column: Column,
    row: String,
    key: Secret,
}

impl RowKey {
    /// Makes a key for a row, and wraps it for the row's `column`.
    ///
    /// # Errors
    /// No randomness.
    pub fn make(keys: &TenantKeys, column: Column, row: &str) -> Result<(Self, Vec<u8>), Failure> {
        let key = Secret::new(random()?);
        let wrapped = keys.seal(column, row, key.expose())?;
        Ok((Self { tenant: keys.tenant(), column, row: row.to_owned(), key }, wrapped))
    }

    /// Unwraps the key of a row.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for what was not wrapped for this row and column.
    pub fn unwrap(keys: &TenantKeys, column: Column, row: &str, wrapped: &[u8]) -> Result<Self, Failure> {
        let key = keys.open(column, row, wrapped)?;
        let key = Secret::from_slice(&key).ok_or(Failure::Unreadable(column.label()))?;
        Ok(Self { tenant: keys.tenant(), column, row: row.to_owned(), key })
    }

    /// Seals a value as JSON.
    ///
    /// # Errors
    /// Without randomness; [`Failure::Unreadable`] for a value that is no JSON.
    pub fn seal<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, Failure> {
        let json = serde_json::to_vec(value).map(Zeroizing::new);
        let json = json.map_err(|_| Failure::Unreadable(self.column.label()))?;
        aead::seal(&self.key, &self.associated_data(), &json)
    }

    /// Decrypts a result of [`RowKey::seal`] for the same row.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for anything else.
    pub fn open<T: DeserializeOwned>(&self, sealed: &[u8]) -> Result<T, Failure> {
        let unreadable = || Failure::Unreadable(self.column.label());
        let json = aead::open(&self.key, &self.associated_data(), sealed)?.ok_or_else(unreadable)?;
        serde_json::from_slice(&json).map_err(|_| unreadable())
    }

    fn associated_data(&self) -> Vec<u8> {
        let list: [&[u8]; 3] = [self.tenant.as_bytes(), self.column.label().as_bytes(), self.row.as_bytes()];
        fields::encode("row/v1", &list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tenant: u8) -> TenantKeys {
        TenantKeys::new(TenantId::new(1, [tenant; 10]), vec![(1, Secret::new([1; 32]))]).unwrap()
    }

    #[test]
    fn a_value_opens_in_its_own_row_alone() {
        let (key, wrapped) = RowKey::make(&keys(1), Column::RequestKey, "a").unwrap();
        let sealed = key.seal(&"ada@acme.test").unwrap();
        let opened = |keys: &TenantKeys, row| {
            let key = RowKey::unwrap(keys, Column::RequestKey, row, &wrapped)?;
            key.open::<String>(&sealed)
        };
        assert_eq!(opened(&keys(1), "a").unwrap(), "ada@acme.test");
        assert!(opened(&keys(1), "b").is_err(), "another row");
        assert!(opened(&keys(2), "a").is_err(), "another tenant");
        let (other, _) = RowKey::make(&keys(1), Column::RequestKey, "a").unwrap();
        assert!(other.open::<String>(&sealed).is_err(), "another key");
    }
}
