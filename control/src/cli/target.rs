//! The tenant that a command names.

use shared::ids::{Slug, TenantId};

use super::outcome::CliError;
use crate::audit::verify::{Log, logs};
use crate::control::Control;
use crate::tenants::{self, Tenant};

/// A tenant that has a cell, where its users and keys are.
pub(super) async fn made_tenant(control: &Control, name: &str) -> Result<Tenant, CliError> {
    let tenant = tenant_named(control, name).await?;
    if tenant.status == shared::tenant::Status::Provisioning {
        return Err(CliError::Refused(format!(
            "tenant `{}` is still being made: a running `serve` finishes that",
            tenant.slug
        )));
    }
    Ok(tenant)
}

/// The tenant that a slug or an id names, unless it was deleted.
pub(super) async fn tenant_named(control: &Control, name: &str) -> Result<Tenant, CliError> {
    let mut connection = control.db.app().acquire().await?;
    let mut found = match TenantId::parse(name) {
        Ok(id) => tenants::find(&mut connection, id).await,
        Err(_) => Err(tenants::TenantError::NotFound),
    };
    // 32 hexadecimal digits are a slug, too.
    if let (Err(tenants::TenantError::NotFound), Ok(slug)) = (&found, Slug::parse(&name.to_ascii_lowercase()))
    {
        found = tenants::find_by_slug(&mut connection, &slug).await;
    }
    match found {
        Ok(tenant) if tenant.status != shared::tenant::Status::Deleted => Ok(tenant),
        Ok(_) => Err(CliError::NotFound(format!("tenant `{name}` was deleted, for good"))),
        Err(tenants::TenantError::NotFound) => {
            Err(CliError::NotFound(format!("there is no tenant `{name}`: `wardgate tenant list` lists them")))
        }
        Err(error) => Err(error.into()),
    }
}

/// The log of the tenant that was named, or every log.
pub(super) async fn chosen_logs(control: &Control, tenant: Option<&str>) -> Result<Vec<Log>, CliError> {
    let Some(name) = tenant else { return Ok(logs(control).await?) };
    let tenant = made_tenant(control, name).await?;
    Ok(vec![Log { tenant: tenant.id, slug: tenant.slug.to_string(), cell: tenant.cell }])
}
