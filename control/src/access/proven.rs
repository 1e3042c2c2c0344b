//! The authentication methods and time of a session, for routes that change how a user signs in.

use shared::contract::limits::STEP_UP_SECS;
use shared::tokens::claims::AccessClaims;

/// The word in `amr` of a session with a second factor (RFC 8176), a remembered device included.
const SECOND_FACTOR: &str = "mfa";
/// The word in `amr` of a session at whose last proof the user typed a code: one-time or recovery.
const CODE: &str = "otp";

/// The methods and time of the session's sign-in or last step-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// When, in Unix seconds.
    pub at_secs: i64,
    /// Whether the session has what a tenant may demand: a second factor, or a device that showed one before.
    pub second_factor: bool,
    /// Whether a second factor was shown at that moment.
    pub code: bool,
}

impl Proven {
    /// As a verified token says.
    pub(super) fn by(claims: &AccessClaims<'_>) -> Self {
        let has = |word: &str| claims.amr.iter().any(|method| method == word);
        Self { at_secs: claims.auth_time, second_factor: has(SECOND_FACTOR), code: has(CODE) }
    }

    /// Whether it is recent enough for a change of the second factor, of a user who has one already or not.
    #[must_use]
    pub fn allows_change(self, has_second_factor: bool, now_secs: i64) -> bool {
        self.is_recent(has_second_factor, STEP_UP_SECS, now_secs)
    }

    /// Whether it is at most this old, and with a second factor where the user has one.
    #[must_use]
    pub fn is_recent(self, has_second_factor: bool, max_age_secs: i64, now_secs: i64) -> bool {
        let recent = now_secs.saturating_sub(self.at_secs) <= max_age_secs;
        recent && (self.code || !has_second_factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_needs_a_recent_proof_and_a_second_factor_where_there_is_one() {
        for (age, code, has_one, allowed) in [
            (0, false, false, true),
            (STEP_UP_SECS, false, false, true),
            (STEP_UP_SECS + 1, false, false, false),
            (0, false, true, false),
            (0, true, true, true),
            (STEP_UP_SECS, true, true, true),
            (STEP_UP_SECS + 1, true, true, false),
            (0, true, false, true),
        ] {
            // A remembered device, which is a second factor, is not enough.
            let proven = Proven { at_secs: 1_800_000_000, second_factor: true, code };
            let now = 1_800_000_000 + age;
            assert_eq!(proven.allows_change(has_one, now), allowed, "{age} {code} {has_one}");
        }
    }
}
