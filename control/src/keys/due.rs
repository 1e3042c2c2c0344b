//! What was planned for keys is carried out when its time has come.
//!
//! The edge switches by itself at `sign_from`; this follows with the states, makes the new `next`,
//! and takes out what no unexpired token names any more.

use shared::ids::TenantId;

use super::store::{self, AdvanceKeys};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::changes::Priority;
use crate::jobs::queue::{Enqueued, Job};
use crate::tenants::{self, TenantError};

impl Job for AdvanceKeys {
    const TASK: &'static str = "advance_keys";
    type Error = TenantError;

    async fn run(self, control: &Control) -> Result<(), TenantError> {
        advance(control, self.tenant).await
    }
}

impl Enqueued for AdvanceKeys {
    fn about(&self) -> String {
        self.tenant.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

/// Advances one tenant's keys, or plans to where it is too early by this control's clock. Doing it
/// twice, or in two controls at once, does it once.
///
/// # Errors
/// See [`TenantError`].
pub async fn advance(control: &Control, id: TenantId) -> Result<(), TenantError> {
    let mut tx = control.db.work_tx(id).await?;
    let mut spare = None;
    loop {
        let now = control.clock.now();
        let tenant = tenants::find(&mut tx, id).await?;
        let before = store::lock_ring(&mut tx, &tenant.settings).await?;
        let mut ring = before.clone();
        if !ring.advance(now) {
            store::plan(&mut tx, &ring, now).await?;
            tx.commit().await?;
            return Ok(());
        }
        if ring.lacks_next() && spare.is_none() {
            // Without the lock, since it takes a while; then everything is looked at again.
            let made = control.keys.make_by_itself(id, tenant.settings.key_bits);
            let (made, begun) = tx.pause(&control.db, made).await?;
            (spare, tx) = (Some(made?), begun);
            continue;
        }
        store::save(&mut tx, &before, &ring, now).await?;
        if let Some(key) = spare.filter(|_| ring.lacks_next()) {
            store::add(&mut tx, &mut ring, &key, now).await?;
        }
        tx.changes().document(id, Priority::InTurn);
        let details = serde_json::json!({});
        audit::record(&mut tx, &Actor::control(), now, Action::KeysAdvanced, None, details);
        tx.commit().await?;
        return Ok(());
    }
}
