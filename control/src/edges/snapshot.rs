//! A push of all rows of a tenant, if the edge's mark cannot be continued: it is of another history, or tombstones
//! since then were deleted.
//!
//! Pages stamp their rows with the snapshot's id. A row that changes meanwhile gets a greater revision and is sent in
//! a later page, so after the last page every existing row is stamped; unstamped rows at the edge become tombstones.
//! Then the mark is set. Rows are updated in place, so each user is correct at every moment.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::contract::limits::PUSH_ROWS;
use shared::ids::TenantId;
use shared::wire::push::{Complete, Push, Pushed, Snapshot, SnapshotStep};

use sqlx::Connection as _;

use super::client::Reply;
use super::lanes::{self, Lane, LaneError};
use super::marks::{self, Standing};
use super::{message, seals};
use crate::control::Control;
use crate::failure::Failure;
use crate::world::random;

/// Sends a snapshot of a tenant and sets the mark to the counter's value at its begin.
///
/// One at a time, because two would do the work twice. The lane's lease may expire during a long snapshot, so a
/// database lock also excludes a second one, as long as its connection exists. (Two that overlap nevertheless are
/// harmless: their ids are ordered, and the later one wins.)
///
/// # Errors
/// See [`LaneError`].
pub async fn push(control: &Control, tenant: TenantId) -> Result<(), LaneError> {
    let mut guard = control.db.relay().acquire().await.map_err(Failure::from)?.detach();
    let alone = sqlx::query_scalar!(
        r#"select pg_try_advisory_lock(hashtextextended('wardgate/snapshot/' || $1::text, 0)) as "alone!""#,
        tenant.to_string(),
    )
    .fetch_one(&mut guard)
    .await
    .map_err(Failure::from)?;
    let sent = if alone { send_all(control, tenant).await } else { Err(LaneError::UnderWay) };
    // Closing is what unlocks, after an error, too.
    guard.close().await.map_err(Failure::from)?;
    sent
}

async fn send_all(control: &Control, tenant: TenantId) -> Result<(), LaneError> {
    let mut tx = control.db.tenant_snapshot(tenant).await?;
    let began = marks::standing(&mut tx, tenant).await?;
    drop(tx);
    tracing::info!(%tenant, to = began.rev, "sending a snapshot");
    let id = id_of(began)?;
    let step = |step| Some(Snapshot { id: id.clone(), to: began.rev, step });
    pages(control, tenant, began.history, &step(SnapshotStep::Page)).await?;
    sweep(control, tenant, began.history, step(SnapshotStep::Sweep)).await?;
    if tenant == control.db.platform().await? {
        sweep(control, tenant, began.history, step(SnapshotStep::SweepNames)).await?;
    }
    let mut done = message::empty(tenant, began.history);
    done.complete = Some(Complete { from: 0, to: began.rev });
    let pushed = send(control, &done).await?;
    marks::pushed(control, &done, pushed.mark).await?;
    Ok(())
}

/// Grows in the order in which snapshots begin: history, counter, and randomness to be unique.
fn id_of(began: Standing) -> Result<String, Failure> {
    let random = URL_SAFE_NO_PAD.encode(random::<16>()?);
    Ok(format!("{:019}.{:019}.{random}", began.history, began.rev))
}

/// Ends what no page named, in chunks.
async fn sweep(
    control: &Control,
    tenant: TenantId,
    history: i64,
    snapshot: Option<Snapshot>,
) -> Result<(), LaneError> {
    let mut sweep = message::empty(tenant, history);
    sweep.snapshot = snapshot;
    while send(control, &sweep).await?.remaining {}
    Ok(())
}

/// Sends every row, the document first: it raises the floor of all epochs, and no row of the new history may
/// arrive while sessions of the one before still count.
async fn pages(
    control: &Control,
    tenant: TenantId,
    history: i64,
    snapshot: &Option<Snapshot>,
) -> Result<(), LaneError> {
    let mut after = None;
    loop {
        lanes::claim(control.db.relay(), tenant, Lane::Backlog, control.clock.now(), true).await?;
        let mut tx = control.db.tenant_snapshot(tenant).await?;
        if marks::standing(&mut tx, tenant).await?.halted {
            return Err(Failure::Halted.into());
        }
        let limit = i64::try_from(PUSH_ROWS).unwrap_or(500);
        let changed = match after {
            None => message::document(&mut tx).await?,
            Some(after) => message::page(&mut tx, after, limit).await?,
        };
        if seals::has_others(control, &changed) {
            drop(tx);
            seals::reseal_page(control, tenant, &changed).await?;
            continue;
        }
        let mut push = message::fill(control, &mut tx, history, &changed).await?;
        drop(tx);
        push.snapshot = snapshot.clone();
        let pushed = send(control, &push).await?;
        if push.document.is_some() {
            // Publishes the keys of the document; the mark moves when the snapshot is whole.
            marks::pushed(control, &push, pushed.mark).await?;
        }
        after = match (after, changed.last()) {
            (None, _) => Some(0),
            (Some(_), Some(last)) if changed.len() == PUSH_ROWS => Some(last.rev),
            (Some(_), _) => return Ok(()),
        };
    }
}

async fn send(control: &Control, push: &Push) -> Result<Pushed, LaneError> {
    match control.edge.push(push, control.clock.now()).await? {
        Reply::Pushed(pushed) => Ok(pushed),
        Reply::Gap(mark) | Reply::Stale(mark) => {
            marks::confirmed(control.db.relay(), push.tenant, mark, control.clock.now()).await?;
            Err(LaneError::Gap)
        }
    }
}
