//! Making a tenant: committed as `provisioning` with its names taken; a job makes the cell.

use chrono::TimeDelta;
use shared::contract::permissions::ROLES;
use shared::ids::{HostName, Slug, TenantId};
use shared::tenant::Status;
use shared::tenant::settings::Settings;

use super::claims;
use super::model::{FirstAdmin, Isolation, Tenant, TenantError};
use super::provision::Provision;
use super::{named_roles, second_factor, store, visibility};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::sealed::{Column, TenantKeys};
use crate::db::{CellName, NewTenantKey, TenantTx};
use crate::failure::Failure;
use crate::jobs::queue;
use crate::legacy::service::LegacyService;
use crate::roles::Role;
use crate::world::{random, unix_ms};

/// Characters of a name.
const LONGEST_TEXT: usize = 255;

/// The data of a new tenant.
pub struct NewTenant {
    /// Its short name.
    pub slug: Slug,
    /// Its display name.
    pub name: String,
    /// Its own hosts.
    pub hosts: Vec<HostName>,
    /// Its issuer; absent: [`claims::default_issuer`].
    pub issuer: Option<String>,
    /// Its audience, if it has one.
    pub audience: Option<String>,
    /// Where its users live.
    pub isolation: Isolation,
    /// Its choices.
    pub settings: Settings,
    /// Its first root-admin.
    pub admin: Option<FirstAdmin>,
}

/// Makes the key of a new tenant, and with it the tenant's id. It asks the key provider, so it comes before the
/// transaction.
///
/// # Errors
/// The key provider's.
pub async fn prepare(control: &Control) -> Result<NewTenantKey, Failure> {
    let id = TenantId::new(unix_ms(control.clock.now()), random()?);
    control.db.new_key(id).await
}

/// Commits nothing itself: `tx` is a transaction of the platform tenant.
///
/// # Errors
/// Taken or unacceptable names and settings as [`TenantError::Fields`].
pub async fn create(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    key: &NewTenantKey,
    new: NewTenant,
) -> Result<Tenant, TenantError> {
    let now = control.clock.now();
    let admin = new.admin;
    let id = key.tenant();
    let tenant = Tenant {
        id,
        cell: match new.isolation {
            Isolation::Schema => CellName::own(id),
            Isolation::Shared => CellName::shared(),
        },
        issuer: new.issuer.unwrap_or_else(|| {
            claims::default_issuer(&new.slug, &new.hosts, &control.settings.http.shared_origin)
        }),
        former_claims: Vec::new(),
        slug: new.slug,
        name: new.name,
        hosts: new.hosts,
        status: Status::Provisioning,
        is_platform: false,
        isolation: new.isolation,
        audience: new.audience,
        settings: new.settings,
        legacy: LegacyService::default(),
        created_at: now,
        updated_at: now,
    };
    check(control, &tenant)?;
    // A new tenant has the predefined roles.
    let roles = ROLES.map(|role| Role::predefined(role.name, role.rank, now));
    let names = ROLES.map(|role| role.name.to_owned());
    visibility::check(control, &tenant.settings.visibility, &names)?;
    second_factor::check(&tenant.settings, &names)?;
    named_roles::check(None, &tenant.settings, &roles)?;
    if tenant.isolation == Isolation::Schema {
        let limit = i64::from(control.settings.database.max_dedicated_cells);
        if store::dedicated_cells(tx).await? >= limit {
            return Err(TenantError::CellsExhausted);
        }
    }
    store::insert(tx, &tenant).await?;
    key.keep(tx).await?;
    if let Some(admin) = &admin {
        keep_first_admin(tx, key.keys(), admin).await?;
    }
    queue::enqueue(tx, &Provision { tenant: id }, TimeDelta::zero()).await?;
    let details = serde_json::json!({ "slug": tenant.slug, "isolation": tenant.isolation });
    audit::record(tx, actor, now, Action::TenantCreated, Some(id.to_string()), details);
    Ok(tenant)
}

/// Checks that no column type makes.
pub(super) fn check(control: &Control, tenant: &Tenant) -> Result<(), TenantError> {
    let mut faults = tenant.settings.faults();
    let shared_hosts = &control.settings.http.shared_hosts.0;
    if tenant.hosts.iter().any(|host| shared_hosts.iter().any(|shared| shared == host.as_str())) {
        faults.push(("hosts", String::from("A shared host belongs to no tenant.")));
    }
    let mut hosts: Vec<_> = tenant.hosts.iter().collect();
    hosts.sort();
    hosts.dedup();
    if hosts.len() != tenant.hosts.len() {
        faults.push(("hosts", String::from("A host is named twice.")));
    }
    if tenant.name.trim().is_empty() {
        faults.push(("name", String::from("This field may not be blank.")));
    }
    // The name is in every list of the platform's.
    if tenant.name.chars().count() > LONGEST_TEXT {
        faults.push(("name", format!("Ensure this field has no more than {LONGEST_TEXT} characters.")));
    }
    faults.extend(claims::faults(&tenant.issuer, tenant.audience.as_deref()));
    if faults.is_empty() { Ok(()) } else { Err(TenantError::Fields(faults)) }
}

/// Until there is a cell for users. It waits in a row of its own, because a job holds ids only.
async fn keep_first_admin(tx: &mut TenantTx, keys: &TenantKeys, admin: &FirstAdmin) -> Result<(), Failure> {
    let plain = serde_json::to_vec(admin).map_err(|_| Failure::Unreadable("first administrator"))?;
    let wrapped = keys.seal(Column::FirstAdmin, "", &plain)?;
    sqlx::query!(
        "insert into platform.first_admins (tenant_id, wrapped) values ($1, $2)",
        keys.tenant().uuid(),
        wrapped,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
