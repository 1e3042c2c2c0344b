//! Editing, suspending, resuming and deleting a tenant. Every change is a new document.

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::HostName;
use shared::tenant::Status;
use shared::tenant::settings::Settings;
use shared::tokens::legacy::Legacy;

use super::create::check;
use super::model::{Tenant, TenantError, host_name};
use super::second_factor::{self, Demand};
use super::{named_roles, networks, store, visibility};
use crate::audit::{self, Action, Actor, Who};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::http::time::text;
use crate::jobs::queue;
use crate::legacy;
use crate::roles;
use crate::users::completion;
use crate::users::password_history::ForgetPasswords;
use crate::users::role_names;
use shared::ids::TenantId;

/// The fields of an edit; absent ones stay. Claims of tokens are changed by [`super::claims`].
#[derive(Default)]
pub struct Edit {
    /// Its display name.
    pub name: Option<String>,
    /// Its hosts, all of them. The platform's to set.
    pub hosts: Option<Vec<HostName>>,
    /// Its choices, all of them.
    pub settings: Option<Settings>,
    /// Settings of the legacy service that the tenant came from. Only the platform sets them.
    pub legacy: EditLegacy,
    /// The reason. It is required to exempt root-admins from the second factor, and to exclude the caller's own
    /// network.
    pub reason: Option<String>,
    /// Whether the caller may set networks that refuse the caller's own.
    pub exclude_self: bool,
}

/// The fields of [`LegacyService`](crate::legacy::service::LegacyService) that an edit sets.
#[derive(Default)]
pub struct EditLegacy {
    /// The tokens that are still accepted; `Some(None)`: none.
    pub tokens: Option<Option<Legacy>>,
    /// When passwords that it hashed are not checked any more.
    pub foreign_until: Option<Option<DateTime<Utc>>>,
}

/// Edits the tenant `id`; `tx` is inside it.
///
/// # Errors
/// See [`TenantError`].
pub async fn edit(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: TenantId,
    mut edit: Edit,
) -> Result<Tenant, TenantError> {
    let before = living(tx, id).await?;
    if before.status == Status::Provisioning {
        return Err(TenantError::WrongState);
    }
    let (exclude_self, reason) = (edit.exclude_self, edit.reason.take());
    let mut tenant = before.clone();
    let fields = apply(edit, &mut tenant);
    if fields.is_empty() {
        return Ok(before);
    }
    check_edited(control, tx, actor, &before, &tenant).await?;
    let excluded = networks::excludes(actor, &before.settings, &tenant.settings);
    networks::check(actor, excluded, exclude_self, reason.as_deref())?;
    tenant.updated_at = control.clock.now();
    let demand = Demand::between(&before.settings, &tenant.settings, tenant.updated_at);
    if demand != Demand::Same {
        second_factor::check(&tenant.settings, &role_names(tx).await?)?;
    }
    let reason = second_factor::reason(demand, reason.as_deref())?;
    if tenant.hosts != before.hosts {
        move_hosts(control, tx, &before, &tenant).await?;
    }
    if tenant.settings.password_history < before.settings.password_history {
        queue::enqueue(tx, &ForgetPasswords { tenant: id }, TimeDelta::zero()).await?;
    }
    if tenant.settings.profile_weights != before.settings.profile_weights {
        completion::ask(tx, id).await?;
    }
    let mut details = serde_json::json!({ "fields": fields });
    if demand != Demand::Same {
        details["second_factor"] = demands(&before, &tenant);
    }
    if let Some(reason) = reason {
        details["reason"] = reason.into();
    }
    if excluded {
        details["excluded_self"] = true.into();
    }
    let priority = if demand == Demand::Raised || networks::differ(&before.settings, &tenant.settings) {
        Priority::Revokes
    } else {
        Priority::InTurn
    };
    write(tx, actor, &tenant, Action::TenantEdited, priority, details).await?;
    Ok(tenant)
}

/// Sets the fields of an edit in `tenant` and returns the names of those that changed.
fn apply(edit: Edit, tenant: &mut Tenant) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let EditLegacy { tokens, foreign_until } = edit.legacy;
    replace("name", edit.name, &mut tenant.name, &mut changed);
    replace("hosts", edit.hosts, &mut tenant.hosts, &mut changed);
    replace("settings", edit.settings, &mut tenant.settings, &mut changed);
    replace("foreign_until", foreign_until, &mut tenant.legacy.foreign_until, &mut changed);
    replace("legacy", tokens, &mut tenant.legacy.tokens, &mut changed);
    changed
}

fn replace<T: PartialEq>(name: &'static str, new: Option<T>, old: &mut T, changed: &mut Vec<&'static str>) {
    if let Some(new) = new.filter(|new| new != old) {
        changed.push(name);
        *old = new;
    }
}

