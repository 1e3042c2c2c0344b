//! Budgets of password hashes per tenant.
//!
//! A hash blocks the isolate's only thread, and an isolate cannot queue hashes across requests. So each tenant has a
//! token bucket of hashes that refills over time; if it is empty, the request is refused before the hash.

use std::collections::HashMap;

use shared::contract::limits::{HASHES_AT_ONCE, HASHES_FOR_KNOWN_NETWORKS};
use shared::ids::TenantId;

/// Tenants that an isolate remembers; beyond that it starts over.
const TENANTS: usize = 10_000;
/// A hash, in the unit of buckets: with it, a budget of n in a second fills n units in a millisecond.
const HASH: u64 = 1000;

/// The bucket of one tenant.
struct Bucket {
    left: u64,
    filled_at: u64,
}

/// The budgets of tenants.
#[derive(Default)]
pub struct Budgets {
    buckets: HashMap<TenantId, Bucket>,
}

impl Budgets {
    /// Whether no hash is left for any network: then requests are refused before storage.
    pub fn is_used_up(&mut self, tenant: TenantId, a_second: u64, now_ms: u64) -> bool {
        a_second > 0 && self.buckets.contains_key(&tenant) && self.fill(tenant, a_second, now_ms).left < HASH
    }

    fn fill(&mut self, tenant: TenantId, a_second: u64, now_ms: u64) -> &mut Bucket {
        let most = HASHES_AT_ONCE * HASH;
        let bucket = self.buckets.entry(tenant).or_insert(Bucket { left: most, filled_at: now_ms });
        let filled = now_ms.saturating_sub(bucket.filled_at).saturating_mul(a_second);
        bucket.left = bucket.left.saturating_add(filled).min(most);
        bucket.filled_at = bucket.filled_at.max(now_ms);
        bucket
    }

    /// Takes a hash from a budget of `a_second`, if one is left; 0 means no limit. The last ones are reserved for
    /// networks that are `known` to the account, so that attackers do not use up the user's.
    pub fn take(&mut self, tenant: TenantId, a_second: u64, known: bool, now_ms: u64) -> bool {
        if a_second == 0 {
            return true;
        }
        if self.buckets.len() >= TENANTS && !self.buckets.contains_key(&tenant) {
            self.buckets.clear();
        }
        let bucket = self.fill(tenant, a_second, now_ms);
        let kept = if known { 0 } else { HASHES_FOR_KNOWN_NETWORKS * HASH };
        let enough = bucket.left >= HASH + kept;
        if enough {
            bucket.left -= HASH;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(fill: u8) -> TenantId {
        TenantId::new(1, [fill; 10])
    }

    #[test]
    fn a_bucket_fills_by_time_and_keeps_some_for_known_networks() {
        let mut budgets = Budgets::default();
        let mut taken = |known, now| (0..20).filter(|_| budgets.take(tenant(1), 10, known, now)).count();
        assert_eq!((taken(false, 0), taken(true, 0), taken(true, 99)), (4, 4, 0));
        assert_eq!((taken(true, 100), taken(true, 300), taken(false, 400)), (1, 2, 0));
        assert_eq!((taken(false, 10_000), taken(true, 10_000)), (4, 4), "no more than at once");
        assert_eq!(taken(true, 9000), 0, "a clock that goes back fills nothing");
        assert!(budgets.is_used_up(tenant(1), 10, 9000) && !budgets.is_used_up(tenant(1), 0, 9000));
        assert!(!budgets.is_used_up(tenant(1), 10, 10_100) && !budgets.is_used_up(tenant(2), 10, 0));
        assert!(budgets.take(tenant(2), 10, false, 0), "each tenant has its own");
        assert!((0..1000).all(|_| budgets.take(tenant(1), 0, false, 0)), "no budget");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut budgets = Budgets::default();
        for at in 0..3 * TENANTS as u64 {
            assert!(budgets.take(TenantId::new(at, [1; 10]), 10, false, 0));
        }
        assert!(budgets.buckets.len() <= TENANTS);
    }
}
