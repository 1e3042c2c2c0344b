//! Networks that a tenant allows and denies. An administrator who sets them is kept from excluding
//! their own network by mistake.

use shared::tenant::settings::Settings;

use super::model::TenantError;
use crate::audit::{Actor, Who};

/// Whether two settings list other networks.
pub(super) fn differ(before: &Settings, after: &Settings) -> bool {
    let of = |settings: &Settings| {
        let Settings { allowed_networks, denied_networks, .. } = settings.clone();
        (
            allowed_networks,
            denied_networks,
            settings.admin_allowed_networks.clone(),
            settings.admin_denied_networks.clone(),
        )
    };
    of(before) != of(after)
}

/// Whether the tenant would refuse the network of its own administrator who sets them, from which it takes requests now.
/// The platform's administrators and operators come in elsewhere.
pub(super) fn excludes(actor: &Actor, before: &Settings, after: &Settings) -> bool {
    match (&actor.who, &actor.client) {
        (Who::User { .. }, Some(client)) => {
            differ(before, after)
                && before.admits_administration(client)
                && !after.admits_administration(client)
        }
        (Who::User { .. }, None) | (Who::Platform { .. } | Who::Operator | Who::Control, _) => false,
    }
}

/// Refuses what excludes its author, unless that is meant and there is a reason.
///
/// # Errors
/// [`TenantError::Fields`].
pub(super) fn check(
    actor: &Actor,
    excluded: bool,
    meant: bool,
    reason: Option<&str>,
) -> Result<(), TenantError> {
    let client = actor.client.as_deref().unwrap_or_default();
    let fault = |field, words: &str| Err(TenantError::field(field, words));
    match (excluded, meant) {
        (false, _) => Ok(()),
        (true, false) => {
            let words = format!(
                "Your own address {client} would be refused. Add it, or send true and a reason if that is meant."
            );
            fault("exclude_self", &words)
        }
        (true, true) if reason.is_none_or(|reason| reason.trim().is_empty()) => {
            fault("reason", "Your own address would be refused: say why. It stands in the audit log.")
        }
        (true, true) => Ok(()),
    }
}
