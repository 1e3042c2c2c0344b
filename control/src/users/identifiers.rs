//! The identifiers that users are looked up by: keyed hashes, one namespace for user names and addresses.
//!
//! While the tenant's lookup root is rotated ([`super::lookup`]), every user has identifiers of two roots, and a name
//! is free only if it is free under both.

use shared::derive::{Purpose, Secret, derive, identifier_hash, legacy_token_hash, legacy_user_hash};
use shared::identifiers::Identifier;
use shared::ids::{TenantId, UserId};
use shared::wire::push::IdentifierRow;

use super::fields::{Canonical, Faults};
use super::model::UserError;
use crate::crypt::lookup::{self, LookupRoot, LookupRoots, Stage};
use crate::db::TenantTx;
use crate::failure::Failure;

/// A hash under one of the tenant's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyedHash {
    /// The stored and pushed form.
    pub text: String,
    /// Of the root that the key is derived from.
    pub version: i32,
    /// Whether it is written now. If not, it still must not belong to another user.
    pub written: bool,
}

struct Key {
    version: i32,
    secret: Secret,
    /// Whether lookups use it now.
    read: bool,
    written: bool,
}

/// The keys of a tenant's identifier hashes, the one in force first.
pub struct Keys {
    tenant: TenantId,
    keys: Vec<Key>,
}

impl Keys {
    /// The keys for a lookup.
    ///
    /// # Errors
    /// Errors of the database, or a root that cannot be decrypted.
    pub async fn to_read(tx: &mut TenantTx) -> Result<Self, Failure> {
        let roots = lookup::roots(tx).await?;
        Ok(Self::of(tx.tenant(), &roots))
    }

    /// The keys for writing identifiers: they do not change until the transaction ends.
    ///
    /// # Errors
    /// As [`Keys::to_read`].
    pub async fn to_write(tx: &mut TenantTx) -> Result<Self, Failure> {
        let roots = lookup::kept(tx).await?;
        Ok(Self::of(tx.tenant(), &roots))
    }

    fn of(tenant: TenantId, roots: &LookupRoots) -> Self {
        let key = |root: &LookupRoot, read, written| Key {
            version: root.version,
            secret: derive(&root.secret, tenant, Purpose::Identifier),
            read,
            written,
        };
        let mut keys = vec![key(&roots.current, true, true)];
        if let Some((root, stage)) = &roots.other {
            keys.push(key(root, stage.is_switched(), *stage <= Stage::Switched));
        }
        Self { tenant, keys }
    }

    fn hashed<'k>(
        &'k self,
        hash: impl Fn(&Secret) -> [u8; 32] + 'k,
    ) -> impl Iterator<Item = (&'k Key, KeyedHash)> + 'k {
        self.keys.iter().map(move |key| {
            let text = IdentifierRow::encode_hash(&hash(&key.secret));
            (key, KeyedHash { text, version: key.version, written: key.written })
        })
    }

    /// The hashes of a user name or address.
    #[must_use]
    pub fn name(&self, name: &Identifier) -> Vec<KeyedHash> {
        self.hashed(|key| identifier_hash(key, self.tenant, name)).map(|(_, hash)| hash).collect()
    }

    /// The hashes by which a user name or address is looked up, the one in force first.
    #[must_use]
    pub fn name_sought(&self, name: &Identifier) -> Vec<String> {
        let hashed = self.hashed(|key| identifier_hash(key, self.tenant, name));
        hashed.filter(|(key, _)| key.read).map(|(_, hash)| hash.text).collect()
    }

    /// The hashes of an id that a legacy service gave.
    #[must_use]
    pub fn legacy_user(&self, legacy_id: &str) -> Vec<KeyedHash> {
        self.hashed(|key| legacy_user_hash(key, self.tenant, legacy_id)).map(|(_, hash)| hash).collect()
    }

    /// The hashes by which such an id is looked up.
    #[must_use]
    pub fn legacy_user_sought(&self, legacy_id: &str) -> Vec<String> {
        let hashed = self.hashed(|key| legacy_user_hash(key, self.tenant, legacy_id));
        hashed.filter(|(key, _)| key.read).map(|(_, hash)| hash.text).collect()
    }

    /// The hashes of the id of a legacy service's token.
    #[must_use]
    pub fn legacy_token(&self, jti: &str) -> Vec<KeyedHash> {
        self.hashed(|key| legacy_token_hash(key, self.tenant, jti)).map(|(_, hash)| hash).collect()
    }
}

/// Gives `user` exactly these identifiers. A user that already has one keeps it: the primary key decides, also
/// between concurrent transactions. `faults` names the field that is taken.
pub(super) async fn assign(
    tx: &mut TenantTx,
    user: UserId,
    canonical: &Canonical,
    faults: &mut Faults,
) -> Result<(), UserError> {
    let keys = Keys::to_write(tx).await?;
    let tenant = tx.tenant();
    let username = keys.name(&canonical.username).into_iter().map(|hash| ("username", hash));
    let email = canonical.email.iter().flat_map(|email| keys.name(email)).map(|hash| ("email", hash));
    let mut wanted: Vec<(&'static str, KeyedHash)> = username.chain(email).collect();
    let kept: Vec<String> = wanted.iter().map(|(_, hash)| hash.text.clone()).collect();
    let gone = sqlx::query_scalar!(
        "delete from identifiers
         where tenant_id = $1 and user_id = $2 and kind = 'name' and hash <> all ($3)
         returning hash",
        tenant.uuid(),
        user.uuid(),
        &kept,
    )
    .fetch_all(&mut **tx)
    .await?;
    for hash in gone {
        tx.changes().identifier_gone(tenant, &hash);
    }
    // In the order of the hashes, so that two who want each other's names do not wait in a circle.
    wanted.sort_by(|a, b| a.1.cmp(&b.1));
    let mut taken = Vec::new();
    for (field, hash) in &wanted {
        let free = if hash.written { claim(tx, user, hash).await? } else { is_free(tx, user, hash).await? };
        if !free && !taken.contains(field) {
            taken.push(*field);
            faults.add(field, format!("A user with that {field} already exists."));
        }
    }
    Ok(())
}

/// Whether `user` has the identifier now.
async fn claim(tx: &mut TenantTx, user: UserId, hash: &KeyedHash) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let inserted = sqlx::query!(
        "insert into identifiers (tenant_id, hash, user_id, version) values ($1, $2, $3, $4)
         on conflict do nothing",
        tenant.uuid(),
        hash.text,
        user.uuid(),
        hash.version,
    )
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 1 {
        tx.changes().identifier(tenant, &hash.text);
        return Ok(true);
    }
    Ok(owner(tx, hash).await? == Some(user))
}

/// Whether the identifier belongs to no other user.
async fn is_free(tx: &mut TenantTx, user: UserId, hash: &KeyedHash) -> Result<bool, Failure> {
    Ok(owner(tx, hash).await?.is_none_or(|owner| owner == user))
}

async fn owner(tx: &mut TenantTx, hash: &KeyedHash) -> Result<Option<UserId>, Failure> {
    let tenant = tx.tenant();
    let owner = sqlx::query_scalar!(
        "select user_id from identifiers where tenant_id = $1 and hash = $2",
        tenant.uuid(),
        hash.text,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(owner.map(UserId::from))
}
