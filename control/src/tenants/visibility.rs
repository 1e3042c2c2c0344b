//! Checks a tenant's visibility settings: only roles that it has, and within the platform's bounds.

use shared::tenant::visibility::{ANY_ROLE, Rule};

use super::model::TenantError;
use crate::control::Control;
use crate::users::visibility::beyond;

/// Checks rules that are new. Those that are stored are not judged again: a bound that came later counts over them
/// wherever something is shown, and an edit of something else does not have to wait for theirs.
///
/// # Errors
/// [`TenantError::Fields`] that names each rule that cannot be.
pub(super) fn check(control: &Control, rules: &[Rule], roles: &[String]) -> Result<(), TenantError> {
    let unknown = rules.iter().filter(|rule| rule.role != ANY_ROLE && !roles.contains(&rule.role));
    let unknown = unknown.map(|rule| format!("{rule}: there is no such role."));
    let beyond = beyond(rules, &control.settings.visibility.clearest.0);
    let beyond = beyond.map(|(rule, most)| format!("{rule}: the platform allows {} at most.", most.as_str()));
    let faults: Vec<_> = unknown.chain(beyond).collect();
    if faults.is_empty() { Ok(()) } else { Err(TenantError::field("visibility", &faults.join(" "))) }
}
