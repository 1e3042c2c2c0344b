//! A tenant gets another data key while it is served: what [`crate::db::replace`] can do, in its order, with entries in
//! the audit log.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::ids::TenantId;

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::reseal::Resealed;
use crate::failure::{Failure, chain};
use crate::jobs::queue::Job;

/// Values that the job re-encrypts in a minute, so that it does not load the database.
const EACH_MINUTE: u64 = 100_000;

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The tenant has one key.
    Settled,
    /// Other controls may still seal under the former key, for so long.
    Spreads(Duration),
    /// Values are left: more than one run re-encrypts, or other transactions hold their rows.
    Unfinished,
    /// Values that cannot be decrypted, and so not be re-encrypted. Their number, and some of them.
    Unreadable(u64, Vec<String>),
}

/// Makes the next version of a tenant's key, and says which. `None` while another one is under way: the two are one.
///
/// # Errors
/// Errors of the database and of the key provider.
pub async fn begin(control: &Control, tenant: TenantId, actor: &Actor) -> Result<Option<u32>, Failure> {
    let Some(key) = control.db.next_key(tenant).await? else { return Ok(None) };
    let details = json!({ "version": key.version });
    let mut tx = noting(control, tenant, actor, (Action::TenantKeyRotated, details)).await?;
    if !key.insert(&mut tx).await? {
        return Ok(None);
    }
    tx.commit().await?;
    control.db.forget_keys(tenant).await;
    Ok(Some(key.version))
}

/// Does what can be done now, and re-encrypts at most about `most` values; calls `done` with their number. It is
/// idempotent, also when two control processes run it at once.
///
/// # Errors
/// Errors of the database and of the key provider. Finished work stays done.
pub async fn advance(
    control: &Control,
    tenant: TenantId,
    actor: &Actor,
    most: u64,
    done: &mut (impl FnMut(u64) + Send),
) -> Result<State, Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    let versions = tx.key_versions().await?;
    if versions.former.is_empty() {
        return Ok(State::Settled);
    }
    if versions.due_in_secs > 0.0 {
        return Ok(State::Spreads(Duration::from_secs_f64(versions.due_in_secs)));
    }
    // A look that begins after this has committed sees all that the former versions ever sealed.
    if versions.former.iter().any(|former| former.retired_at.is_none()) {
        tx.retire_keys().await?;
    }
    tx.commit().await?;
    control.db.forget_keys(tenant).await;
    let (newest, former) = versions.numbers();
    let mut left = most;
    while left > 0 {
        let looked = match control.db.reseal(tenant, (newest, &former), left, done).await {
            // The keys in memory are those of a fetch that began before.
            Err(Failure::KeyReplaced) => return Ok(State::Unfinished),
            looked => looked?,
        };
        match looked {
            Resealed { found: 0, .. } => {
                finish(control, tenant, actor, (newest, former)).await?;
                return Ok(State::Settled);
            }
            Resealed { values: 0, unreadable: 0, .. } => return Ok(State::Unfinished),
            Resealed { values: 0, unreadable, named, .. } => return Ok(State::Unreadable(unreadable, named)),
            Resealed { values, .. } => left = left.saturating_sub(values),
        }
    }
    Ok(State::Unfinished)
}

async fn finish(
    control: &Control,
    tenant: TenantId,
    actor: &Actor,
    (newest, former): (u32, Vec<u32>),
) -> Result<(), Failure> {
    let details = json!({ "version": newest, "former": former });
    let mut tx = noting(control, tenant, actor, (Action::TenantKeyDeleted, details)).await?;
    if tx.delete_keys(&former).await? {
        tx.commit().await?;
    }
    control.db.forget_keys(tenant).await;
    Ok(())
}

/// A transaction of the tenant with an entry: in the tenant's log, and in that of the platform while the tenant is being
/// made.
async fn noting(
    control: &Control,
    tenant: TenantId,
    actor: &Actor,
    (action, details): (Action, Value),
) -> Result<TenantTx, Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    let (now, target) = (control.clock.now(), Some(tenant.to_string()));
    if tx.has_cell().await? {
        audit::record(&mut tx, actor, now, action, target, details);
        return Ok(tx);
    }
    drop(tx);
    let mut tx = control.db.work_tx(control.db.platform().await?).await?;
    audit::record(&mut tx, actor, now, action, target, details);
    tx.enter(&control.db, tenant).await?;
    Ok(tx)
}

/// Continues the rotation of every tenant that has more than one key.
#[derive(Serialize, Deserialize)]
pub struct ReplaceTenantKeys {}

impl Job for ReplaceTenantKeys {
    const TASK: &'static str = "replace_tenant_keys";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        let mut left = EACH_MINUTE;
        for replacement in control.db.replacements().await? {
            let tenant = replacement.tenant;
            let most = left;
            let mut done = |values| left = left.saturating_sub(values);
            // A tenant whose cell or key cannot be read keeps no other back.
            match advance(control, tenant, &Actor::control(), most, &mut done).await {
                Ok(State::Settled) => tracing::info!(%tenant, "a former data key was deleted"),
                Ok(State::Spreads(_) | State::Unfinished) => {}
                Ok(State::Unreadable(count, named)) => {
                    let values = named.join(", ");
                    tracing::error!(%tenant, count, values, "what a former data key sealed does not open");
                }
                Err(failure) => {
                    tracing::warn!(%tenant, error = %chain(&failure), "a data key is not replaced for now");
                }
            }
        }
        Ok(())
    }
}

/// Sets the gauges of tenants whose key is being replaced.
///
/// # Errors
/// Errors of the database.
pub async fn measure(control: &Control) -> Result<(), Failure> {
    let replacements = control.db.replacements().await?;
    let oldest = replacements.iter().map(|replacement| replacement.age_secs).fold(0.0, f64::max);
    // Exact up to 2^53 tenants.
    #[allow(clippy::cast_precision_loss)]
    metrics::gauge!("wardgate_tenant_keys_replaced").set(replacements.len() as f64);
    metrics::gauge!("wardgate_tenant_keys_oldest_replaced_seconds").set(oldest);
    Ok(())
}
