//! What the session of an access token showed, and when: what routes ask for that change how a user signs in.

use shared::contract::limits::STEP_UP_SECS;
use shared::tokens::claims::AccessClaims;

/// The word in `amr` that a second factor brings (RFC 8176).
const SECOND_FACTOR: &str = "mfa";

/// What a sign-in, or the last step-up of its session, showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// When, in Unix seconds.
    pub at_secs: i64,
    /// Whether a second factor was among it.
    pub second_factor: bool,
}

impl Proven {
    /// As a verified token says.
    pub(super) fn by(claims: &AccessClaims<'_>) -> Self {
        let second_factor = claims.amr.iter().any(|method| method == SECOND_FACTOR);
        Self { at_secs: claims.auth_time, second_factor }
    }

    /// Whether it is recent enough for a change of the second factor, of a user who has one already or not.
    #[must_use]
    pub fn allows_change(self, has_second_factor: bool, now_secs: i64) -> bool {
        let recent = now_secs.saturating_sub(self.at_secs) <= STEP_UP_SECS;
        recent && (self.second_factor || !has_second_factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_needs_a_recent_proof_and_a_second_factor_where_there_is_one() {
        for (age, second_factor, has_one, allowed) in [
            (0, false, false, true),
            (STEP_UP_SECS, false, false, true),
            (STEP_UP_SECS + 1, false, false, false),
            (0, false, true, false),
            (0, true, true, true),
            (STEP_UP_SECS, true, true, true),
            (STEP_UP_SECS + 1, true, true, false),
            (0, true, false, true),
        ] {
            let proven = Proven { at_secs: 1_800_000_000, second_factor };
            let now = 1_800_000_000 + age;
            assert_eq!(proven.allows_change(has_one, now), allowed, "{age} {second_factor} {has_one}");
        }
    }
}
