//! Signing keys of tenants.
//!
//! [`model`] decides, [`store`] persists what it returned, [`rsa`] makes and checks the keys
//! themselves. Private keys rest wrapped and leave only sealed to the edge, in the
//! tenant's document.

pub mod due;
pub mod model;
mod out;
mod refused;
pub mod routes;
pub mod rsa;
pub mod store;

use chrono::{DateTime, Utc};
use shared::ids::KeyId;
use shared::tenant::Status;

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Haste;
use crate::failure::Failure;
use crate::tenants::Tenant;
pub use out::{KeyOut, KeysOut};

use model::KeyRefusal;
use rsa::Private;

/// Why a key operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The state of the keys does not allow it.
    #[error(transparent)]
    Refused(#[from] KeyRefusal),
    /// The platform tenant makes its own keys, and a tenant without a cell has none yet.
    #[error("this tenant takes no such key operation")]
    WrongTenant,
    /// Something beneath failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Makes a key on a blocking thread.
///
/// # Errors
/// If the library fails.
pub async fn generate(bits: u64) -> Result<Private, Failure> {
    let made = tokio::task::spawn_blocking(move || rsa::generate(bits)).await;
    made.map_err(|_| Failure::Crypto("making a key"))?
}

/// Plans the switch to the next key and says when it happens.
///
/// # Errors
/// See [`KeyError`].
pub async fn rotate(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    tenant: &Tenant,
) -> Result<DateTime<Utc>, KeyError> {
    usable(tenant)?;
    let now = control.clock.now();
    let before = store::lock_ring(tx, &tenant.settings).await?;
    let mut ring = before.clone();
    let sign_from = ring.rotate(now)?;
    store::save(tx, &before, &ring, now).await?;
    tx.changes().document(tenant.id, Haste::InTurn);
    let details = serde_json::json!({ "sign_from": sign_from });
    audit::record(tx, actor, now, Action::KeysRotated, None, details).await?;
    Ok(sign_from)
}

/// Ends a key at once; a new `next` takes the place of the one that signs now.
///
/// # Errors
/// See [`KeyError`].
pub async fn revoke(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    tenant: &Tenant,
    kid: &KeyId,
) -> Result<(), KeyError> {
    usable(tenant)?;
    let spare = generate(tenant.settings.key_bits).await?;
    let now = control.clock.now();
    let before = store::lock_ring(tx, &tenant.settings).await?;
    let mut ring = before.clone();
    ring.revoke(kid, now)?;
    store::save(tx, &before, &ring, now).await?;
    if ring.lacks_next() {
        // `ring.add` leaves every other key as it is, so what was saved stays right.
        ring.add(spare.public.key_id(), now)?;
        store::insert(control, tx, &spare, false, now).await?;
    }
    tx.changes().document(tenant.id, Haste::Revokes);
    audit::record(tx, actor, now, Action::KeyRevoked, Some(kid.to_string()), serde_json::json!({})).await?;
    Ok(())
}

/// Takes an imported key as the new `next`.
///
/// # Errors
/// See [`KeyError`].
pub async fn import(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    tenant: &Tenant,
    key: &Private,
) -> Result<KeyId, KeyError> {
    usable(tenant)?;
    if tenant.is_platform {
        return Err(KeyError::WrongTenant);
    }
    let now = control.clock.now();
    let kid = key.public.key_id();
    let before = store::lock_ring(tx, &tenant.settings).await?;
    let mut ring = before.clone();
    ring.import(kid.clone(), now)?;
    // The one that leaves makes room for the one that comes: one `next` at any moment.
    store::save(tx, &before, &ring, now).await?;
    store::insert(control, tx, key, true, now).await?;
    tx.changes().document(tenant.id, Haste::InTurn);
    audit::record(tx, actor, now, Action::KeyImported, Some(kid.to_string()), serde_json::json!({})).await?;
    Ok(kid)
}

fn usable(tenant: &Tenant) -> Result<(), KeyError> {
    match tenant.status {
        Status::Active | Status::Suspended => Ok(()),
        Status::Provisioning | Status::Deleted => Err(KeyError::WrongTenant),
    }
}
