//! How many requests there may be. What anybody may ask for is bounded for each tenant, whatever the request names: a
//! refusal says nothing of the names and addresses that are known.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::{STRANGERS_PER_MINUTE, STRANGERS_WAITING};

use super::RequestKind;
use crate::db::TenantTx;
use crate::failure::Failure;

/// Whether there is room for one more request of a kind that strangers make.
///
/// # Errors
/// The database's.
pub async fn has_room(tx: &mut TenantTx, kind: RequestKind, now: DateTime<Utc>) -> Result<bool, Failure> {
    let since = Some(now - TimeDelta::minutes(1));
    Ok(counted(tx, kind, since, STRANGERS_PER_MINUTE).await? < STRANGERS_PER_MINUTE
        && counted(tx, kind, None, STRANGERS_WAITING).await? < STRANGERS_WAITING)
}

/// How many requests of a kind there are, counted up to `most`.
///
/// # Errors
/// The database's.
pub async fn count(tx: &mut TenantTx, kind: RequestKind, most: i64) -> Result<i64, Failure> {
    counted(tx, kind, None, most).await
}

async fn counted(
    tx: &mut TenantTx,
    kind: RequestKind,
    since: Option<DateTime<Utc>>,
    most: i64,
) -> Result<i64, Failure> {
    let counted = sqlx::query_scalar!(
        r#"select count(*) as "count!"
        from (
            select from requests
            where tenant_id = $1 and kind = $2 and created_at > coalesce($3, '-infinity'::timestamptz)
            limit $4
        ) as counted"#,
        tx.tenant().uuid(),
        kind.as_str(),
        since,
        most,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(counted)
}
