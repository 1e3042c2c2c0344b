//! Everything of a tenant, where the edge's mark cannot be continued from: another history, or a
//! tombstone on the way that was swept.
//!
//! Pages stamp their rows with the snapshot's id. A row that changes while pages are sent moves to
//! the end and is met there, so when a page comes short every living row was stamped; what is left
//! unstamped became a tombstone here and does so there. Then the mark is set. There is no second
//! copy: each person is right at every moment.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::ids::TenantId;
use shared::limits::PUSH_ROWS;
use shared::push::{Complete, NameRow, Push, Pushed, Snapshot, SnapshotStep};

use super::backlog::{LaneError, confirmed};
use super::client::Reply;
use super::lanes::{self, Lane};
use super::{marks, message};
use crate::control::Control;
use crate::failure::Failure;
use crate::world::random;

/// Sends a snapshot of a tenant and sets the mark to where the counter was when it began.
///
/// # Errors
/// See [`LaneError`].
pub async fn push(control: &Control, tenant: TenantId) -> Result<(), LaneError> {
    let mut tx = control.db.tenant_snapshot(tenant).await?;
    let began = marks::standing(&mut tx, tenant).await?;
    drop(tx);
    let id = URL_SAFE_NO_PAD.encode(random::<16>()?);
    tracing::info!(%tenant, to = began.rev, "sending a snapshot");
    let step = |step| Some(Snapshot { id: id.clone(), to: began.rev, step });
    let name = pages(control, tenant, began.history, &step(SnapshotStep::Page)).await?;
    loop {
        let mut sweep = message::empty(tenant, began.history);
        sweep.snapshot = step(SnapshotStep::Sweep);
        // The tenant whose pages hold names is the one whose sweep may end them.
        sweep.names = name.iter().cloned().collect();
        if !send(control, &sweep).await?.remaining {
            break;
        }
    }
    let mut done = message::empty(tenant, began.history);
    done.complete = Some(Complete { from: 0, to: began.rev });
    let pushed = send(control, &done).await?;
    confirmed(control, &done, pushed.mark).await?;
    Ok(())
}

/// Sends every row, and returns one name of them, where there are names.
async fn pages(
    control: &Control,
    tenant: TenantId,
    history: i64,
    snapshot: &Option<Snapshot>,
) -> Result<Option<NameRow>, LaneError> {
    let (mut after, mut name) = (0, None);
    loop {
        lanes::claim(control.db.relay(), tenant, Lane::Backlog, control.clock.now(), true).await?;
        let mut tx = control.db.tenant_snapshot(tenant).await?;
        if marks::standing(&mut tx, tenant).await?.halted {
            return Err(Failure::Halted.into());
        }
        let limit = i64::try_from(PUSH_ROWS).unwrap_or(500);
        let changed = message::page(&mut tx, after, false, limit).await?;
        let mut push = message::fill(control, &mut tx, history, &changed).await?;
        drop(tx);
        push.snapshot = snapshot.clone();
        let pushed = send(control, &push).await?;
        if push.document.is_some() {
            // Publishes the keys of the document; the mark moves when the snapshot is whole.
            confirmed(control, &push, pushed.mark).await?;
        }
        name = name.or_else(|| push.names.first().cloned());
        match changed.last() {
            Some(last) if changed.len() == PUSH_ROWS => after = last.rev,
            _ => return Ok(name),
        }
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
