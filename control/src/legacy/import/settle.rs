//! What an import settles once for its tenant, and what must hold before it begins.

use std::collections::HashSet;

use foreign::{FAMILIES, Family, Params};
use shared::tenant::settings::Cookies;
use shared::tokens::claims::UserIdForm;

use super::ImportError;
use super::judge::Mapping;
use super::report::Report;
use super::state::Import;
use crate::audit::Actor;
use crate::db::TenantTx;
use crate::http::time::text;
use crate::legacy::{ids, service};
use crate::mfa::announce;
use crate::tenants::{self, Tenant, TenantError};
use crate::users;

/// Sets of parameters that passwords may have: Django has written some twenty, one with each release.
const FORMATS: usize = 64;

/// The first import settles how `user_id` is written, unless it was set before: others have stored it since.
pub(super) fn form_stays(tenant: &Tenant, wanted: Option<UserIdForm>) -> Result<(), ImportError> {
    let settled = settled_form(tenant);
    if wanted.is_some() && settled.is_some() && wanted != settled {
        let form = service::form_text(tenant.legacy.user_id);
        return Err(ImportError::Refused(format!(
            "the tenant's tokens write `user_id` as {form}, and others have stored it: leave --user-id out, or \
             see what `wardgate tenant set-user-id` says"
        )));
    }
    Ok(())
}

/// How `user_id` is written, if that is settled: by an import, or by hand.
fn settled_form(tenant: &Tenant) -> Option<UserIdForm> {
    let form = tenant.legacy.user_id;
    (tenant.legacy.imported_at.is_some() || form != UserIdForm::Uuid).then_some(form)
}

/// The roles that the mapping names must exist before the import.
pub(super) async fn roles_exist(tx: &mut TenantTx, mapping: &Mapping) -> Result<(), ImportError> {
    let wanted = mapping.roles.values().chain([&mapping.superusers, &mapping.staff, &mapping.others]);
    let wanted: Vec<String> = wanted.flatten().cloned().collect();
    let there = users::role_names(tx).await?;
    match wanted.iter().find(|role| !there.contains(role)) {
        Some(role) => {
            let there = there.join(", ");
            Err(ImportError::Refused(format!("the tenant has no role `{role}`: there are {there}")))
        }
        None => Ok(()),
    }
}

/// A refused sign-in costs a check of every kind of password that the tenant has: their number is bounded.
pub(super) fn formats_fit(report: &Report) -> Result<(), ImportError> {
    let formats = report.passwords.keys().filter_map(|format| Params::parse(format).ok());
    let families: HashSet<Family> = formats.map(Params::family).collect();
    if report.passwords.len() <= FORMATS && families.len() <= FAMILIES {
        return Ok(());
    }
    Err(ImportError::Refused(format!(
        "the passwords have {} sets of parameters of {} kinds: more than {FORMATS} or {FAMILIES} cannot be checked",
        report.passwords.len(),
        families.len(),
    )))
}

impl Import<'_> {
    /// How `user_id` is written from now on.
    pub fn user_id(&self, tenant: &Tenant) -> UserIdForm {
        let by_ids = if self.greatest.is_some() { UserIdForm::Integer } else { UserIdForm::String };
        self.options.user_id.or(settled_form(tenant)).unwrap_or(by_ids)
    }

    /// The tenant as it has to be before its users come.
    pub async fn prepare(&mut self) -> Result<(), ImportError> {
        let (control, id) = (self.control, self.options.tenant.id);
        let mut tx = control.db.tenant_tx(id).await?;
        // As it is now: to read the source may have taken hours, and its administrators went on.
        let tenant = tenants::lock(&mut tx, id).await.map_err(of_tenant)?;
        form_stays(&tenant, self.options.user_id)?;
        if let Some(greatest) = self.greatest {
            ids::continue_after(&mut tx, greatest).await?;
        }
        let form = self.user_id(&tenant);
        self.report.user_id = service::form_text(form).to_owned();
        if tenant.legacy.imported_at.is_none() {
            let mut settings = tenant.settings;
            settings.cookies = Cookies::Plain;
            settings.min_password_length = settings.min_password_length.min(8);
            let now = control.clock.now();
            let (settings, reason) = tenants::settings_of_imported(settings, now);
            if let (Some(from), Some(_)) = (settings.second_factor_from, &reason) {
                announce::promise(&mut tx, id, from, now).await?;
                self.report.second_factor_from = Some(text(from));
            }
            let edit = tenants::Edit { settings: Some(settings), reason, ..tenants::Edit::default() };
            tenants::edit(control, &mut tx, &Actor::operator(), id, edit).await.map_err(of_tenant)?;
        }
        service::users_imported(&mut tx, form, control.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn of_tenant(error: TenantError) -> ImportError {
    match error {
        TenantError::Failure(failure) => failure.into(),
        other => ImportError::Refused(other.to_string()),
    }
}
