//! The job that turns a committed tenant into one that can be used: cell, keys, roles, first
//! administrator. Every step can be repeated, so a kill at any point costs a repetition only.

use chrono::TimeDelta;
use shared::derive::Secret;
use shared::ids::TenantId;
use shared::permissions::ROLES;
use shared::tenant::Status;

use super::model::{FirstAdmin, Tenant, TenantError};
use super::store;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::roots::{self, RootKind};
use crate::crypt::sealed::Column;
use crate::db::changes::Haste;
use crate::db::{TenantTx, migrate};
use crate::failure::{Failure, chain};
use crate::keys::model::KeyRing;
use crate::keys::{self, rsa::Private};
use crate::users;
use crate::world::random;

/// The channel on which a committed tenant wakes the job.
pub const CHANNEL: &str = "wardgate_cells";
/// How long one attempt may take before another control tries.
const LEASE_SECS: i64 = 60;

/// Makes the cells of all tenants whose turn it is.
///
/// # Errors
/// If the list of jobs cannot be read; one tenant's failure waits for its next turn.
pub async fn run_due(control: &Control) -> Result<(), Failure> {
    let due = sqlx::query_scalar!(
        "select tenant_id from platform.cell_jobs where run_at <= $1 order by run_at",
        control.clock.now()
    )
    .fetch_all(control.db.relay())
    .await?;
    for tenant in due {
        let tenant = TenantId::from(tenant);
        if let Err(error) = run(control, tenant).await {
            tracing::error!(%tenant, error = %chain(&error), "the tenant's cell could not be made");
        }
    }
    Ok(())
}

/// Carries out the job of one tenant; without a job, or while another control has it, nothing.
///
/// # Errors
/// See [`TenantError`]; the job stays and is tried again later.
pub async fn run(control: &Control, id: TenantId) -> Result<(), TenantError> {
    let now = control.clock.now();
    let claimed = sqlx::query!(
        "update platform.cell_jobs
         set run_at = $2, attempts = attempts + 1
         where tenant_id = $1 and run_at <= $3
         returning first_admin, attempts",
        id.uuid(),
        now + TimeDelta::seconds(LEASE_SECS),
        now,
    )
    .fetch_optional(control.db.app())
    .await?;
    let Some(job) = claimed else { return Ok(()) };
    let done = provision(control, id, job.first_admin.as_deref()).await;
    if let Err(error) = &done {
        let wait = TimeDelta::seconds(1 << job.attempts.clamp(0, 8));
        sqlx::query!(
            "update platform.cell_jobs set run_at = $2, last_error = $3 where tenant_id = $1",
            id.uuid(),
            now + wait,
            error.to_string(),
        )
        .execute(control.db.app())
        .await?;
    }
    done
}

async fn provision(control: &Control, id: TenantId, first_admin: Option<&[u8]>) -> Result<(), TenantError> {
    let mut connection = control.db.app().acquire().await?;
    let tenant = store::find(&mut connection, id).await?;
    drop(connection);
    migrate::cell(&control.settings.database, &control.roles, &tenant.cell, tenant.isolation.as_str())
        .await?;
    let keys =
        [keys::generate(tenant.settings.key_bits).await?, keys::generate(tenant.settings.key_bits).await?];
    let mut tx = control.db.tenant_tx(id).await?;
    activate(control, &mut tx, &keys, first_admin).await?;
    tx.commit().await?;
    Ok(())
}

/// Everything a tenant begins with, in one transaction.
pub(super) async fn activate(
    control: &Control,
    tx: &mut TenantTx,
    keys: &[Private],
    first_admin: Option<&[u8]>,
) -> Result<(), TenantError> {
    let id = tx.tenant();
    let mut tenant = store::lock(tx, id).await?;
    if tenant.status != Status::Provisioning {
        return Ok(());
    }
    seed_roles(tx).await?;
    seed_keys(control, tx, &tenant, keys).await?;
    tenant.status = Status::Active;
    tenant.updated_at = control.clock.now();
    store::update(tx, &tenant).await?;
    if let Some(wrapped) = first_admin {
        let plain = control.rest.open(tenant.id, Column::FirstAdmin, "", wrapped)?;
        let admin: FirstAdmin =
            serde_json::from_slice(&plain).map_err(|_| Failure::Unreadable("first administrator"))?;
        users::insert_first_admin(control, tx, &admin).await?;
    }
    let platform = control.db.platform().await?;
    for name in tenant.names() {
        tx.changes().name(platform, &name);
    }
    tx.changes().document(tenant.id, Haste::InTurn);
    sqlx::query!("delete from platform.cell_jobs where tenant_id = $1", tenant.id.uuid())
        .execute(&mut **tx)
        .await?;
    let details = serde_json::json!({});
    audit::record(tx, &Actor::control(), tenant.updated_at, Action::TenantActivated, None, details).await?;
    Ok(())
}

async fn seed_roles(tx: &mut TenantTx) -> Result<(), Failure> {
    let tenant = tx.tenant();
    for role in ROLES {
        sqlx::query!(
            "insert into roles (tenant_id, name, rank, predefined) values ($1, $2, $3, true)
             on conflict (tenant_id, name) do nothing",
            tenant.uuid(),
            role.name,
            role.rank,
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn seed_keys(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    keys: &[Private],
) -> Result<(), Failure> {
    let now = control.clock.now();
    let empty = KeyRing { keys: vec![], staleness_secs: tenant.settings.staleness_limit_secs };
    let mut ring = empty.clone();
    for key in keys {
        // The first signs at once and leaves `next` before the second enters it.
        let before = ring.clone();
        ring.add(key.public.key_id(), now).map_err(|_| Failure::Crypto("making a key"))?;
        keys::store::insert(control, tx, key, false, now).await?;
        keys::store::save(tx, &before, &ring).await?;
    }
    for kind in [RootKind::Session, RootKind::Lookup] {
        roots::insert(&control.rest, tx, kind, 1, &Secret::new(random()?), now).await?;
    }
    Ok(())
}
