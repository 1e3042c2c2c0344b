//! After this database was restored from a backup: a new history, and every session ends.

use chrono::TimeDelta;
use shared::ids::TenantId;
use shared::wire::push::{Command, StatusOut};

use super::lanes::LaneError;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::jobs::queue;
use crate::keys::store::AdvanceKeys;

/// Added to the next numeric user id, because ids may have been assigned since the backup: they must not be assigned
/// to other users.
const NUMBER_LEAP: i64 = 1 << 20;

/// Raises the tenant's history above every history that the edge has seen, and allows writing again. The edge's mark
/// is not enough: an earlier reseed may have sent its document without completing. The history is the floor of all
/// epochs ([`shared::epochs`]), so every session ends with the document, which is sent first; no user's row changes.
/// The next push is a snapshot, because the edge's mark is of another history.
///
/// # Errors
/// See [`LaneError`]; the edge must answer, because its history decides ours.
pub async fn reseed(control: &Control, actor: &Actor, tenant: TenantId) -> Result<i64, LaneError> {
    let now = control.clock.now();
    let ask = Command::Status { tenants: vec![tenant] };
    let status: StatusOut = control.edge.command(&ask, now).await?;
    let seen = status
        .marks
        .iter()
        .find(|mark| mark.tenant == tenant)
        .map_or(0, |mark| mark.history.unwrap_or(0).max(mark.mark.history));
    let mut tx = control.db.tenant_tx(tenant).await?;
    sqlx::query!(
        "update platform.revisions set halted_at = null, halted_why = null where tenant_id = $1",
        tenant.uuid(),
    )
    .execute(&mut *tx)
    .await
    .map_err(Failure::from)?;
    let history = begin_history(&mut tx, tenant, seen).await?;
    sqlx::query!("update legacy_ids set next = next + $2 where tenant_id = $1", tenant.uuid(), NUMBER_LEAP)
        .execute(&mut *tx)
        .await
        .map_err(Failure::from)?;
    tx.changes().document(tenant, Priority::Revokes);
    let details = serde_json::json!({ "history": history });
    audit::record(&mut tx, actor, now, Action::EdgeReseeded, None, details);
    // While the tenant was halted, a planned change of its keys could not be made and may have been given up.
    queue::enqueue(&mut tx, &AdvanceKeys { tenant }, TimeDelta::zero()).await?;
    tx.commit().await?;
    Ok(history)
}

/// Raises the tenant's history above its own and above what the edge has `seen`. Every session ends with the document,
/// which the caller lets go ahead.
///
/// # Errors
/// Errors of the database.
pub async fn begin_history(tx: &mut TenantTx, tenant: TenantId, seen: i64) -> Result<i64, Failure> {
    let history = sqlx::query_scalar!(
        "update platform.revisions set history = greatest(history, $2) + 1 where tenant_id = $1 returning history",
        tenant.uuid(),
        seen,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(history)
}
