//! The epochs that tokens and sessions name: a user's own counters above the floor of the tenant's history.
//!
//! What ends every session of a tenant at once (`edges reseed`, after a restore) raises the tenant's history,
//! which is one row, and with it the floor. No user's row changes, however many there are. A history is
//! never given again, so neither is a floor: a control that was restored from an old backup cannot come back
//! to one that was used.

/// How far one history lies above the one before: more than a user's counter can reach in it.
pub const LEAP: i64 = 1 << 20;

/// The word of a document whose floor is above zero. A reader that took the counters alone would accept the
/// sessions that a reseed has ended.
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
