//! Requests that are found by their address: the row holds a keyed hash of it. After the lookup root of the hash is
//! deleted, the request is no longer found; requests live for days, lookup roots longer.

use chrono::{DateTime, Utc};
use shared::derive::{Purpose, Secret, derive, mac};
use shared::identifiers::Identifier;
use shared::ids::TenantId;

use super::{RequestId, RequestKind};
use crate::crypt::lookup;
use crate::db::TenantTx;
use crate::failure::Failure;

fn hash(root: &Secret, tenant: TenantId, address: &Identifier) -> Vec<u8> {
    let key = derive(root, tenant, Purpose::Identifier);
    mac(&key, "request-address/v1", &[tenant.as_bytes(), address.as_str().as_bytes()]).to_vec()
}

/// Lets a request be found by the address that it is about.
///
/// # Errors
/// Errors of the database.
pub async fn mark(tx: &mut TenantTx, id: RequestId, address: &Identifier) -> Result<(), Failure> {
    let roots = lookup::kept(tx).await?;
    let tenant = tx.tenant();
    sqlx::query!(
        "update requests set sought = $3 where tenant_id = $1 and id = $2",
        tenant.uuid(),
        id.uuid(),
        hash(&roots.current.secret, tenant, address),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets a request be found by its address no more.
///
/// # Errors
/// Errors of the database.
pub async fn unmark(tx: &mut TenantTx, id: RequestId) -> Result<(), Failure> {
    sqlx::query!(
        "update requests set sought = null where tenant_id = $1 and id = $2",
        tx.tenant().uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The unexpired requests of a kind with this address, the newest first.
///
/// # Errors
/// Errors of the database.
pub async fn about(
    tx: &mut TenantTx,
    kind: RequestKind,
    address: &Identifier,
    now: DateTime<Utc>,
) -> Result<Vec<RequestId>, Failure> {
    let roots = lookup::roots(tx).await?;
    let tenant = tx.tenant();
    let roots = std::iter::once(&roots.current).chain(roots.other.as_ref().map(|(root, _)| root));
    let hashes: Vec<_> = roots.map(|root| hash(&root.secret, tenant, address)).collect();
    let ids = sqlx::query_scalar!(
        "select id
         from requests
         where tenant_id = $1 and kind = $2 and sought = any ($3) and expires_at > $4
         order by created_at desc, id desc",
        tenant.uuid(),
        kind.as_str(),
        &hashes,
        now,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(RequestId::from).collect())
}
