//! Limits on the number of stored requests. Requests without a credential are limited for each tenant, independent of
//! what they name: a refusal does not reveal which names and addresses exist.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::{STRANGERS_PER_MINUTE, STRANGERS_WAITING};

use super::RequestKind;
use crate::db::TenantTx;
use crate::failure::Failure;

/// `Retry-After` of a request that was refused because of the limit, in seconds.
pub const LATER_SECS: u64 = 60;

/// Counts one more request of a kind that needs no credential; false if the tenant's limit is reached. A counter
/// holds the requests of a minute, not their rows: how soon a job deletes a row depends on whether its address
/// belongs to a user.
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
