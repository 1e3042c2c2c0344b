//! The epochs in tokens and sessions: a user's counter plus the floor of the tenant's history.
//!
//! `edges reseed`, after a restore, ends every session of a tenant by raising the tenant's history, which is one row,
//! and with it the floor. No user's row changes. A history is never used again, so neither is a floor: a control that
//! was restored from an old backup cannot return to a used one.

/// The distance between the floors of two histories: more than a user's counter can reach in one.
pub const LEAP: i64 = 1 << 20;

/// The word in `needs` of a document with a floor above zero. A reader that ignores the floor would accept sessions
/// that a reseed has ended.
pub const NEED: &str = "epoch_floor";

/// The lowest epoch of a tenant in this history. The first history has none: its epochs are the counters.
#[must_use]
pub fn floor(history: i64) -> i64 {
    history.saturating_sub(1).max(0).saturating_mul(LEAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_history_begins_above_all_epochs_of_the_one_before() {
        assert_eq!((floor(1), floor(2), floor(3)), (0, 1_048_576, 2_097_152));
        for history in 1..100 {
            assert!(floor(history + 1) > floor(history) + LEAP - 1);
        }
        // D1 gives whole numbers back through doubles: exact up to 2^53.
        assert!(floor(1 << 32) + LEAP < 1 << 53);
        assert_eq!((floor(0), floor(i64::MIN)), (0, 0), "no history is as the first");
    }
}
