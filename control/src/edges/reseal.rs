//! After a change of the edge's key-encryption key: every row with sealed values gets a new revision, and so is
//! pushed again, sealed under the new key, in the order of revisions. Epochs do not change, so sessions continue.
//!
//! The rows show what is left ([`super::seals`]), so the work can be stopped and continued at any point.

use std::time::Duration;

use shared::ids::TenantId;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::seals::{lock, own_key, stamp};
use super::{LaneError, pusher};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::changes::Priority;
use crate::failure::Failure;

/// Rows that get new revisions in one transaction: a page of a push.
const CHUNK: i64 = 500;
/// A tenant whose edge is behind by more waits, so that its other changes do not queue behind thousands of rows.
const MOST_BEHIND: i64 = 2 * CHUNK;
/// Before tenants whose edge is behind are looked at again.
const PAUSE: Duration = Duration::from_millis(200);
/// Passes of the job: it is begun again each minute.
const PASSES: u32 = 200;

/// Notes that everything is to be sealed under this control's key, after the edge has taken a document under it: where
/// the edge lacks the key, nothing else is touched. Says whether anything is left to do.
///
/// # Errors
/// See [`LaneError`].
pub async fn begin(control: &Control, actor: &Actor) -> Result<bool, LaneError> {
    let any_left = !left(control.db.relay(), own_key(control)).await?.is_empty();
    if any_left {
        try_key(control).await?;
    }
    let requested = sqlx::query!(
        "insert into platform.drains as d (edge, reseal_to) values ($1, $2)
         on conflict (edge) do update
         set reseal_to = excluded.reseal_to
         where d.reseal_to is distinct from excluded.reseal_to",
        control.settings.edge.id,
        own_key(control),
    )
    .execute(control.db.relay())
    .await
    .map_err(Failure::from)?;
    if any_left && requested.rows_affected() > 0 {
        let platform = control.db.platform().await?;
        let mut tx = control.db.tenant_tx(platform).await?;
        let details = serde_json::json!({ "key": own_key(control) });
        audit::record(&mut tx, actor, control.clock.now(), Action::EdgeResealed, None, details);
        tx.commit().await?;
    }
    Ok(any_left)
}

/// Sends the platform tenant's document under this control's key.
async fn try_key(control: &Control) -> Result<(), LaneError> {
    let platform = control.db.platform().await?;
    let mut tx = control.db.tenant_tx(platform).await?;
    tx.changes().document(platform, Priority::InTurn);
    tx.commit().await?;
    pusher::push_now(control, platform).await
}

/// The result of one pass over the tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Rows that got a new revision.
    pub resealed: u64,
    /// Rows of tenants whose edge has to catch up first.
    pub waiting: i64,
}

/// Gives new revisions to a page of rows of every tenant with values under another key than this control's. A tenant
/// that may not be written is skipped; [`super::seals::all`] still counts it.
///
/// # Errors
/// The database's. Earlier work stays.
pub async fn pass(control: &Control) -> Result<Pass, Failure> {
    let (relay, key) = (control.db.relay(), own_key(control));
    let mut pass = Pass::default();
    for Left { tenant, former, rows, behind } in left(relay, key).await? {
        if behind > MOST_BEHIND {
            pass.waiting += rows;
            continue;
        }
        let mut tx = relay.begin().await?;
        let Some(rev) = lock(&mut tx, tenant).await? else { continue };
        let chosen = chosen(&mut tx, tenant, &former).await?;
        let resealed = stamp(&mut tx, tenant, rev, &chosen, key).await?;
        tx.commit().await?;
        pass.resealed += resealed;
        pass.waiting += (rows - i64::try_from(resealed).unwrap_or(rows)).max(0);
    }
    Ok(pass)
}

/// Waits a moment for edges that are behind.
pub async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

/// Continues the work that [`begin`] recorded, if it is for the key that this control uses: while control processes
/// are restarted with a new key one after the other, those with the former key do not undo it.
///
/// # Errors
/// Errors of the database.
pub async fn go_on(control: &Control) -> Result<(), Failure> {
    let (edge, key) = (control.settings.edge.id.as_str(), own_key(control));
    let asked = sqlx::query_scalar!(
        r#"select exists (select from platform.drains where edge = $1 and reseal_to = $2) as "asked!""#,
        edge,
        key,
    )
    .fetch_one(control.db.relay())
    .await?;
    if !asked {
        return Ok(());
    }
    for _ in 0..PASSES {
        let pass = pass(control).await?;
        if pass.waiting == 0 {
            break;
        }
        pause().await;
    }
    Ok(())
}

/// The rows of a tenant under another key.
struct Left {
    tenant: TenantId,
    former: String,
    rows: i64,
    behind: i64,
}

async fn left(relay: &PgPool, key: &str) -> Result<Vec<Left>, Failure> {
    let rows = sqlx::query!(
        r#"select e.tenant_id, e.sealed_by as "former!", count(*) as "rows!",
            case when r.history = r.mark_history then r.rev - r.mark else r.rev end as "behind!"
        from platform.edge_rows e
        join platform.revisions r on r.tenant_id = e.tenant_id
        where (e.sealed_by < $1 or e.sealed_by > $1) and r.halted_at is null
        group by e.tenant_id, e.sealed_by, r.history, r.mark_history, r.rev, r.mark
        order by e.tenant_id, e.sealed_by"#,
        key,
    )
    .fetch_all(relay)
    .await?;
    let left = |tenant: Uuid, former, rows, behind| Left { tenant: tenant.into(), former, rows, behind };
    Ok(rows.into_iter().map(|row| left(row.tenant_id, row.former, row.rows, row.behind)).collect())
}

/// The document, if it is under that key, and some users.
async fn chosen(tx: &mut PgConnection, tenant: TenantId, former: &str) -> Result<Vec<String>, Failure> {
    let subjects = sqlx::query_scalar!(
        r#"select subject as "subject!"
        from (
            (select subject, 0 as place from platform.edge_rows
             where tenant_id = $1 and kind = 'document' and sealed_by = $2)
            union all
            (select subject, 1 from platform.edge_rows
             where tenant_id = $1 and kind <> 'document' and sealed_by = $2
             limit $3)
        ) as page
        order by place"#,
        tenant.uuid(),
        former,
        CHUNK,
    )
    .fetch_all(tx)
    .await?;
    Ok(subjects)
}
