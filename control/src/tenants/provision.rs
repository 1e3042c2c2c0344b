//! The job that turns a committed tenant into one that can be used: cell, keys, roles, first
//! administrator. Every step can be repeated, so a kill at any point costs a repetition only.

use serde::{Deserialize, Serialize};
use shared::contract::permissions::ROLES;
use shared::derive::Secret;
use shared::ids::TenantId;
use shared::tenant::Status;

use super::model::{FirstAdmin, Tenant, TenantError};
use super::store;
use crate::accounts;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::roots::{self, RootKind};
use crate::crypt::sealed::Column;
use crate::db::changes::Priority;
use crate::db::{TenantTx, body, migrate};
use crate::failure::Failure;
use crate::jobs::queue::{Enqueued, Job};
use crate::keys::model::KeyRing;
use crate::keys::{self, maker::RestingKey};
use crate::roles;
use crate::users;
use crate::world::random;

/// Makes a committed tenant usable.
#[derive(Serialize, Deserialize)]
pub struct Provision {
    /// The tenant.
    pub tenant: TenantId,
}

impl Job for Provision {
    const TASK: &'static str = "provision_tenant";
    type Error = TenantError;

    async fn run(self, control: &Control) -> Result<(), TenantError> {
        run(control, self.tenant).await
    }
}

impl Enqueued for Provision {
    fn about(&self) -> String {
        self.tenant.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

/// Makes one tenant usable, unless it is. Doing it twice, or in two controls at once, does it once.
///
/// # Errors
/// See [`TenantError`].
pub async fn run(control: &Control, id: TenantId) -> Result<(), TenantError> {
    let mut connection = control.db.app().acquire().await?;
    let tenant = store::find(&mut connection, id).await?;
    drop(connection);
    if tenant.status != Status::Provisioning {
        return Ok(());
    }
    migrate::cell(&control.settings.database, &control.roles, &tenant.cell, tenant.isolation.as_str())
        .await?;
    let keys = first_keys(control, id, tenant.settings.key_bits).await?;
    let mut tx = control.db.work_tx(id).await?;
    activate(control, &mut tx, &keys).await?;
    tx.commit().await?;
    Ok(())
}

/// The key that signs from the beginning, and the one that waits.
pub(super) async fn first_keys(
    control: &Control,
    id: TenantId,
    bits: u64,
) -> Result<[RestingKey; 2], Failure> {
    Ok([control.keys.make_by_itself(id, bits).await?, control.keys.make_by_itself(id, bits).await?])
}

/// Everything a tenant begins with, in one transaction.
pub(super) async fn activate(
    control: &Control,
    tx: &mut TenantTx,
    keys: &[RestingKey],
) -> Result<(), TenantError> {
    let id = tx.tenant();
    let mut tenant = store::lock(tx, id).await?;
    if tenant.status != Status::Provisioning {
        return Ok(());
    }
    let data_keys = tx.keep_keys();
    body::insert_key(tx, &data_keys).await?;
    seed_roles(control, tx).await?;
    seed_keys(control, tx, &tenant, keys).await?;
    // A new tenant has no users, so its index is complete.
    users::search::index::set_complete(tx).await?;
    tenant.status = Status::Active;
    tenant.updated_at = control.clock.now();
    store::update(tx, &tenant).await?;
    match take_first_admin(tx).await? {
        None => {}
        Some(FirstAdmin::Known(admin)) => users::insert_first_admin(control, tx, &admin).await?,
        Some(FirstAdmin::Invited(admin)) => accounts::invite_first_admin(control, tx, admin).await?,
    }
    let platform = control.db.platform().await?;
    for name in tenant.names() {
        tx.changes().name(platform, &name);
    }
    tx.changes().document(tenant.id, Priority::InTurn);
    let details = serde_json::json!({});
    audit::record(tx, &Actor::control(), tenant.updated_at, Action::TenantActivated, None, details);
    Ok(())
}

async fn take_first_admin(tx: &mut TenantTx) -> Result<Option<FirstAdmin>, Failure> {
    let tenant = tx.tenant();
    let taken = sqlx::query_scalar!(
        "delete from platform.first_admins where tenant_id = $1 returning wrapped",
        tenant.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(wrapped) = taken else { return Ok(None) };
    let plain = tx.keys().open(Column::FirstAdmin, "", &wrapped)?;
    serde_json::from_slice(&plain).map_err(|_| Failure::Unreadable("first administrator"))
}

async fn seed_roles(control: &Control, tx: &mut TenantTx) -> Result<(), Failure> {
    let now = control.clock.now();
    for role in ROLES {
        roles::store::seed(tx, role.name, role.rank, now).await?;
    }
    Ok(())
}

async fn seed_keys(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    keys: &[RestingKey],
) -> Result<(), Failure> {
    let now = control.clock.now();
    let empty = KeyRing { keys: vec![], staleness_secs: tenant.settings.staleness_limit_secs };
    let mut ring = empty.clone();
    for key in keys {
        // The first signs at once and leaves `next` before the second enters it.
        let before = ring.clone();
        ring.add(key.public.key_id(), now).map_err(|_| Failure::Crypto("making a key"))?;
        keys::store::insert(tx, key, false, now).await?;
        keys::store::save(tx, &before, &ring, now).await?;
    }
    for kind in RootKind::ALL {
        roots::insert(tx, kind, 1, &Secret::new(random()?), now).await?;
    }
    Ok(())
}
