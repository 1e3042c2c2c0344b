//! After the edge's database was restored: gives it a new incarnation, so that its outbox is read from the start.

use shared::wire::push::{Command, RestoredOut};

use super::lanes::LaneError;
use crate::audit::{self, Action, Actor};
use crate::control::Control;

/// Gives a shard another incarnation and returns it. Earlier acknowledgements no longer count, so the next drain
/// begins with the oldest fact that the shard has; those that were read before have their ids still and change
/// nothing.
///
/// # Errors
/// See [`LaneError`]; the edge must answer.
pub async fn restored(control: &Control, actor: &Actor, shard: u8) -> Result<String, LaneError> {
    let now = control.clock.now();
    let out: RestoredOut = control.edge.command(&Command::Restored { shard }, now).await?;
    let platform = control.db.platform().await?;
    let mut tx = control.db.tenant_tx(platform).await?;
    let details = serde_json::json!({ "shard": shard, "incarnation": out.incarnation });
    audit::record(&mut tx, actor, now, Action::EdgeRestored, None, details);
    tx.commit().await?;
    Ok(out.incarnation)
}
