//! Keyed hashes by which a tenant's legacy users, their names and their tokens are found, and digests by which
//! a second import sees what changed.

use shared::derive::{identifier_hash, legacy_user_hash, mac};
use shared::wire::push::IdentifierRow;

use crate::db::TenantTx;
use crate::failure::Failure;
use crate::users::{Faults, Profile, identifiers};

/// Keyed hashes of user name and address, as `identifiers` has them.
#[derive(Clone)]
pub struct NameHashes {
    /// Of the user name.
    pub username: String,
    /// Of the address.
    pub email: Option<String>,
}

/// Keyed digests of what an import read of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Digests {
    /// Of everything but password and last sign-in.
    pub row: Vec<u8>,
    /// Of the password's hash.
    pub password: Vec<u8>,
}

/// Makes the keyed hashes of one tenant.
pub struct Hashing {
    key: shared::derive::Secret,
    tenant: shared::ids::TenantId,
}

impl Hashing {
    /// With the tenant's key.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(tx: &mut TenantTx) -> Result<Self, Failure> {
        Ok(Self { key: identifiers::key(tx).await?, tenant: tx.tenant() })
    }

    /// The hashes of a profile's names.
    ///
    /// # Errors
    /// What does not hold, by field.
    pub fn names(&self, profile: &Profile) -> Result<NameHashes, Faults> {
        let mut faults = Faults::default();
        match profile.check(&mut faults) {
            Some(canonical) if faults.is_empty() => {
                let hash = |it| IdentifierRow::encode_hash(&identifier_hash(&self.key, self.tenant, it));
                Ok(NameHashes {
                    username: hash(&canonical.username),
                    email: canonical.email.as_ref().map(hash),
                })
            }
            _ => Err(faults),
        }
    }

    /// The hash by which a legacy service's token finds its user.
    #[must_use]
    pub fn legacy_user(&self, legacy_id: &str) -> String {
        IdentifierRow::encode_hash(&legacy_user_hash(&self.key, self.tenant, legacy_id))
    }

    /// The hash by which an outstanding token of a legacy service finds its user.
    #[must_use]
    pub fn legacy_token(&self, jti: &str) -> String {
        IdentifierRow::encode_hash(&shared::derive::legacy_token_hash(&self.key, self.tenant, jti))
    }

    /// A digest of fields as they were read.
    #[must_use]
    pub fn digest(&self, fields: &[&[u8]]) -> Vec<u8> {
        let fields: Vec<&[u8]> =
            [self.tenant.as_bytes().as_slice()].into_iter().chain(fields.iter().copied()).collect();
        mac(&self.key, "import/v1", &fields).to_vec()
    }
}
