//! Who sends what: leases, so that several controls share the work, and growing delays.
//!
//! A lease is longer than one call takes and is renewed by taking it again; a control that was
//! killed is replaced when its lease is over. Sending twice is harmless, so a lease saves work, it
//! guards nothing.

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::TenantId;
use sqlx::PgPool;

use super::client::CallError;
use crate::failure::Failure;
use crate::world::random;

const LEASE: TimeDelta = TimeDelta::seconds(15);

/// One of the two ways of a tenant to the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Everything, in the order of revisions.
    Backlog,
    /// Revoking changes, before any backlog.
    Urgent,
}

impl Lane {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Urgent => "urgent",
        }
    }

    fn longest_delay_ms(self) -> i64 {
        match self {
            Self::Backlog => 30_000,
            // A revocation that waits is a user who still gets in.
            Self::Urgent => 4_000,
        }
    }
}

/// Why a lane stopped before it was done.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The edge did not accept it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Another control sends a snapshot of the tenant.
    #[error("a snapshot of the tenant is being sent")]
    UnderWay,
    /// The edge's database is back from before, and has facts that were never read.
    #[error("the edge's database was restored from before: run `wardgate edges restored`")]
    Restored,
    /// The edge said twice that a push does not follow the mark which it named itself.
    #[error("the edge refuses what follows its own mark")]
    Gap,
}

/// The lanes with something to send and without an active sender. The urgent lane only if the backlog would not send
/// the change at once (it does with a page or less and no obstacle), and not if too many users wait
/// ([`urgent`](super::urgent)).
///
/// # Errors
/// Errors of the database.
pub async fn due(
    relay: &PgPool,
    now: DateTime<Utc>,
    page: i64,
    ahead: i64,
) -> Result<Vec<(TenantId, Lane)>, Failure> {
    let rows = sqlx::query!(
        r#"select r.tenant_id as "tenant_id!", 'backlog' as "lane!"
        from platform.revisions r
        left join platform.edge_lanes l on l.tenant_id = r.tenant_id and l.lane = 'backlog'
        where (r.rev > r.mark or r.history <> r.mark_history)
            and r.rev > 0
            and r.halted_at is null
            and coalesce(l.leased_until <= $1, true)
            and coalesce(l.retry_at <= $1, true)
        union all
        select r.tenant_id, 'urgent'
        from platform.revisions r
        left join platform.edge_lanes l on l.tenant_id = r.tenant_id and l.lane = 'urgent'
        left join platform.edge_lanes b on b.tenant_id = r.tenant_id and b.lane = 'backlog'
        where exists (select from platform.edge_rows e where e.tenant_id = r.tenant_id and e.urgent)
            and (
                exists (
                    select from platform.edge_rows e
                    where e.tenant_id = r.tenant_id and e.kind = 'document' and e.urgent
                )
                or (
                    select count(*)
                    from (
                        select from platform.edge_rows e
                        where e.tenant_id = r.tenant_id and e.urgent
                        limit $3::bigint + 1
                    ) as counted
                ) <= $3::bigint
            )
            and r.halted_at is null
            and (r.rev - r.mark > $2 or r.history <> r.mark_history
                or b.leased_until > $1 or b.retry_at > $1)
            and coalesce(l.leased_until <= $1, true)
            and coalesce(l.retry_at <= $1, true)"#,
        now,
        page,
        ahead,
    )
    .fetch_all(relay)
    .await?;
    let lane = |text: &str| if text == "urgent" { Lane::Urgent } else { Lane::Backlog };
    Ok(rows.into_iter().map(|row| (TenantId::from(row.tenant_id), lane(&row.lane))).collect())
}

/// Takes or renews the lease of a lane. `renewing` says that it is ours already.
///
/// # Errors
/// Errors of the database.
pub async fn claim(
    relay: &PgPool,
    tenant: TenantId,
    lane: Lane,
    now: DateTime<Utc>,
    renewing: bool,
) -> Result<bool, Failure> {
    let claimed = sqlx::query!(
        "insert into platform.edge_lanes as l (tenant_id, lane, leased_until)
         values ($1, $2, $3)
         on conflict (tenant_id, lane) do update
         set leased_until = excluded.leased_until
         where $5 or coalesce(l.leased_until <= $4, true)",
        tenant.uuid(),
        lane.as_str(),
        now + LEASE,
        now,
        renewing,
    )
    .execute(relay)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Gives the lane back after everything was sent.
///
/// # Errors
/// Errors of the database.
pub async fn succeeded(relay: &PgPool, tenant: TenantId, lane: Lane) -> Result<(), Failure> {
    sqlx::query!(
        "update platform.edge_lanes
         set leased_until = null, attempts = 0, retry_at = null, failing_since = null, last_error = null
         where tenant_id = $1 and lane = $2",
        tenant.uuid(),
        lane.as_str(),
    )
    .execute(relay)
    .await?;
    Ok(())
}

/// Gives the lane back after a failure, to be tried again after a delay that doubles.
///
/// # Errors
/// Errors of the database.
pub async fn failed(
    relay: &PgPool,
    tenant: TenantId,
    lane: Lane,
    now: DateTime<Utc>,
    error: &str,
) -> Result<(), Failure> {
    let attempts = sqlx::query_scalar!(
        "update platform.edge_lanes
         set leased_until = null, attempts = attempts + 1, last_error = $3,
             failing_since = coalesce(failing_since, $4)
         where tenant_id = $1 and lane = $2
         returning attempts",
        tenant.uuid(),
        lane.as_str(),
        error,
        now,
    )
    .fetch_optional(relay)
    .await?;
    let [dice] = random::<1>()?;
    let retry_at = now + delay(lane.longest_delay_ms(), attempts.unwrap_or(1), dice);
    sqlx::query!(
        "update platform.edge_lanes set retry_at = $3 where tenant_id = $1 and lane = $2",
        tenant.uuid(),
        lane.as_str(),
        retry_at,
    )
    .execute(relay)
    .await?;
    Ok(())
}

/// Lets every lane that waits for its retry try now: the edge has just been heard of.
///
/// # Errors
/// Errors of the database.
pub async fn hurry(relay: &PgPool, now: DateTime<Utc>) -> Result<(), Failure> {
    sqlx::query!("update platform.edge_lanes set retry_at = $1 where retry_at > $1", now)
        .execute(relay)
        .await?;
    Ok(())
}

/// 200 ms, doubled with every attempt up to the longest, and spread over half to one and a half of that, so
/// that tenants whose edge came back do not all call at once.
pub(super) fn delay(longest_ms: i64, attempts: i32, dice: u8) -> TimeDelta {
    let doubled = 100_i64 << attempts.clamp(0, 20);
    let base = doubled.min(longest_ms);
    TimeDelta::milliseconds(base / 2 + base * i64::from(dice) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_are_spread() {
        let ms =
            |lane: Lane, attempts, dice| delay(lane.longest_delay_ms(), attempts, dice).num_milliseconds();
        assert_eq!((ms(Lane::Backlog, 1, 0), ms(Lane::Backlog, 1, 255)), (100, 300));
        assert_eq!((ms(Lane::Backlog, 5, 0), ms(Lane::Backlog, 5, 255)), (1600, 4800));
        assert_eq!((ms(Lane::Backlog, 99, 0), ms(Lane::Backlog, 99, 255)), (15_000, 45_000));
        assert_eq!(ms(Lane::Urgent, 99, 255), 6_000);
    }
}
