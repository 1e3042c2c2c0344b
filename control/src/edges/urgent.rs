//! What revokes, past any backlog: the whole current row, without a range and without identifiers.
//!
//! A revocation of thousands at once is a backlog itself: then the document alone goes ahead, and the users
//! go in the order of revisions, each of them once.

use shared::contract::limits::PUSH_ROWS;
use shared::ids::TenantId;

use super::client::Reply;
use super::lanes::LaneError;
use super::message::Changed;
use super::{marks, message, seals};
use crate::control::Control;
use crate::failure::Failure;

/// Users that go ahead of a backlog; where more wait, all of them go with it.
pub(super) const AHEAD: i64 = 2000;

/// Sends the rows that revoke and have not reached the edge.
///
/// # Errors
/// See [`LaneError`].
pub async fn push(control: &Control, tenant: TenantId) -> Result<(), LaneError> {
    loop {
        let mut tx = control.db.tenant_snapshot(tenant).await?;
        let at = marks::standing(&mut tx, tenant).await?;
        let limit = i64::try_from(PUSH_ROWS).unwrap_or(500);
        let changed = message::urgent(&mut tx, limit, AHEAD).await?;
        if at.halted || changed.is_empty() {
            return Ok(());
        }
        if seals::has_others(control, &changed) {
            drop(tx);
            seals::reseal_page(control, tenant, &changed).await?;
            continue;
        }
        let push = message::fill(control, &mut tx, at.history, &changed).await?;
        drop(tx);
        match control.edge.push(&push, control.clock.now()).await? {
            Reply::Pushed(_) => calm(control, tenant, &changed).await?,
            Reply::Gap(mark) | Reply::Stale(mark) => {
                marks::confirmed(control.db.relay(), tenant, mark, control.clock.now()).await?;
                return Err(LaneError::Gap);
            }
        }
    }
}

/// These rows have reached the edge, unless they changed again meanwhile.
async fn calm(control: &Control, tenant: TenantId, changed: &[Changed]) -> Result<(), Failure> {
    let subjects: Vec<String> = changed.iter().map(|row| row.subject.clone()).collect();
    let revs: Vec<i64> = changed.iter().map(|row| row.rev).collect();
    sqlx::query!(
        "update platform.edge_rows e
         set urgent = false
         from unnest($2::text[], $3::bigint[]) as sent (subject, rev)
         where e.tenant_id = $1 and e.subject = sent.subject and e.rev = sent.rev",
        tenant.uuid(),
        &subjects,
        &revs,
    )
    .execute(control.db.relay())
    .await?;
    control.confirmations.notify_waiters();
    Ok(())
}
