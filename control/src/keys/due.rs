//! What was planned for keys is carried out when its time has come.
//!
//! The edge switches by itself at `sign_from`; this follows with the states, makes the new `next`,
//! and takes out what no unexpired token names any more.

use shared::ids::TenantId;

use super::store::AdvanceKeys;
use super::{generate, store};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::changes::Haste;
use crate::failure::Failure;
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
}

/// Advances one tenant's keys, or plans to where it is too early by this control's clock. Doing it
/// twice, or in two controls at once, does it once.
///
/// # Errors
/// See [`TenantError`].
pub async fn advance(control: &Control, id: TenantId) -> Result<(), TenantError> {
    let now = control.clock.now();
    let mut tx = control.db.work_tx(id).await?;
    let tenant = tenants::find(&mut tx, id).await?;
    // Made before the lock is taken, since it takes a while; not needed if only a removal is due.
    let spare = generate(tenant.settings.key_bits).await?;
    let before = store::lock_ring(&mut tx, &tenant.settings).await?;
    let mut ring = before.clone();
    if !ring.advance(now) {
        store::plan(&mut tx, &ring, now).await?;
        tx.commit().await?;
        return Ok(());
    }
    store::save(&mut tx, &before, &ring, now).await?;
    if ring.lacks_next() {
        ring.add(spare.public.key_id(), now).map_err(|_| Failure::Crypto("making a key"))?;
        store::insert(control, &mut tx, &spare, false, now).await?;
    }
    tx.changes().document(id, Haste::InTurn);
    audit::record(&mut tx, &Actor::control(), now, Action::KeysAdvanced, None, serde_json::json!({})).await?;
    tx.commit().await?;
    Ok(())
}
