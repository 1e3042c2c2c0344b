//! How far the edge has confirmed, and the stop that follows when it is ahead of us.

use chrono::{DateTime, Utc};
use shared::ids::TenantId;
use shared::wire::push::{Mark, Push};
use sqlx::{PgConnection, PgPool};

use crate::control::Control;
use crate::failure::Failure;
use crate::{keys, tenants};

/// The state of a tenant's pushes.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Our restore counter.
    pub history: i64,
    /// Our counter.
    pub rev: i64,
    /// The mark that the edge has confirmed.
    pub mark: Mark,
    /// The highest revision of a tombstone that was swept here.
    pub swept: i64,
    /// Whether writing is stopped.
    pub halted: bool,
}

/// Reads the state of a tenant's pushes.
///
/// # Errors
/// Errors of the database.
pub async fn standing(connection: &mut PgConnection, tenant: TenantId) -> Result<Standing, Failure> {
    let row = sqlx::query!(
        r#"select history, rev, mark_history, mark, swept, halted_at is not null as "halted!"
        from platform.revisions where tenant_id = $1"#,
        tenant.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Standing {
        history: row.history,
        rev: row.rev,
        mark: Mark { history: row.mark_history, rev: row.mark },
        swept: row.swept,
        halted: row.halted,
    })
}

/// Notes what the edge confirmed and that nothing up to there is urgent any more. Where the edge
/// is ahead of what we ever wrote, we were restored from a backup: writing for the tenant stops.
/// The row decides, since another control may have written meanwhile.
///
/// # Errors
/// [`Failure::Halted`], or errors of the database.
pub async fn confirmed(
    relay: &PgPool,
    tenant: TenantId,
    mark: Mark,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let ahead = sqlx::query_scalar!(
        r#"with noted as (
            update platform.revisions
            set mark_history = $2, mark = $3, confirmed_at = $4,
                halted_at = case when (history, rev) < ($2, $3) then coalesce(halted_at, $4) end,
                halted_why = case when (history, rev) < ($2, $3)
                    then format('the edge is at %s/%s, we are at %s/%s', $2::bigint, $3::bigint, history, rev) end
            where tenant_id = $1 and (mark_history, mark) is distinct from ($2, $3)
            returning halted_at is not null as halted, history
        ),
        calmed as (
            update platform.edge_rows e
            set urgent = false
            where tenant_id = $1 and urgent and rev <= $3
                and exists (select from platform.revisions r where r.tenant_id = $1 and r.history = $2)
        )
        select coalesce((select halted from noted), false) as "halted!""#,
        tenant.uuid(),
        mark.history,
        mark.rev,
        now,
    )
    .fetch_one(relay)
    .await?;
    if ahead {
        tracing::error!(%tenant, history = mark.history, mark = mark.rev,
            "the edge has seen later revisions than this database: restored from a backup? Nothing is written \
             for this tenant until `wardgate edges reseed`");
        return Err(Failure::Halted);
    }
    Ok(())
}

/// Notes that the edge has taken a push: its mark, and the keys that it publishes from now on.
///
/// # Errors
/// As [`confirmed`].
pub async fn pushed(control: &Control, push: &Push, mark: Mark) -> Result<(), Failure> {
    let now = control.clock.now();
    if let Some(row) = &push.document {
        let kids: Vec<String> = row.document.published_keys().map(|key| key.kid.to_string()).collect();
        let mut tx = control.db.push_tx(push.tenant).await?;
        keys::store::confirm(&mut tx, &kids, now).await?;
        tenants::claims::change::confirm(&mut tx, &row.document.former_claims, now).await?;
        tx.commit().await?;
    }
    confirmed(control.db.relay(), push.tenant, mark, now).await?;
    control.confirmations.notify_waiters();
    Ok(())
}
