//! Checks of passwords as another service hashed them, without taking the machine down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foreign::{Hash, Params};
use shared::ids::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::passwords::turns::Turns;

/// Checks of one tenant that may wait or run for each that may run at all. The queue is first come, first
/// served, so this is also how many of a flooded tenant's checks another tenant's waits for.
const PLACES: usize = 8;

/// Checks foreign hashes, apart from our own: strangers cause these, and must not keep an administrator
/// from setting a password, nor the users of another tenant from signing in.
#[derive(Clone)]
pub struct ForeignChecker {
    turns: Turns,
    places: usize,
    /// Places in the queue, of tenants that have one taken.
    queues: Arc<Mutex<HashMap<TenantId, Weak<Semaphore>>>>,
}

impl ForeignChecker {
    /// Allows `concurrency` checks at once, at least one.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        let places = PLACES * concurrency.max(1);
        Self { turns: Turns::new(concurrency), places, queues: Arc::default() }
    }

    /// Whether `typed` is the password of `own`; costs what [`foreign::plan`] says whatever the answer.
    ///
    /// # Errors
    /// [`Failure::Busy`] at once where the tenant has all of its places taken, else after five seconds in
    /// the queue.
    pub async fn check(
        &self,
        tenant: TenantId,
        typed: Zeroizing<String>,
        own: Option<Hash>,
        dearest: Vec<Params>,
    ) -> Result<bool, Failure> {
        let place = self.place(tenant)?;
        let work = move || {
            let matched = foreign::check(typed.as_bytes(), own.as_ref(), &dearest);
            drop(place);
            matched
        };
        self.turns.take("checking a foreign password", work).await
    }

    fn place(&self, tenant: TenantId) -> Result<OwnedSemaphorePermit, Failure> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get(&tenant).and_then(Weak::upgrade).unwrap_or_else(|| {
            queues.retain(|_, queue| queue.strong_count() > 0);
            let queue = Arc::new(Semaphore::new(self.places));
            queues.insert(tenant, Arc::downgrade(&queue));
            queue
        });
        queue.try_acquire_owned().map_err(|_| Failure::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flooded_tenant_takes_no_other_tenants_places() {
        let checker = ForeignChecker::new(2);
        let [flooded, other] = [1, 2].map(|fill| TenantId::new(1, [fill; 10]));
        let mut taken: Vec<_> = (0..16).map(|_| checker.place(flooded).ok().unwrap()).collect();
        assert!(checker.place(flooded).is_err());
        assert!(checker.place(other).is_ok());
        taken.pop();
        assert!(checker.place(flooded).is_ok());
        drop(taken);
        assert!(checker.place(other).is_ok());
        assert_eq!(checker.queues.lock().unwrap().len(), 1, "who has no place taken is forgotten");
    }
}
