//! Everything in the order of revisions, page by page, until the edge is where we are.

use shared::ids::TenantId;
use shared::limits::PUSH_ROWS;
use shared::push::{Complete, Mark, Push};

use super::client::{CallError, Reply};
use super::lanes::{self, Lane};
use super::{marks, message, snapshot};
use crate::control::Control;
use crate::failure::Failure;
use crate::keys;

/// Why a lane stopped before it was done.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The edge did not take it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Something beneath failed.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Another control sends a snapshot of the tenant.
    #[error("a snapshot of the tenant is being sent")]
    UnderWay,
    /// The edge said twice that a push does not follow the mark which it named itself.
    #[error("the edge refuses what follows its own mark")]
    Gap,
}

/// Pushes what is missing of a tenant:
/// 1. read a page above the mark and, in the same picture, what its rows are now;
/// 2. send it with the range it completes;
/// 3. note the mark the edge answers. A gap says where the edge is: go on from there, or send a
///    snapshot where tombstones on the way were swept. An edge ahead of us halts the tenant.
///
/// # Errors
/// See [`LaneError`].
pub async fn push(control: &Control, tenant: TenantId) -> Result<(), LaneError> {
    let mut gaps = 0;
    loop {
        let now = control.clock.now();
        lanes::claim(control.db.relay(), tenant, Lane::Backlog, now, true).await?;
        let mut tx = control.db.tenant_snapshot(tenant).await?;
        let at = marks::standing(&mut tx, tenant).await?;
        let untouched = at.mark == Mark::default();
        let same_history = untouched || at.mark.history == at.history;
        if at.halted || at.mark == (Mark { history: at.history, rev: at.rev }) {
            return Ok(());
        }
        if !same_history || at.mark.rev < at.swept {
            drop(tx);
            snapshot::push(control, tenant).await?;
            continue;
        }
        let limit = i64::try_from(PUSH_ROWS).unwrap_or(500);
        let changed = message::page(&mut tx, at.mark.rev, false, limit).await?;
        let mut push = message::fill(control, &mut tx, at.history, &changed).await?;
        drop(tx);
        let whole = changed.len() < PUSH_ROWS;
        let last = changed.last().map_or(at.rev, |row| row.rev);
        push.complete = Some(Complete { from: at.mark.rev, to: if whole { at.rev } else { last } });
        match control.edge.push(&push, control.clock.now()).await? {
            Reply::Pushed(pushed) => {
                confirmed(control, &push, pushed.mark).await?;
                gaps = 0;
            }
            Reply::Gap(mark) if mark.history < at.history && mark != Mark::default() => {
                snapshot::push(control, tenant).await?;
            }
            Reply::Gap(mark) | Reply::Stale(mark) => {
                gaps += 1;
                if gaps > 3 {
                    return Err(LaneError::Gap);
                }
                marks::confirmed(control.db.relay(), tenant, mark, control.clock.now()).await?;
            }
        }
    }
}

/// Notes the mark, and the keys that the edge publishes from now on.
pub(super) async fn confirmed(control: &Control, push: &Push, mark: Mark) -> Result<(), Failure> {
    let now = control.clock.now();
    if let Some(row) = &push.document {
        let kids: Vec<String> = row.document.published_keys().map(|key| key.kid.to_string()).collect();
        let mut tx = control.db.tenant_tx(push.tenant).await?;
        keys::store::confirm(&mut tx, &kids, now).await?;
        tx.commit().await?;
    }
    marks::confirmed(control.db.relay(), push.tenant, mark, now).await
}
