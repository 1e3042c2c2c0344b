//! The key of a tenant's audit log: it encrypts entries that concern no user with a key, and hashes the addresses of
//! clients, by which entries are found.
//!
//! It is wrapped by the tenant's key, like the keys of users. The chain hashes encrypted entries, so they can never
//! be re-encrypted. Because they have a key of their own, the tenant's key, which wraps it, can be replaced.

use shared::derive::{Purpose, Secret, derive, mac};
use shared::fields;
use shared::ids::TenantId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::aead;
use super::sealed::{Column, TenantKeys};
use crate::failure::Failure;
use crate::world::random;

/// See the module. No `Debug`; wiped when dropped.
pub struct AuditKey {
    tenant: TenantId,
    key: Secret,
}

impl AuditKey {
    /// Makes a key for a tenant's log, and wraps it for the tenant's row in `audit_keys`.
    ///
    /// # Errors
    /// No randomness.
    pub fn make(keys: &TenantKeys) -> Result<(Self, Vec<u8>), Failure> {
        let key = Secret::new(random()?);
        let wrapped = keys.seal(Column::AuditKey, "", key.expose())?;
        Ok((Self { tenant: keys.tenant(), key }, wrapped))
    }

    /// Unwraps the key of a tenant's log.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for what was not wrapped for this tenant.
    pub fn unwrap(keys: &TenantKeys, wrapped: &[u8]) -> Result<Self, Failure> {
        let key = keys.open(Column::AuditKey, "", wrapped)?;
        let key = Secret::from_slice(&key).ok_or(Failure::Unreadable("audit_keys.wrapped"))?;
        Ok(Self { tenant: keys.tenant(), key })
    }

    /// Encrypts the body of an entry.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal(&self, entry: Uuid, body: &[u8]) -> Result<Vec<u8>, Failure> {
        aead::seal(&self.key, &self.associated_data(entry), body)
    }

    /// Decrypts a result of [`AuditKey::seal`] for the same entry.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for anything else.
    pub fn open(&self, entry: Uuid, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let opened = aead::open(&self.key, &self.associated_data(entry), sealed)?;
        opened.ok_or(Failure::Unreadable("audit_entries.body"))
    }

    /// The value of the column `client_key` for a client's address: a keyed hash, because all addresses can be tried.
    #[must_use]
    pub fn client(&self, address: &str) -> String {
        let key = derive(&self.key, self.tenant, Purpose::AuditClient);
        let hash = mac(&key, "audit-client/v1", &[self.tenant.as_bytes(), address.as_bytes()]);
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn associated_data(&self, entry: Uuid) -> Vec<u8> {
        let list: [&[u8]; 3] = [self.tenant.as_bytes(), b"audit_entries.body", entry.as_bytes()];
        fields::encode("audit/v1", &list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tenant: u8) -> TenantKeys {
        TenantKeys::new(TenantId::new(1, [tenant; 10]), vec![(1, Secret::new([1; 32]))]).unwrap()
    }

    #[test]
    fn a_key_opens_in_its_own_tenant_alone() {
        let (key, wrapped) = AuditKey::make(&keys(1)).unwrap();
        let sealed = key.seal(Uuid::nil(), b"body").unwrap();
        let opened = AuditKey::unwrap(&keys(1), &wrapped).unwrap();
        assert_eq!(opened.open(Uuid::nil(), &sealed).unwrap().to_vec(), b"body");
        assert!(opened.open(Uuid::max(), &sealed).is_err(), "another entry");
        assert!(AuditKey::unwrap(&keys(2), &wrapped).is_err(), "another tenant");
    }

    #[test]
    fn an_address_has_another_hash_under_another_key() {
        let [one, other] = [(); 2].map(|()| AuditKey::make(&keys(1)).unwrap().0);
        assert_eq!(one.client("192.0.2.7").len(), 32);
        assert_eq!(one.client("192.0.2.7"), one.client("192.0.2.7"));
        assert_ne!(one.client("192.0.2.7"), one.client("192.0.2.8"));
        assert_ne!(one.client("192.0.2.7"), other.client("192.0.2.7"));
    }
}
