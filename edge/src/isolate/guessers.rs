//! Networks that have asked for too many names that are nobody's, as the rate-limit binding has said.
//!
//! The binding counts when it is asked, so it cannot be asked before it is known whose a name is. What it
//! said last is kept here, and holds a network back for as long as its window lasts.

use std::collections::HashMap;

/// How long the binding's word holds: its window.
const HELD_MS: u64 = 60_000;
/// How often a network that is held back may ask all the same: a tenant behind the same address is not to
/// be shut out by a stranger.
const TURN_MS: u64 = 1000;
/// Networks that an isolate remembers; beyond that it starts over.
const NETWORKS: usize = 10_000;

/// What is remembered of one network.
struct Guesser {
    until: u64,
    next_turn: u64,
}

/// Networks that are held back.
#[derive(Default)]
pub struct Guessers {
    held: HashMap<String, Guesser>,
}

impl Guessers {
    /// Whether a name may cost `network` a read of storage now; takes the turn of one that is held back.
    pub fn may_ask(&mut self, network: &str, now_ms: u64) -> bool {
        let Some(guesser) = self.held.get_mut(network) else { return true };
        if now_ms >= guesser.until {
            self.held.remove(network);
            return true;
        }
        let due = now_ms >= guesser.next_turn;
        if due {
            guesser.next_turn = now_ms.saturating_add(TURN_MS);
        }
        due
    }

    /// The binding says that `network` has asked for too many.
    pub fn over_limit(&mut self, network: &str, now_ms: u64) {
        if self.held.len() >= NETWORKS {
            self.held.clear();
        }
        let guesser =
            Guesser { until: now_ms.saturating_add(HELD_MS), next_turn: now_ms.saturating_add(TURN_MS) };
        self.held.insert(network.to_owned(), guesser);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_over_the_limit_has_a_turn_a_second_for_a_minute() {
        let mut guessers = Guessers::default();
        assert!(guessers.may_ask("a", 0));
        guessers.over_limit("a", 1000);
        let turns = [1999, 2000, 2001, 3000].map(|now| guessers.may_ask("a", now));
        assert_eq!(turns, [false, true, false, true]);
        assert!(guessers.may_ask("b", 1001));
        assert!(guessers.may_ask("a", 61_000) && guessers.may_ask("a", 61_000));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut guessers = Guessers::default();
        for network in 0..3 * NETWORKS {
            guessers.over_limit(&network.to_string(), 0);
        }
        assert!(guessers.held.len() <= NETWORKS);
    }
}
