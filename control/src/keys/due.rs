//! What was planned for keys is carried out when its time has come.
//!
//! The edge switches by itself at `sign_from`; this follows with the states, makes the new `next`,
//! and takes out what no unexpired token names any more.

use shared::ids::TenantId;

use super::{generate, store};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::changes::Haste;
use crate::failure::{Failure, chain};
use crate::tenants::{self, TenantError};

/// Advances the keys of every tenant that has something due. One tenant's failure does not keep
/// the others.
///
/// # Errors
/// If the list of tenants cannot be read.
pub async fn advance_all(control: &Control) -> Result<(), Failure> {
    let now = control.clock.now();
    let due = sqlx::query_scalar!(
        "select id from platform.tenants where keys_due_at <= $1 order by keys_due_at",
        now
    )
    .fetch_all(control.db.relay())
    .await?;
    for tenant in due {
        let tenant = TenantId::from(tenant);
        if let Err(error) = advance(control, tenant).await {
            tracing::error!(%tenant, error = %chain(&error), "planned key change failed");
        }
    }
    Ok(())
}

/// Advances one tenant's keys. Doing it twice, or in two controls at once, does it once.
///
/// # Errors
/// See [`TenantError`].
pub async fn advance(control: &Control, id: TenantId) -> Result<(), TenantError> {
    let now = control.clock.now();
    let mut tx = control.db.tenant_tx(id).await?;
    let tenant = tenants::find(&mut tx, id).await?;
    // Made before the lock is taken, since it takes a while; not needed if only a removal is due.
    let spare = generate(tenant.settings.key_bits).await?;
    let before = store::lock_ring(&mut tx, &tenant.settings).await?;
    let mut ring = before.clone();
    if !ring.advance(now) {
        return Ok(());
    }
    store::save(&mut tx, &before, &ring).await?;
    if ring.lacks_next() {
        ring.add(spare.public.key_id(), now).map_err(|_| Failure::Crypto("making a key"))?;
        store::insert(control, &mut tx, &spare, false, now).await?;
    }
    tx.changes().document(id, Haste::InTurn);
    audit::record(&mut tx, &Actor::control(), now, Action::KeysAdvanced, None, serde_json::json!({})).await?;
    tx.commit().await?;
    Ok(())
}
