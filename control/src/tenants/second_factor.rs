//! What a tenant demands of a second factor: roles that it has, and a reason where its root-admins are let off.

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use serde::Serialize;
use shared::contract::limits::REASON_CHARS;
use shared::tenant::settings::Settings;

use utoipa::ToSchema;

use super::model::{Tenant, TenantError};
use crate::http::time::text;

/// The role that no tenant lets off without a reason: a user with this role can undo every other protection.
const GUARDED: &str = "root-admin";
/// The roles of which a new tenant demands a second factor: those that administer it.
const OF_NEW_TENANTS: [&str; 2] = [GUARDED, "co-admin"];
/// In place of a role: every user.
const ANY_ROLE: &str = "*";
/// The field of a change that gives the reason.
const REASON: &str = "reason";

/// How old the proof of an administrator may be at a new tenant, in seconds.
const STEP_UP_OF_NEW_TENANTS: u64 = 900;

/// The settings of a tenant that the API or the command line makes, where the request names no others.
#[must_use]
pub fn first_settings() -> Settings {
    Settings { second_factor_roles: OF_NEW_TENANTS.map(String::from).to_vec(), ..platform_settings() }
}

/// The first settings of the platform tenant: its first administrator has no second factor yet when they sign in.
pub(super) fn platform_settings() -> Settings {
    Settings { step_up_secs: STEP_UP_OF_NEW_TENANTS, ..Settings::default() }
}

/// For how long an imported tenant demands no second factor of its administrators, in days: they come without one.
const DAYS_AFTER_IMPORT: i64 = 90;
/// Why that is so, in the audit log.
const IMPORTED: &str = "Users are imported: administrators have some time to enrol a second factor";

/// The settings of a tenant whose first users are imported, and the reason. What a new tenant demands of its
/// administrators begins later; a policy that an administrator has chosen stays. No client of the
/// old service can step up, so recent proofs are not asked for.
#[must_use]
pub fn settings_of_imported(before: Settings, now: DateTime<Utc>) -> (Settings, Option<String>) {
    let first = first_settings();
    let is_untouched =
        before.second_factor_roles == first.second_factor_roles && before.second_factor_from.is_none();
    let from = now.with_nanosecond(0).unwrap_or(now) + TimeDelta::days(DAYS_AFTER_IMPORT);
    let step_up_secs = if before.step_up_secs == first.step_up_secs { 0 } else { before.step_up_secs };
    let second_factor_from = if is_untouched { Some(from) } else { before.second_factor_from };
    let settings = Settings { step_up_secs, second_factor_from, ..before };
    (settings, is_untouched.then(|| String::from(IMPORTED)))
}

/// A requirement of a second factor that begins in the future, at a tenant whose users were imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SecondFactorNotice)]
pub struct DemandToCome {
    /// When it begins.
    #[serde(serialize_with = "crate::http::time::micros")]
    pub from: DateTime<Utc>,
    /// The roles; `*` for every user.
    pub roles: Vec<String>,
    /// A text that says so.
    pub detail: String,
}

/// See [`DemandToCome`]; `None` where none is to come.
#[must_use]
pub fn demand_to_come(tenant: &Tenant, now: DateTime<Utc>) -> Option<DemandToCome> {
    tenant.legacy.imported_at?;
    to_come(&tenant.settings, now)
}

/// The same for settings.
pub(super) fn to_come(settings: &Settings, now: DateTime<Utc>) -> Option<DemandToCome> {
    let from = settings.second_factor_from.filter(|from| *from > now)?;
    let roles = settings.second_factor_roles.clone();
    let of =
        if roles.iter().any(|role| role == ANY_ROLE) { String::from("every user") } else { roles.join(", ") };
    let detail = format!(
        "From {} on a second factor is demanded of {of}. Until then they sign in without one; from then on users without one \
         enrol at the next sign-in.",
        text(from)
    );
    (!roles.is_empty()).then_some(DemandToCome { from, roles, detail })
}

/// Checks roles that are new: a demand of a role that is not there would protect no user.
///
/// # Errors
/// [`TenantError::Fields`] that names each.
pub(super) fn check(settings: &Settings, roles: &[String]) -> Result<(), TenantError> {
    let unknown =
        settings.second_factor_roles.iter().filter(|role| *role != ANY_ROLE && !roles.contains(role));
    let faults: Vec<_> = unknown.map(|role| format!("{role}: there is no such role.")).collect();
    if faults.is_empty() { Ok(()) } else { Err(TenantError::field("second_factor_roles", &faults.join(" "))) }
}

/// The effect of a change on the requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// It stays.
    Same,
    /// It applies to more users, or to some sooner. The edge is informed at once.
    Raised,
    /// It reaches no more than before, and root-admins as before.
    Lowered,
    /// Root-admins are let off, or later than now: it needs a reason.
    Lifted,
}

