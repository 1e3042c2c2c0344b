//! From stage to stage. A run, by a job or the command line, continues at the stage in the database; it is
//! idempotent, also when two run at once.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::derive::Secret;
use shared::ids::TenantId;

pub use super::work::Outcome;

use super::progress::left_behind;
use super::steps::{abandon, record, step};
use super::store::{self, Rotation};
use super::work::Stop;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::lookup::{self, Stage};
use crate::crypt::roots::{self, RootKind};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue::{self, Enqueued, Job};
use crate::world::random;

/// Continues the rotation of one tenant.
#[derive(Serialize, Deserialize)]
pub struct RotateLookup {
    /// The tenant.
    pub tenant: TenantId,
}

impl Job for RotateLookup {
    const TASK: &'static str = "rotate_lookup";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        advance(control, self.tenant, |_| {}).await?;
        Ok(())
    }
}

impl Enqueued for RotateLookup {
    fn about(&self) -> String {
        self.tenant.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

/// Why a rotation is not begun or not cut short.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Another one of the tenant is under way.
    #[error("a rotation of this lookup root is under way")]
    UnderWay,
    /// The tenant has no cell yet, or is deleted.
    #[error("the tenant is not in use")]
    NotInUse,
    /// The old root is still needed for the names of all.
    #[error("the old root cannot be given up before the old identifiers are gone")]
    TooEarly,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Gives a tenant another lookup root, which a job brings into force from now on. Says its version.
///
/// # Errors
/// See [`Refused`].
pub async fn rotate(control: &Control, mut tx: TenantTx, actor: &Actor) -> Result<i32, Refused> {
    let (tenant, now) = (tx.tenant(), control.clock.now());
    // Waits for transactions that write under only one root.
    lookup::hold(&mut tx).await?;
    if !store::standing(&mut tx).await?.lives {
        return Err(Refused::NotInUse);
    }
    let version = roots::newest_version(&mut tx, RootKind::Lookup).await? + 1;
    if !store::insert(&mut tx, version, now).await? {
        return Err(Refused::UnderWay);
    }
    roots::insert(&mut tx, RootKind::Lookup, version, &Secret::new(random()?), now).await?;
    record(&mut tx, actor, now, Action::LookupRotationBegan, version);
    queue::enqueue(&mut tx, &RotateLookup { tenant }, TimeDelta::zero()).await?;
    tx.commit().await?;
    Ok(version)
}

/// Gives up what cannot be hashed again: issued legacy tokens, the identifiers of users without new ones, and
/// idempotency keys of earlier creations. A job then deletes the old root.
///
/// # Errors
/// See [`Refused`].
pub async fn forget(control: &Control, mut tx: TenantTx, actor: &Actor) -> Result<(), Refused> {
    let (tenant, now) = (tx.tenant(), control.clock.now());
    lookup::hold(&mut tx).await?;
    let rotation = store::find(&mut tx).await?.filter(|it| it.stage == Stage::Former);
    let Some(rotation) = rotation else { return Err(Refused::TooEarly) };
    store::save(&mut tx, &Rotation { forget: true, due_at: now, ..rotation }).await?;
    let left = left_behind(&mut tx, rotation.version).await?.users;
    let details = serde_json::json!({ "version": rotation.version, "users_left_behind": left });
    audit::record(&mut tx, actor, now, Action::LookupForgotten, Some(tenant.to_string()), details);
    queue::enqueue(&mut tx, &RotateLookup { tenant }, TimeDelta::zero()).await?;
    tx.commit().await?;
    Ok(())
}

/// Looks for rotations that have something to do, and enqueues the job of each.
///
/// # Errors
/// Errors of the database.
pub async fn look(control: &Control) -> Result<(), Failure> {
    let due = sqlx::query_scalar!(
        "select tenant_id from platform.lookup_rotations where due_at <= $1",
        control.clock.now(),
    )
    .fetch_all(control.db.work())
    .await?;
    let mut connection = control.db.work().acquire().await?;
    for tenant in due {
        queue::enqueue(&mut connection, &RotateLookup { tenant: tenant.into() }, TimeDelta::zero()).await?;
    }
    Ok(())
}

/// Continues the rotation of a tenant for as long as there is something to do; `done` is called for users with new
/// identifiers, and for deleted old identifiers.
///
/// # Errors
/// Errors of the database.
pub async fn advance(
    control: &Control,
    tenant: TenantId,
    mut done: impl FnMut(usize) + Send,
) -> Result<Outcome, Failure> {
    loop {
        match step(control, tenant, &mut done).await {
            Ok(()) => {}
            Err(Stop::Ended(outcome)) => return Ok(outcome),
            Err(Stop::TenantGone) => return abandon(control, tenant).await,
            Err(Stop::Failed(failure)) => return Err(failure),
        }
    }
}
