//! The networks whose refusal this isolate has recorded in the present minute, so that each network causes one write
//! a minute.

use std::collections::HashMap;

use shared::ids::TenantId;

/// Networks that an isolate remembers; beyond that it starts over.
const NETWORKS: usize = 10_000;

/// The recorded networks.
#[derive(Default)]
pub struct ReportedRefusals {
    minutes: HashMap<(TenantId, String), u64>,
}

impl ReportedRefusals {
    /// Whether a refusal is the first of its minute in this isolate.
    pub fn is_first(&mut self, tenant: TenantId, network: &str, now_ms: u64) -> bool {
        let minute = now_ms / 60_000;
        if self.minutes.len() >= NETWORKS {
            self.minutes.clear();
        }
        self.minutes.insert((tenant, network.to_owned()), minute) != Some(minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_of_a_network_is_first_in_a_minute() {
        let (mut reported, tenant) = (ReportedRefusals::default(), TenantId::new(1, [1; 10]));
        let first = [0, 59_999, 60_000, 60_001].map(|now| reported.is_first(tenant, "a", now));
        assert_eq!(first, [true, false, true, false]);
        assert!(
            reported.is_first(tenant, "b", 60_001)
                && reported.is_first(TenantId::new(1, [2; 10]), "a", 60_001)
        );
        for network in 0..3 * NETWORKS {
            reported.is_first(tenant, &network.to_string(), 0);
        }
        assert!(reported.minutes.len() <= NETWORKS);
    }
}
