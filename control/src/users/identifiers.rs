//! By what names a user is found: keyed hashes, one namespace for user names and addresses.

use shared::derive::{Purpose, Secret, identifier_hash};
use shared::identifiers::Identifier;
use shared::ids::UserId;
use shared::wire::push::IdentifierRow;

use super::fields::{Canonical, Faults};
use super::model::UserError;
use crate::crypt::roots::looked_up_by;
use crate::db::TenantTx;
use crate::failure::Failure;

/// The key of the tenant's identifier hashes.
pub async fn key(tx: &mut TenantTx) -> Result<Secret, Failure> {
    looked_up_by(tx, Purpose::Identifier).await
}

/// The stored and pushed form of an identifier.
///
/// # Errors
/// The database's.
pub async fn hash(tx: &mut TenantTx, identifier: &Identifier) -> Result<String, Failure> {
    let key = key(tx).await?;
    Ok(IdentifierRow::encode_hash(&identifier_hash(&key, tx.tenant(), identifier)))
}

/// Gives `user` exactly these identifiers. Who has one already keeps it: the primary key decides,
/// also between two transactions at once. `faults` names the field that is taken.
pub(super) async fn assign(
    tx: &mut TenantTx,
    user: UserId,
    canonical: &Canonical,
    faults: &mut Faults,
) -> Result<(), UserError> {
    let key = key(tx).await?;
    let tenant = tx.tenant();
    let hash =
        |identifier: &Identifier| IdentifierRow::encode_hash(&identifier_hash(&key, tenant, identifier));
    let username = hash(&canonical.username);
    let email = canonical.email.as_ref().map(hash);
    let kept: Vec<String> = std::iter::once(username.clone()).chain(email.clone()).collect();
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
    let mut wanted = vec![("username", username)];
    wanted.extend(email.map(|hash| ("email", hash)));
    wanted.sort_by(|a, b| a.1.cmp(&b.1));
    for (field, hash) in wanted {
        if !claim(tx, user, &hash).await? {
            faults.add(field, format!("A user with that {field} already exists."));
        }
    }
    Ok(())
}

/// Whether `user` has the identifier now.
async fn claim(tx: &mut TenantTx, user: UserId, hash: &str) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let inserted = sqlx::query!(
        "insert into identifiers (tenant_id, hash, user_id) values ($1, $2, $3) on conflict do nothing",
        tenant.uuid(),
        hash,
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 1 {
        tx.changes().identifier(tenant, hash);
        return Ok(true);
    }
    let owner = sqlx::query_scalar!(
        "select user_id from identifiers where tenant_id = $1 and hash = $2",
        tenant.uuid(),
        hash
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(owner == Some(user.uuid()))
}