impl Demand {
    /// Compares the demands of two settings at a moment.
    pub(super) fn between(before: &Settings, after: &Settings, now: DateTime<Utc>) -> Self {
        let of = |settings: &Settings| (settings.second_factor_roles.clone(), settings.second_factor_from);
        if of(before) == of(after) {
            return Self::Same;
        }
        let guarded = |settings: &Settings, secs| settings.demands_second_factor(&[GUARDED], secs);
        let lifted = |secs| guarded(before, secs) && !guarded(after, secs);
        if lifted(i64::MAX) || lifted(now.timestamp()) {
            return Self::Lifted;
        }
        let starts = |settings: &Settings| settings.second_factor_from.map_or(i64::MIN, |at| at.timestamp());
        let covered =
            |role: &String| before.second_factor_roles.iter().any(|of| of == role || of == ANY_ROLE);
        let wider = !after.second_factor_roles.iter().all(covered);
        let sooner = starts(after) < starts(before) && !after.second_factor_roles.is_empty();
        if wider || sooner { Self::Raised } else { Self::Lowered }
    }
}

/// The reason of a change, where it needs one.
///
/// # Errors
/// [`TenantError::Fields`] without one that is 1 to 500 characters of text.
pub(super) fn reason(demand: Demand, reason: Option<&str>) -> Result<Option<&str>, TenantError> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    let fault = |said: &str| Err(TenantError::field(REASON, said));
    match reason {
        None if demand == Demand::Lifted => {
            fault("Root-admins would not need a second factor any more: say why. It stands in the audit log.")
        }
        None => Ok(None),
        Some(text) if text.chars().count() > REASON_CHARS => {
            fault(&format!("Ensure this field has no more than {REASON_CHARS} characters."))
        }
        Some(text) if text.chars().any(char::is_control) => fault("Control characters are not allowed."),
        Some(text) => Ok(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(roles: &[&str], from: Option<i64>) -> Settings {
        Settings {
            second_factor_roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            second_factor_from: from.and_then(|secs| DateTime::from_timestamp(secs, 0)),
            ..Settings::default()
        }
    }

    #[test]
    fn an_imported_tenant_has_ninety_days_unless_somebody_has_chosen() {
        let now = DateTime::from_timestamp(1_800_000_000, 5).unwrap();
        let later = DateTime::from_timestamp(1_800_000_000 + 90 * 86_400, 0);
        let (after, reason) = settings_of_imported(first_settings(), now);
        assert_eq!((after.second_factor_from, after.step_up_secs), (later, 0));
        assert_eq!(after.second_factor_roles, first_settings().second_factor_roles);
        assert!(reason.is_some());
        let notice = to_come(&after, now).unwrap();
        assert_eq!((Some(notice.from), notice.roles.len()), (later, 2));
        assert!(
            notice
                .detail
                .starts_with("From 2027-04-15T08:00:00.000000Z on a second factor is demanded of root-admin")
        );
        assert_eq!(to_come(&after, later.unwrap()), None);
        for chosen in [settings(&[], None), settings(&["root-admin"], None), settings(&["*"], Some(7))] {
            let chosen = Settings { step_up_secs: 60, ..chosen };
            assert_eq!(settings_of_imported(chosen.clone(), now), (chosen.clone(), None));
            assert_eq!(to_come(&chosen, now), None);
        }
    }

    #[test]
    fn a_demand_is_lifted_where_root_admins_are_let_off() {
        use Demand::{Lifted, Lowered, Raised, Same};
        let admins = || settings(&["root-admin", "co-admin"], None);
        let now = DateTime::from_timestamp(1000, 0).unwrap();
        for (before, after, expected) in [
            (admins(), admins(), Same),
            (admins(), settings(&["root-admin"], None), Lowered),
            (admins(), settings(&["co-admin"], None), Lifted),
            (admins(), settings(&[], None), Lifted),
            (admins(), settings(&["*"], None), Raised),
            (settings(&["*"], None), admins(), Lowered),
            (settings(&["*"], None), settings(&["co-admin"], None), Lifted),
            (settings(&[], None), admins(), Raised),
            (settings(&["staff"], None), settings(&[], None), Lowered),
            // To come later than now is to be let off now.
            (admins(), settings(&["root-admin", "co-admin"], Some(2000)), Lifted),
            (admins(), settings(&["root-admin", "co-admin"], Some(900)), Lowered),
            (settings(&["root-admin"], Some(2000)), settings(&["root-admin"], Some(3000)), Lowered),
            (settings(&["root-admin"], Some(2000)), settings(&[], Some(2000)), Lifted),
            (settings(&["root-admin"], Some(2000)), settings(&["root-admin"], None), Raised),
            (settings(&[], None), settings(&[], Some(2000)), Lowered),
        ] {
            let words = format!("{:?} {:?}", before.second_factor_roles, after.second_factor_roles);
            assert_eq!(Demand::between(&before, &after, now), expected, "{words}");
        }
    }

    #[test]
    fn a_reason_is_text_of_500_characters_at_most() {
        let long = "x".repeat(501);
        for (demand, text, expected) in [
            (Demand::Lifted, None, Err(())),
            (Demand::Lifted, Some("  "), Err(())),
            (Demand::Lifted, Some(" Lost phone "), Ok(Some("Lost phone"))),
            (Demand::Lifted, Some(long.as_str()), Err(())),
            (Demand::Lifted, Some(&long[1..]), Ok(Some(&long[1..]))),
            (Demand::Same, Some("a\nb"), Err(())),
            (Demand::Lowered, None, Ok(None)),
            (Demand::Raised, Some(""), Ok(None)),
        ] {
            assert_eq!(reason(demand, text).map_err(|_| ()), expected);
        }
    }
}
