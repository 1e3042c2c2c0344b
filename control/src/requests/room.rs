//! How many requests there may be. What anybody may ask for is bounded for each tenant, whatever the request names: a
//! refusal says nothing of the names and addresses that are known.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::{STRANGERS_PER_MINUTE, STRANGERS_WAITING};

use super::RequestKind;
use crate::db::TenantTx;
use crate::failure::Failure;

/// When a stranger is to ask again for whom there was no room, in seconds.
pub const LATER_SECS: u64 = 60;

/// Takes room for one more request of a kind that strangers make; false where the tenant has no room left. A counter holds the
/// requests of a minute, not their rows: how soon a job deletes a row depends on whose address it has.
///
/// # Errors
/// Errors of the database.
pub async fn take_room(tx: &mut TenantTx, kind: RequestKind, now: DateTime<Utc>) -> Result<bool, Failure> {
    if count(tx, kind, STRANGERS_WAITING).await? >= STRANGERS_WAITING {
        return Ok(false);
    }
    let taken = sqlx::query_scalar!(
        "insert into request_counts as c (tenant_id, kind, began_at, made)
         values ($1, $2, $3, 1)
         on conflict (tenant_id, kind) do update
         set made = case when c.began_at > $4 then c.made + 1 else 1 end,
             began_at = case when c.began_at > $4 then c.began_at else excluded.began_at end
         where c.made < $5 or c.began_at <= $4
         returning made",
        tx.tenant().uuid(),
        kind.as_str(),
        now,
        now - TimeDelta::minutes(1),
        STRANGERS_PER_MINUTE,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(taken.is_some())
}

/// How many requests of a kind there are, counted up to `most`.
///
/// # Errors
/// Errors of the database.
pub async fn count(tx: &mut TenantTx, kind: RequestKind, most: i64) -> Result<i64, Failure> {
    let counted = sqlx::query_scalar!(
        r#"select count(*) as "count!"
        from (
            select from requests
            where tenant_id = $1 and kind = $2
            limit $3
        ) as counted"#,
        tx.tenant().uuid(),
        kind.as_str(),
        most,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(counted)
}
