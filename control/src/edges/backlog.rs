//! Everything in the order of revisions, page by page, until the edge is where we are.

use shared::contract::limits::PUSH_ROWS;
use shared::ids::TenantId;
use shared::wire::push::{Complete, Mark};

use super::client::Reply;
use super::lanes::{self, Lane, LaneError};
use super::{marks, message, seals, snapshot};
use crate::control::Control;

/// Pushes the missing changes of a tenant:
/// 1. read a page above the mark and, in the same snapshot, the present rows;
/// 2. send it with the range it completes;
/// 3. record the mark in the edge's answer. After a gap continue from the edge's mark, or send a snapshot if
///    tombstones since then were deleted. If the edge is ahead of this database, the tenant is halted.
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
        let changed = message::page(&mut tx, at.mark.rev, limit).await?;
        if seals::has_others(control, &changed) {
            drop(tx);
            seals::reseal_page(control, tenant, &changed).await?;
            continue;
        }
        let mut push = message::fill(control, &mut tx, at.history, &changed).await?;
        drop(tx);
        let whole = changed.len() < PUSH_ROWS;
        let last = changed.last().map_or(at.rev, |row| row.rev);
        push.complete = Some(Complete { from: at.mark.rev, to: if whole { at.rev } else { last } });
        match control.edge.push(&push, control.clock.now()).await? {
            Reply::Pushed(pushed) => {
                marks::pushed(control, &push, pushed.mark).await?;
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
