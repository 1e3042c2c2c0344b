//! Keyed hashes by which a tenant's legacy users, their names and their tokens are found, and digests by which
//! a second import sees what changed.

use shared::derive::mac;

use crate::crypt::roots;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::users::identifiers::{KeyedHash, Keys};
use crate::users::{Faults, Profile};

/// Keyed hashes of user name and address, as `identifiers` has them: one for each key that the tenant has now, the
/// one in force first.
#[derive(Clone)]
pub struct NameHashes {
    /// Of the user name.
    pub username: Vec<KeyedHash>,
    /// Of the address.
    pub email: Option<Vec<KeyedHash>>,
}

/// Keyed digests of what an import read of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Digests {
    /// Of everything but password and last sign-in.
    pub row: Vec<u8>,
    /// Of the password's hash.
    pub password: Vec<u8>,
}

/// Makes the keyed hashes of one tenant. What it makes may be written in the transaction that it was made in: later
/// the keys may be others.
pub struct Hashing {
    keys: Keys,
    digests: shared::derive::Secret,
    tenant: shared::ids::TenantId,
}

impl Hashing {
    /// With the tenant's keys.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn of(tx: &mut TenantTx) -> Result<Self, Failure> {
        let (keys, digests) = (Keys::to_write(tx).await?, roots::imported_by(tx).await?);
        Ok(Self { keys, digests, tenant: tx.tenant() })
    }

    /// The hashes of a profile's names.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn names(&self, profile: &Profile) -> Result<NameHashes, Faults> {
        let mut faults = Faults::default();
        match profile.check(&mut faults) {
            Some(canonical) if faults.is_empty() => Ok(NameHashes {
                username: self.keys.name(&canonical.username),
                email: canonical.email.as_ref().map(|email| self.keys.name(email)),
            }),
            _ => Err(faults),
        }
    }

    /// The hashes by which a legacy service's token finds its user.
    #[must_use]
    pub fn legacy_user(&self, legacy_id: &str) -> Vec<KeyedHash> {
        self.keys.legacy_user(legacy_id)
    }

    /// A digest of fields as they were read.
    #[must_use]
    pub fn digest(&self, fields: &[&[u8]]) -> Vec<u8> {
        let fields: Vec<&[u8]> =
            [self.tenant.as_bytes().as_slice()].into_iter().chain(fields.iter().copied()).collect();
        mac(&self.digests, "import/v1", &fields).to_vec()
    }
}
