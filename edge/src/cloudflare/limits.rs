//! The rate-limit binding.

use super::{Cloudflare, log};
use crate::platform::{Limit, Limiter};

impl Limiter for Cloudflare {
    /// If the binding fails, the call is admitted: the limit only saves work, and the counters in D1 still apply.
    async fn admits(&self, limit: Limit, key: &str) -> bool {
        let limiter = match limit {
            Limit::NetworkTotal => &self.by_network_total,
            Limit::Network => &self.by_network,
            Limit::Name => &self.by_name,
            Limit::Session => &self.by_session,
            Limit::TenantSessions => &self.by_tenant_sessions,
        };
        let Some(limiter) = limiter else { return true };
        match limiter.limit(key.to_owned()).await {
            Ok(outcome) => outcome.success,
            Err(error) => {
                log::error("the rate limit did not answer", &error.to_string());
                true
            }
        }
    }
}
