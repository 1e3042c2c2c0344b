//! `wardgate policy`: the sign-in policy of a tenant in one place. Shows it, with the number of users who lack a
//! required second factor and whether a CAPTCHA is required (`super::captcha` sets it), and changes it, as an edit of
//! the tenant.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::user::UserStatus;

use super::known::unknown;
use super::outcome::CliError;
use super::settings::assigned;
use super::show::Show;
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::tenants::{self, Edit, Tenant, captcha};
use crate::users::{self, Filters, Matching, Viewer, role_names};

/// The settings of the sign-in policy.
const POLICY: [&str; 11] = [
    "second_factor_roles",
    "second_factor_from",
    "step_up_secs",
    "remember_device_days",
    "min_password_length",
    "password_strength",
    "password_history",
    "password_max_age_secs",
    "access_ttl_secs",
    "idle_secs",
    "absolute_secs",
];

/// In place of a role: every user.
const ANY_ROLE: &str = "*";

const SET: &str = "\
`wardgate tenant settings` explains each. A change that stops requiring a second factor of root-admins, or delays it, needs
--reason, which is stored in the audit log.

Examples:
  wardgate policy set second_factor_roles=root-admin,co-admin,staff --tenant acme
  wardgate policy set 'second_factor_roles=*' second_factor_from=2027-03-01T00:00:00Z --tenant acme
  wardgate policy set second_factor_roles= --tenant acme --reason 'Ticket 4711: clients cannot ask for codes yet'
  wardgate policy set step_up_secs=300 remember_device_days=14 --tenant acme";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show a tenant's sign-in policy, and how many users lack a required second factor.
    #[command(after_help = "Example:\n  wardgate policy show --tenant acme")]
    Show,
    /// Change a tenant's sign-in policy. Sessions that do not meet a new requirement end within seconds.
    #[command(after_help = SET)]
    Set {
        /// Settings of the policy; others stay unchanged.
        #[arg(required = true, value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// A reason for the audit log. Required if the change stops requiring a second factor of root-admins.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// The output of `policy show`.
#[derive(Serialize)]
struct Policy {
    tenant: String,
    /// Whether the roles in `second_factor_roles` need a second factor now.
    second_factor_in_force: bool,
    /// The number of active users of each of these roles without a second factor.
    without_second_factor: BTreeMap<String, i64>,
    /// When a CAPTCHA is required: `off`, `suspicious` or `always`.
    captcha: &'static str,
    /// A note for the administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    match command {
        Command::Show => print(control, show, &tenant).await,
        Command::Set { settings, reason } => {
            let tenant = set(control, &tenant, &settings, reason).await?;
            print(control, show, &tenant).await
        }
    }
}

async fn set(
    control: &Control,
    tenant: &Tenant,
    changes: &[String],
    reason: Option<String>,
) -> Result<Tenant, CliError> {
    for change in changes {
        let name = change.split_once('=').map_or(change.as_str(), |(name, _)| name);
        if !POLICY.contains(&name) {
            return Err(CliError::Refused(unknown("setting of the policy", name, &POLICY)));
        }
    }
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    // What is assigned is laid over settings that no other edit is changing.
    let before = tenants::lock(&mut tx, tenant.id).await?;
    let settings = Some(assigned(before.settings, changes)?);
    let edit = Edit { settings, reason, ..Edit::default() };
    let tenant = tenants::edit(control, &mut tx, &Actor::operator(), before.id, edit).await?;
    tx.commit().await?;
    Ok(tenant)
}

async fn print(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let now = control.clock.now();
    let roles = &tenant.settings.second_factor_roles;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let of_all = roles.iter().any(|role| role == ANY_ROLE);
    let roles = if of_all { role_names(&mut tx).await? } else { roles.clone() };
    let mut without_second_factor = BTreeMap::new();
    for role in roles {
        let (count, went_on) = without(tx, &role).await?;
        tx = went_on;
        without_second_factor.insert(role, count);
    }
    let captcha = captcha::own(&mut tx).await?.map_or("off", |own| own.policy.asked.as_str());
    drop(tx);
    let written = match serde_json::to_value(&tenant.settings) {
        Ok(Value::Object(written)) => written,
        Ok(_) | Err(_) => Map::new(),
    };
    let shown = |name: &&str| written.get(*name).or_else(|| defaults().get(*name)).cloned();
    let policy = Policy {
        tenant: tenant.slug.to_string(),
        second_factor_in_force: tenant
            .settings
            .demands_second_factor(&tenant.settings.second_factor_roles, now.timestamp()),
        without_second_factor,
        captcha,
        notice: tenants::demand_to_come(tenant, now).map(|notice| notice.detail),
        settings: POLICY.iter().map(|name| ((*name).to_owned(), shown(name).unwrap_or_default())).collect(),
    };
    show.details(&policy);
    Ok(())
}

fn defaults() -> &'static Map<String, Value> {
    use shared::tenant::settings::Settings;
    static DEFAULTS: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    DEFAULTS.get_or_init(Settings::defaults)
}

/// How many active users of a role have no second factor.
async fn without(tx: TenantTx, role: &str) -> Result<(i64, TenantTx), CliError> {
    let filters = Filters {
        status: Some(UserStatus::Active),
        role: Some(role.to_owned()),
        mfa_enabled: Some(false),
        ..Filters::default()
    };
    let permitted = Viewer::operator().permits(filters, &[]);
    let permitted = permitted.map_err(|refusal| CliError::Refused(refusal.body.to_string()))?;
    let (matching, mut tx) = Matching::of(tx, permitted).await?;
    let count = users::count(&mut tx, &matching, true).await?;
    Ok((count.number(), tx))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_made_of_settings() {
        assert!(POLICY.iter().all(|name| defaults().contains_key(*name)));
    }
}
