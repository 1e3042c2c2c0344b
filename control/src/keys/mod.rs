//! Signing keys of tenants.
//!
//! [`model`] decides, [`store`] persists its result, [`rsa`] generates and checks keys, [`maker`] limits how many are
//! generated at once. Private keys are stored encrypted, and leave control only sealed for the edge, in the tenant's
//! document.

pub mod due;
pub mod file;
pub mod maker;
pub mod model;
mod out;
mod refused;
pub mod routes;
pub mod rsa;
pub mod store;

use chrono::{DateTime, Utc};
use shared::contract::permissions::Permission;
use shared::ids::KeyId;
use shared::tenant::Status;

use crate::audit::{self, Action, Actor, Who};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::tenants::Tenant;
use crate::users::{self, UserError};
pub use out::{KeyOut, KeysOut};

use maker::RestingKey;
use model::KeyRefusal;

/// Why a key operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The state of the keys does not allow it.
    #[error(transparent)]
    Refused(#[from] KeyRefusal),
    /// The platform tenant makes its own keys, and a tenant without a cell has none yet.
    #[error("this tenant takes no such key operation")]
    WrongTenant,
    /// The actor is not any more who they were when the request began.
    #[error("the actor was stopped or demoted meanwhile")]
    Rank,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
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
    tx.changes().document(tenant.id, Priority::InTurn);
    let details = serde_json::json!({ "sign_from": sign_from });
    audit::record(tx, actor, now, Action::KeysRotated, None, details);
    Ok(sign_from)
}

/// Ends a key at once; a new `next` takes the place of the one that signs now. A refusal is written down,
/// which commits; what else was done is the caller's to commit.
///
/// 1. under the tenant's lock, whether the key can be revoked, and whether a new one is needed for it;
/// 2. if so, the new one is made while the connection serves others, and 1 is done again.
///
/// # Errors
/// See [`KeyError`].
pub async fn revoke(
    control: &Control,
    mut tx: TenantTx,
    actor: &Actor,
    tenant: &Tenant,
    kid: &KeyId,
) -> Result<TenantTx, KeyError> {
    usable(tenant)?;
    let mut spare: Option<RestingKey> = None;
    loop {
        let now = control.clock.now();
        let before = store::lock_ring(&mut tx, &tenant.settings).await?;
        let mut ring = before.clone();
        if let Err(refusal) = ring.revoke(kid, now) {
            return Err(refused(tx, actor, now, kid, refusal).await);
        }
        if ring.lacks_next() && spare.is_none() {
            let made = control.keys.make(tx.payer(), tenant.id, tenant.settings.key_bits);
            let (made, begun) = tx.pause(&control.db, made).await?;
            (spare, tx) = (Some(made?), begun);
            let permission = match actor.who {
                Who::Platform { .. } => Permission::PlatformTenantsWrite,
                Who::User { .. } | Who::Operator | Who::Control => Permission::KeysRevoke,
            };
            tx = still_stands(control, tx, actor, kid, permission).await?;
            continue;
        }
        store::save(&mut tx, &before, &ring, now).await?;
        if let Some(key) = spare.filter(|_| ring.lacks_next()) {
            store::add(&mut tx, &mut ring, &key, now).await?;
        }
        tx.changes().document(tenant.id, Priority::Revokes);
        audit::record(&mut tx, actor, now, Action::KeyRevoked, Some(kid.to_string()), serde_json::json!({}));
        return Ok(tx);
    }
}

/// Writes a refused attempt to revoke a key to the audit log.
async fn refused(
    mut tx: TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    kid: &KeyId,
    refusal: KeyRefusal,
) -> KeyError {
    let details = serde_json::json!({ "why": refusal.to_string() });
    let target = Some(kid.to_string());
    audit::attempt(&mut tx, actor, now, Action::KeyRevoked, target, details);
    match tx.commit().await {
        Ok(()) => refusal.into(),
        Err(failure) => failure.into(),
    }
}

/// Takes an imported key as the new `next`. The key was wrapped since the request began, so the actor is checked
/// again.
///
/// # Errors
/// See [`KeyError`].
pub async fn import(
    control: &Control,
    tx: TenantTx,
    actor: &Actor,
    tenant: &Tenant,
    key: &RestingKey,
) -> Result<(KeyId, TenantTx), KeyError> {
    usable(tenant)?;
    if tenant.is_platform {
        return Err(KeyError::WrongTenant);
    }
    let now = control.clock.now();
    let kid = key.public.key_id();
    let mut tx = still_stands(control, tx, actor, &kid, Permission::PlatformKeysImport).await?;
    let before = store::lock_ring(&mut tx, &tenant.settings).await?;
    let mut ring = before.clone();
    ring.import(kid.clone(), now)?;
    // The one that leaves makes room for the one that comes: one `next` at any moment.
    store::save(&mut tx, &before, &ring, now).await?;
    store::insert(&mut tx, key, true, now).await?;
    tx.changes().document(tenant.id, Priority::InTurn);
    audit::record(&mut tx, actor, now, Action::KeyImported, Some(kid.to_string()), serde_json::json!({}));
    Ok((kid, tx))
}

/// Checks the actor again after a key was generated or encrypted, which takes a while: an actor who was suspended or
/// lost the rank meanwhile is refused, with an audit entry.
async fn still_stands(
    control: &Control,
    mut tx: TenantTx,
    actor: &Actor,
    kid: &KeyId,
    permission: Permission,
) -> Result<TenantTx, KeyError> {
    match users::still_stands(control, &mut tx, actor).await {
        Ok(()) => Ok(tx),
        Err(UserError::Rank) => {
            let (now, target) = (control.clock.now(), Some(kid.to_string()));
            audit::refuse(&mut tx, actor, now, target, permission.as_str());
            tx.commit().await?;
            Err(KeyError::Rank)
        }
        Err(UserError::Failure(failure)) => Err(failure.into()),
        Err(_) => Err(KeyError::WrongTenant),
    }
}

fn usable(tenant: &Tenant) -> Result<(), KeyError> {
    match tenant.status {
        Status::Active | Status::Suspended => Ok(()),
        Status::Provisioning | Status::Deleted => Err(KeyError::WrongTenant),
    }
}