/// Checks the fields that an edit has changed, except the second factor and the networks.
async fn check_edited(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    before: &Tenant,
    after: &Tenant,
) -> Result<(), TenantError> {
    check(control, after)?;
    if after.settings.visibility != before.settings.visibility {
        let roles = role_names(tx).await?;
        visibility::check(control, &after.settings.visibility, &roles)?;
    }
    named_roles::check(Some(&before.settings), &after.settings, &roles::store::all(tx).await?)?;
    // Hashes that are left at that time are deleted for good, so the time must not be moved into the past by mistake.
    let until = after.legacy.foreign_until.filter(|it| before.legacy.foreign_until != Some(*it));
    if until.is_some_and(|until| until <= control.clock.now()) {
        return Err(TenantError::field("foreign_until", "Expected a time that is to come."));
    }
    if let Some(tokens) = after.legacy.tokens.as_ref().filter(|it| before.legacy.tokens.as_ref() != Some(*it))
    {
        legacy::tokens::check(control, tx, tokens).await?;
    }
    if matches!(actor.who, Who::User { .. }) && raises_budget(&before.settings, &after.settings) {
        return Err(TenantError::field("hashes_per_sec", "Only the platform can raise it."));
    }
    Ok(())
}

/// Whether each isolate of the edge would hash more for the tenant than before; 0 is no bound.
fn raises_budget(before: &Settings, after: &Settings) -> bool {
    let of = |settings: &Settings| match settings.hashes_per_sec {
        0 => u64::MAX,
        bounded => bounded,
    };
    of(after) > of(before)
}

/// The tenant's second-factor requirement before and after.
fn demands(before: &Tenant, after: &Tenant) -> serde_json::Value {
    let of = |tenant: &Tenant| {
        let Settings { second_factor_roles, second_factor_from, .. } = &tenant.settings;
        serde_json::json!({ "roles": second_factor_roles, "from": second_factor_from.map(text) })
    };
    serde_json::json!({ "from": of(before), "to": of(after) })
}

/// Stops the tenant: the edge serves keys and health, nothing else.
///
/// # Errors
/// See [`TenantError`]; suspending twice changes nothing.
pub async fn suspend(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: TenantId,
) -> Result<Tenant, TenantError> {
    let mut tenant = living(tx, id).await?;
    match tenant.status {
        _ if tenant.is_platform => Err(TenantError::IsPlatform),
        Status::Suspended => Ok(tenant),
        Status::Provisioning | Status::Deleted => Err(TenantError::WrongState),
        Status::Active => {
            tenant.status = Status::Suspended;
            tenant.updated_at = control.clock.now();
            write(tx, actor, &tenant, Action::TenantSuspended, Priority::Revokes, serde_json::json!({}))
                .await?;
            Ok(tenant)
        }
    }
}

/// Lets a suspended tenant work again.
///
/// # Errors
/// See [`TenantError`]; resuming an active one changes nothing.
pub async fn resume(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: TenantId,
) -> Result<Tenant, TenantError> {
    let mut tenant = living(tx, id).await?;
    match tenant.status {
        Status::Active => Ok(tenant),
        Status::Provisioning | Status::Deleted => Err(TenantError::WrongState),
        Status::Suspended => {
            tenant.status = Status::Active;
            tenant.updated_at = control.clock.now();
            write(tx, actor, &tenant, Action::TenantResumed, Priority::InTurn, serde_json::json!({})).await?;
            Ok(tenant)
        }
    }
}

/// Deletes the tenant for good. Its rows stay, so that slug, hosts and ids are never given again.
///
/// # Errors
/// See [`TenantError`].
pub async fn delete(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: TenantId,
) -> Result<(), TenantError> {
    let mut tenant = living(tx, id).await?;
    if tenant.is_platform {
        return Err(TenantError::IsPlatform);
    }
    if tenant.status == Status::Provisioning {
        return Err(TenantError::WrongState);
    }
    tenant.status = Status::Deleted;
    tenant.updated_at = control.clock.now();
    let platform = control.db.platform().await?;
    for name in tenant.names() {
        tx.changes().name_gone(platform, &name);
    }
    write(tx, actor, &tenant, Action::TenantDeleted, Priority::Revokes, serde_json::json!({})).await
}

pub(super) async fn living(tx: &mut TenantTx, id: TenantId) -> Result<Tenant, TenantError> {
    let tenant = store::lock(tx, id).await?;
    if tenant.status == Status::Deleted { Err(TenantError::NotFound) } else { Ok(tenant) }
}

async fn move_hosts(
    control: &Control,
    tx: &mut TenantTx,
    before: &Tenant,
    after: &Tenant,
) -> Result<(), TenantError> {
    store::replace_hosts(tx, after.id, &after.hosts).await?;
    let platform = control.db.platform().await?;
    for host in before.hosts.iter().filter(|host| !after.hosts.contains(host)) {
        tx.changes().name_gone(platform, &host_name(host));
    }
    for host in after.hosts.iter().filter(|host| !before.hosts.contains(host)) {
        tx.changes().name(platform, &host_name(host));
    }
    Ok(())
}

/// Row, document, and entry in the tenant's own log.
pub(super) async fn write(
    tx: &mut TenantTx,
    actor: &Actor,
    tenant: &Tenant,
    action: Action,
    priority: Priority,
    details: serde_json::Value,
) -> Result<(), TenantError> {
    store::update(tx, tenant).await?;
    tx.changes().document(tenant.id, priority);
    audit::record(tx, actor, tenant.updated_at, action, Some(tenant.id.to_string()), details);
    Ok(())
}
