//! Settings that name roles of the tenant.

use std::collections::BTreeSet;

use shared::tenant::settings::Settings;

use super::model::TenantError;
use crate::roles::Role;

/// Checks the timeouts and the role of registered users, if they differ from `before`: only roles that the tenant has.
/// [`super::second_factor`] and [`super::visibility`] check the other settings that name roles.
///
/// # Errors
/// [`TenantError::Fields`] that names each.
pub(super) fn check(before: Option<&Settings>, after: &Settings, roles: &[Role]) -> Result<(), TenantError> {
    let mut faults = Vec::new();
    if before.is_none_or(|before| before.role_timeouts != after.role_timeouts) {
        let exists = |name: &String| roles.iter().any(|role| role.name == *name);
        let unknown: BTreeSet<_> =
            after.role_timeouts.iter().map(|rule| &rule.role).filter(|name| !exists(name)).collect();
        let unknown: Vec<_> = unknown.iter().map(|name| format!("{name}: there is no such role.")).collect();
        if !unknown.is_empty() {
            faults.push(("role_timeouts", unknown.join(" ")));
        }
    }
    if before.is_none_or(|before| before.registration_role != after.registration_role) {
        let low: Vec<_> = roles.iter().filter(|role| role.is_for_registration()).collect();
        if !low.iter().any(|role| role.name == after.registration_role) {
            let low: Vec<_> = low.iter().map(|role| role.name.as_str()).collect();
            let said = format!("Must be a role below `staff` without permissions: {}.", low.join(", "));
            faults.push(("registration_role", said));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(TenantError::Fields(faults)) }
}

/// The names of the settings that keep a role from being deleted, because they name it. Of `second_factor_roles` a deleted
/// role is removed.
#[must_use]
pub fn naming(settings: &Settings, role: &str) -> Vec<&'static str> {
    let named = [
        ("registration_role", settings.registration_role == role),
        ("role_timeouts", settings.role_timeouts.iter().any(|rule| rule.role == role)),
        ("visibility", settings.visibility.iter().any(|rule| rule.role == role)),
    ];
    named.into_iter().filter_map(|(name, names)| names.then_some(name)).collect()
}
