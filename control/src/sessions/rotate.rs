//! Changing a tenant's session root: without ending a session, or at once.
//!
//! What is left of a change is a question to its row, which is asked once a minute. So a kill at any point costs
//! a minute, and several controls do each step once: the tenant's row is the lock.

use chrono::TimeDelta;
use shared::derive::Secret;
use shared::ids::TenantId;
use shared::tenant::Status;

use super::root::{self, Rotation, Step, Terms};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::roots::{self, RootKind};
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::edges::reseed;
use crate::failure::{Failure, chain};
use crate::http::time;
use crate::tenants::{self, Tenant, TenantError};
use crate::world::random;

/// Why a root was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Two roots verify already, and the former one is needed by sessions that live.
    #[error("a change is under way: {0}")]
    UnderWay(String),
    /// The tenant is not made yet, or deleted.
    #[error("this tenant has no sessions")]
    WrongTenant,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<TenantError> for RootError {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Failure(failure) => failure.into(),
            _ => Self::WrongTenant,
        }
    }
}

/// Gives a tenant a new root, which signs once the edge knows it. No session ends.
///
/// # Errors
/// See [`RootError`].
pub async fn begin(control: &Control, tx: &mut TenantTx, actor: &Actor) -> Result<Rotation, RootError> {
    let tenant = lock(tx).await?;
    if let Some(rotation) = root::rotation(tx).await? {
        let until = match rotation.remove_at {
            Some(at) => format!("the former root leaves at {}", time::text(at)),
            None => String::from("the edge has yet to confirm it"),
        };
        return Err(RootError::UnderWay(until));
    }
    let begun_at = control.clock.now();
    let version = new_root(control, tx).await?;
    let rotation = Rotation { version, begun_at, sign_from: None, remove_at: None };
    root::put(tx, &rotation).await?;
    let details = serde_json::json!({ "version": version });
    changed(tx, &tenant, Priority::InTurn);
    audit::record(tx, actor, begun_at, Action::SessionRootBegun, Some(tenant.id.to_string()), details);
    Ok(rotation)
}

/// Gives a tenant a new root in place of every other, at once: all its sessions end, their access tokens included.
/// Returns the version of the root.
///
/// # Errors
/// See [`RootError`].
pub async fn replace(control: &Control, tx: &mut TenantTx, actor: &Actor) -> Result<i32, RootError> {
    let tenant = lock(tx).await?;
    let version = new_root(control, tx).await?;
    roots::remove_before(tx, RootKind::Session, version).await?;
    root::clear(tx).await?;
    // The floor of all epochs: without it, access tokens would outlive their sessions by minutes.
    let history = reseed::begin_history(tx, tenant.id, 0).await?;
    let (now, details) = (control.clock.now(), serde_json::json!({ "version": version, "history": history }));
    changed(tx, &tenant, Priority::Revokes);
    audit::record(tx, actor, now, Action::SessionRootReplaced, Some(tenant.id.to_string()), details);
    Ok(version)
}

/// Does the due step of every change in progress. A failure for one tenant does not delay the others.
///
/// # Errors
/// If the list of them cannot be read.
pub async fn advance_all(control: &Control) -> Result<(), Failure> {
    for tenant in root::under_way(control.db.relay(), control.clock.now()).await? {
        if let Err(error) = advance(control, tenant).await {
            tracing::warn!(%tenant, error = %chain(&error), "a change of a session root could not go on");
        }
    }
    Ok(())
}

/// Does the due step of a tenant's change, if any. It is idempotent, also when two control processes run it at once.
///
/// # Errors
/// See [`RootError`].
pub async fn advance(control: &Control, tenant: TenantId) -> Result<(), RootError> {
    let mut tx = control.db.work_tx(tenant).await?;
    let tenant = lock(&mut tx).await?;
    let Some(mut rotation) = root::rotation(&mut tx).await? else { return Ok(()) };
    let (confirmed, former_longest) = root::confirmed(&mut tx).await?;
    let terms = Terms {
        confirmed,
        staleness: seconds(tenant.settings.staleness_limit_secs),
        longest_session: seconds(tenant.settings.absolute_secs.max(former_longest)),
    };
    let now = control.clock.now();
    let Some(step) = rotation.due(now, terms) else { return Ok(()) };
    let action = match step {
        Step::SignFrom(at) => {
            rotation.sign_from = Some(at);
            root::put(&mut tx, &rotation).await?;
            changed(&mut tx, &tenant, Priority::InTurn);
            Action::SessionRootPlanned
        }
        // The edge need not know the time in advance.
        Step::RemoveAt(at) => {
            rotation.remove_at = Some(at);
            root::put(&mut tx, &rotation).await?;
            Action::SessionRootSwitched
        }
        Step::Remove => {
            roots::remove_before(&mut tx, RootKind::Session, rotation.version).await?;
            root::clear(&mut tx).await?;
            changed(&mut tx, &tenant, Priority::InTurn);
            Action::SessionRootRemoved
        }
    };
    let details = serde_json::to_value(&rotation).map_err(|_| Failure::Unreadable("session rotation"))?;
    audit::record(&mut tx, &Actor::control(), now, action, Some(tenant.id.to_string()), details);
    tx.commit().await?;
    Ok(())
}

/// The tenant, locked against another change of its root.
async fn lock(tx: &mut TenantTx) -> Result<Tenant, RootError> {
    let id = tx.tenant();
    let tenant = tenants::lock(tx, id).await?;
    match tenant.status {
        Status::Active | Status::Suspended => Ok(tenant),
        Status::Provisioning | Status::Deleted => Err(RootError::WrongTenant),
    }
}

/// Makes and stores a root that no other is newer than.
async fn new_root(control: &Control, tx: &mut TenantTx) -> Result<i32, Failure> {
    let version = roots::newest_version(tx, RootKind::Session).await? + 1;
    let root = Secret::new(random()?);
    roots::insert(tx, RootKind::Session, version, &root, control.clock.now()).await?;
    Ok(version)
}

fn changed(tx: &mut TenantTx, tenant: &Tenant, priority: Priority) {
    tx.changes().document(tenant.id, priority);
}

fn seconds(count: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(count).unwrap_or(i64::MAX / 1000))
}
