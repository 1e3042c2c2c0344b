//! Networks that have asked for too many unknown tenant names, according to the rate-limit binding.
//!
//! The binding counts each call, so it can be called only after a name was found to be unknown. Its last answer is
//! stored here, and limits a network for the length of its window.

use std::collections::HashMap;

/// How long the binding's answer applies: its window.
const HELD_MS: u64 = 60_000;
/// How often a limited network may still ask, so that an attacker does not shut out a tenant's users behind the same
/// address.
const TURN_MS: u64 = 1000;
/// Networks that an isolate remembers; beyond that it starts over.
const NETWORKS: usize = 10_000;

/// The state of one network.
struct Guesser {
    until: u64,
    next_turn: u64,
}

/// The limited networks.
#[derive(Default)]
pub struct RefusedNames {
    held: HashMap<String, Guesser>,
}

impl RefusedNames {
    /// Whether `network` may cause a read of storage for a name now; uses up the turn of a limited network.
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

    /// Records that `network` is over the binding's limit.
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
        let mut refused_names = RefusedNames::default();
        assert!(refused_names.may_ask("a", 0));
        refused_names.over_limit("a", 1000);
        let turns = [1999, 2000, 2001, 3000].map(|now| refused_names.may_ask("a", now));
        assert_eq!(turns, [false, true, false, true]);
        assert!(refused_names.may_ask("b", 1001));
        assert!(refused_names.may_ask("a", 61_000) && refused_names.may_ask("a", 61_000));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut refused_names = RefusedNames::default();
        for network in 0..3 * NETWORKS {
            refused_names.over_limit(&network.to_string(), 0);
        }
        assert!(refused_names.held.len() <= NETWORKS);
    }
}
