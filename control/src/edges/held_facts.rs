//! Held facts, which could not be stored in their tenant's cell because it is locked, broken, or being migrated.
//!
//! They are deleted at the edge, so that other tenants' facts continue. Here they keep their order, and are tried
//! again after growing delays. While any is held, the tenant's later facts are held, too.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use shared::ids::TenantId;
use shared::wire::facts::Fact;
use sqlx::PgConnection;
use uuid::Uuid;

use super::lanes;
use crate::failure::Failure;
use crate::world::random;

/// Facts of one tenant that are offered at once.
const PAGE: i64 = 500;
/// Longest wait before they are offered again.
const LONGEST_DELAY_MS: i64 = 30_000;

/// Keeps facts of a tenant. One that is kept already is not kept twice.
///
/// # Errors
/// Errors of the database.
pub(super) async fn hold(tx: &mut PgConnection, tenant: TenantId, facts: &[&Fact]) -> Result<(), Failure> {
    let ids: Vec<Uuid> = facts.iter().map(|fact| fact.id.uuid()).collect();
    let texts = facts.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    let texts = texts.map_err(|_| Failure::Unreadable("fact"))?;
    sqlx::query!(
        "insert into platform.held_facts (tenant_id, id, fact)
         select $1, id, fact
         from unnest($2::uuid[], $3::jsonb[]) with ordinality as each (id, fact, place)
         order by place
         on conflict do nothing",
        tenant.uuid(),
        &ids,
        &texts,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The tenants whose facts wait.
///
/// # Errors
/// Errors of the database.
pub(super) async fn tenants(tx: &mut PgConnection) -> Result<BTreeSet<TenantId>, Failure> {
    let tenants = sqlx::query_scalar!(
        "select tenant_id from platform.edge_lanes where lane = 'facts' and failing_since is not null"
    )
    .fetch_all(tx)
    .await?;
    Ok(tenants.into_iter().map(TenantId::from).collect())
}

/// Those of them that may be tried again now, the one that waits longest first.
///
/// # Errors
/// Errors of the database.
pub(super) async fn due(tx: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<TenantId>, Failure> {
    let tenants = sqlx::query_scalar!(
        "select tenant_id
         from platform.edge_lanes
         where lane = 'facts' and failing_since is not null and coalesce(retry_at <= $1, true)
         order by retry_at",
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(tenants.into_iter().map(TenantId::from).collect())
}

/// The oldest facts of a tenant that wait.
///
/// # Errors
/// Errors of the database.
pub(super) async fn oldest(tx: &mut PgConnection, tenant: TenantId) -> Result<Vec<Fact>, Failure> {
    let facts = sqlx::query_scalar!(
        "select fact from platform.held_facts where tenant_id = $1 order by place limit $2",
        tenant.uuid(),
        PAGE,
    )
    .fetch_all(tx)
    .await?;
    let read = |fact| serde_json::from_value(fact).map_err(|_| Failure::Unreadable("held fact"));
    facts.into_iter().map(read).collect()
}

/// Lets go of facts that the tenant has taken, and of the failure once none waits any more.
///
/// # Errors
/// Errors of the database.
pub(super) async fn release(tx: &mut PgConnection, tenant: TenantId, facts: &[Fact]) -> Result<(), Failure> {
    let ids: Vec<Uuid> = facts.iter().map(|fact| fact.id.uuid()).collect();
    sqlx::query!(
        "delete from platform.held_facts where tenant_id = $1 and id = any($2)",
        tenant.uuid(),
        &ids,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update platform.edge_lanes
         set attempts = 0, retry_at = null, failing_since = null, last_error = null
         where tenant_id = $1 and lane = 'facts'
             and not exists (select from platform.held_facts where tenant_id = $1)",
        tenant.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that a tenant did not take its facts, and when it is tried again.
///
/// # Errors
/// Errors of the database.
pub(super) async fn failed(
    tx: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
    error: &str,
) -> Result<(), Failure> {
    let attempts = sqlx::query_scalar!(
        "insert into platform.edge_lanes as l (tenant_id, lane, attempts, failing_since, last_error)
         values ($1, 'facts', 1, $2, $3)
         on conflict (tenant_id, lane) do update
         set attempts = l.attempts + 1,
             failing_since = coalesce(l.failing_since, excluded.failing_since),
             last_error = excluded.last_error
         returning attempts",
        tenant.uuid(),
        now,
        error,
    )
    .fetch_one(&mut *tx)
    .await?;
    let [dice] = random::<1>()?;
    sqlx::query!(
        "update platform.edge_lanes set retry_at = $2 where tenant_id = $1 and lane = 'facts'",
        tenant.uuid(),
        now + lanes::delay(LONGEST_DELAY_MS, attempts, dice),
    )
    .execute(tx)
    .await?;
    Ok(())
}
