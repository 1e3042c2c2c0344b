//! Whether a user must change the password before a session is opened. Pure.

use shared::tenant::settings::Settings;
use shared::wire::push::PasswordDue;

use crate::sql::secs_as_ms;

/// The time up to which a password is too old, Unix milliseconds; `None` where it may be of any age.
#[must_use]
pub fn too_old(settings: &Settings, now: i64) -> Option<i64> {
    let age = settings.password_max_age_secs;
    (age > 0).then(|| now.saturating_sub(secs_as_ms(age)))
}

/// Whether a change of password was required, or the password is too old. A password of unknown age counts as too
/// old.
#[must_use]
pub fn owes_a_password(
    due: Option<PasswordDue>,
    changed_at: Option<i64>,
    settings: &Settings,
    now: i64,
) -> bool {
    due.is_some() || too_old(settings, now).is_some_and(|too_old| changed_at.unwrap_or(0) <= too_old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_due_when_somebody_demands_it_or_it_is_too_old() {
        let of = |password_max_age_secs| Settings { password_max_age_secs, ..Settings::default() };
        let now = 1_000_000_000_000;
        for (max_age_secs, due, age_ms, owes) in [
            (0, None, Some(i64::MAX / 2), false),
            (0, None, None, false),
            (0, Some(PasswordDue::Must), Some(0), true),
            (86_400, None, Some(86_399_999), false),
            (86_400, None, Some(86_400_000), true),
            (86_400, None, None, true),
            (86_400, Some(PasswordDue::Must), Some(0), true),
            // Changed by a clock that is ahead.
            (86_400, None, Some(-5000), false),
            (u64::MAX, None, Some(86_400_000), false),
        ] {
            let changed_at = age_ms.map(|age: i64| now - age);
            let judged = owes_a_password(due, changed_at, &of(max_age_secs), now);
            assert_eq!(judged, owes, "{max_age_secs} {due:?} {age_ms:?}");
        }
    }
}
