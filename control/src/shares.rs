//! Shares of limited resources: each tenant holds at most a part at a time, so that one tenant cannot use up all.
//!
//! Requests above a tenant's part wait in a queue of that tenant, for a limited time and up to a limited number, and
//! are then refused ([`Failure::Busy`], a 503 with `Retry-After`). Other tenants are not affected, because no tenant
//! has more than its part in the common queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use shared::ids::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// How many requests of a tenant may wait for its part at a time; each may hold a body of a megabyte.
const WAITING: usize = 128;

/// The shared resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections for a tenant's users.
    Connections,
    /// Connections for unauthenticated requests at a tenant.
    StrangersConnections,
    /// Reads that may go through all rows of a tenant.
    LongReads,
    /// Argon2id for a tenant's users.
    Passwords,
    /// Argon2id for unauthenticated requests at a tenant.
    StrangersPasswords,
    /// Checks of passwords that another service hashed.
    ForeignPasswords,
    /// Making and checking signing keys.
    Keys,
}

impl Kind {
    /// As metrics label it and errors name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::StrangersConnections => "strangers_connections",
            Self::LongReads => "long_reads",
            Self::Passwords => "passwords",
            Self::StrangersPasswords => "strangers_passwords",
            Self::ForeignPasswords => "foreign_passwords",
            Self::Keys => "keys",
        }
    }
}

/// The parts of one kind. Cheap to clone.
#[derive(Clone)]
pub struct Shares(Arc<Inner>);

struct Inner {
    kind: Kind,
    each: usize,
    patience: Duration,
    /// The bound over all tenants, where the shared thing has none of its own.
    all: Option<Arc<Semaphore>>,
    /// Of tenants that hold something or wait.
    tenants: Mutex<HashMap<TenantId, Weak<Queue>>>,
}

struct Queue {
    /// Of those who hold and those who wait.
    places: Arc<Semaphore>,
    /// Of those who hold.
    seats: Arc<Semaphore>,
}

/// A unit that a tenant holds until this is dropped.
pub struct Seat {
    // In the order in which they are given back.
    _all: Option<OwnedSemaphorePermit>,
    _own: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    _queue: Arc<Queue>,
}

impl Shares {
    /// `each` units for a tenant at a time, at least one, of something that is bounded elsewhere. A request
    /// that waits longer than `patience` is refused.
    #[must_use]
    pub fn new(kind: Kind, each: usize, patience: Duration) -> Self {
        Self::made(kind, each, patience, None)
    }

    /// The same of `most` units for all tenants together, at least one. Where `each` is `most`, a tenant
    /// that is alone has everything, and the next one waits for the first unit that is given back.
    #[must_use]
    pub fn of(kind: Kind, most: usize, each: usize, patience: Duration) -> Self {
        Self::made(kind, each, patience, Some(Arc::new(Semaphore::new(most.max(1)))))
    }

    /// Another kind of the same units: each tenant has a second part, with a queue of its own. A full queue
    /// of one part delays the other part by one unit at most. The number of units stays the same.
    #[must_use]
    pub fn beside(&self, kind: Kind) -> Self {
        Self::made(kind, self.0.each, self.0.patience, self.0.all.clone())
    }

    fn made(kind: Kind, each: usize, patience: Duration, all: Option<Arc<Semaphore>>) -> Self {
        Self(Arc::new(Inner { kind, each: each.max(1), patience, all, tenants: Mutex::default() }))
    }

    /// Waits for a unit of the tenant's part.
    ///
    /// # Errors
    /// [`Failure::Busy`], at once where too many of the tenant wait already.
    pub async fn take(&self, tenant: TenantId) -> Result<Seat, Failure> {
        let queue = self.queue(tenant);
        let Ok(place) = queue.places.clone().try_acquire_owned() else { return Err(self.refused("full")) };
        #[allow(clippy::disallowed_methods, reason = "a duration is only reported")]
        let began = Instant::now();
        let permits = async {
            let own = queue.seats.clone().acquire_owned().await.ok()?;
            let all = match &self.0.all {
                Some(all) => Some(all.clone().acquire_owned().await.ok()?),
                None => None,
            };
            Some((own, all))
        };
        let permits = tokio::time::timeout(self.0.patience, permits).await;
        metrics::histogram!("wardgate_share_wait_seconds", "kind" => self.0.kind.as_str())
            .record(began.elapsed().as_secs_f64());
        match permits {
            Ok(Some((own, all))) => Ok(Seat { _all: all, _own: own, _place: place, _queue: queue }),
            Ok(None) | Err(_) => Err(self.refused("late")),
        }
    }

    /// A unit of the tenant's part, if one is free now. Nothing is counted.
    #[must_use]
    pub fn take_now(&self, tenant: TenantId) -> Option<Seat> {
        let queue = self.queue(tenant);
        let place = queue.places.clone().try_acquire_owned().ok()?;
        let own = queue.seats.clone().try_acquire_owned().ok()?;
        let all = match &self.0.all {
            Some(all) => Some(all.clone().try_acquire_owned().ok()?),
            None => None,
        };
        Some(Seat { _all: all, _own: own, _place: place, _queue: queue })
    }

    fn queue(&self, tenant: TenantId) -> Arc<Queue> {
        let mut tenants = self.0.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant).and_then(Weak::upgrade).unwrap_or_else(|| {
            tenants.retain(|_, queue| queue.strong_count() > 0);
            let queue = Arc::new(Queue {
                places: Arc::new(Semaphore::new(self.0.each + WAITING)),
                seats: Arc::new(Semaphore::new(self.0.each)),
            });
            tenants.insert(tenant, Arc::downgrade(&queue));
            queue
        })
    }

    fn refused(&self, why: &'static str) -> Failure {
        let kind = self.0.kind.as_str();
        metrics::counter!("wardgate_share_refusals_total", "kind" => kind, "why" => why).increment(1);
        Failure::Busy(kind)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;

    fn tenant(fill: u8) -> TenantId {
        TenantId::new(1, [fill; 10])
    }

    /// Takes all that `shares` gives a tenant now, until the returned value is dropped.
    fn all_of(shares: &Shares, tenant: TenantId) -> Vec<Seat> {
        std::iter::from_fn(|| shares.take_now(tenant)).collect()
    }

    #[test]
    fn each_tenant_has_its_part() {
        // most at once of all, each tenant's part, what two tenants get one after the other
        for (most, each, first, second) in
            [(0, 0, 1, 0), (1, 1, 1, 0), (2, 1, 1, 1), (4, 3, 3, 1), (4, 4, 4, 0)]
        {
            let shares = Shares::of(Kind::Passwords, most, each, Duration::ZERO);
            let held = [1, 2].map(|fill| all_of(&shares, tenant(fill)));
            assert_eq!((held[0].len(), held[1].len()), (first, second), "{each} of {most}");
        }
        let shares = Shares::new(Kind::Connections, 5, Duration::ZERO);
        let held = [1, 2].map(|fill| all_of(&shares, tenant(fill)));
        assert_eq!((held[0].len(), held[1].len()), (5, 5));
    }

    #[tokio::test]
    async fn the_next_tenant_waits_for_one_unit_and_not_for_a_queue() {
        let shares = Shares::of(Kind::Passwords, 2, 2, Duration::from_secs(60));
        let mut flooded = all_of(&shares, tenant(1));
        let mut queue = Box::pin(join_all((0..50).map(|_| shares.take(tenant(1)))));
        assert!((&mut queue).now_or_never().is_none());
        let mut other = Box::pin(shares.take(tenant(2)));
        assert!((&mut other).now_or_never().is_none());
        flooded.pop();
        // The flooded tenant's next request waits behind.
        assert!((&mut queue).now_or_never().is_none());
        assert!(other.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_flood_of_strangers_delays_a_tenants_users_by_one_unit() {
        let users = Shares::of(Kind::Passwords, 2, 2, Duration::from_secs(60));
        let strangers = users.beside(Kind::StrangersPasswords);
        let mut flooded = all_of(&strangers, tenant(1));
        assert_eq!(flooded.len(), 2);
        let mut queue = Box::pin(join_all((0..50).map(|_| strangers.take(tenant(1)))));
        assert!((&mut queue).now_or_never().is_none());
        let mut user = Box::pin(users.take(tenant(1)));
        assert!((&mut user).now_or_never().is_none(), "the units are the same");
        flooded.pop();
        assert!((&mut queue).now_or_never().is_none());
        assert!(user.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_waits_too_long_or_with_too_many_is_told_to_come_back() {
        let shares = Shares::new(Kind::Connections, 1, Duration::from_millis(20));
        let held = shares.take(tenant(1)).await.ok().unwrap();
        assert!(matches!(shares.take(tenant(1)).await, Err(Failure::Busy("connections"))));
        let waiting = join_all((0..WAITING).map(|_| shares.take(tenant(1))));
        let mut waiting = Box::pin(waiting);
        assert!((&mut waiting).now_or_never().is_none());
        // One more than may wait is not kept.
        let more = shares.take(tenant(1)).now_or_never();
        assert!(matches!(more, Some(Err(Failure::Busy("connections")))));
        assert!(shares.take(tenant(2)).now_or_never().unwrap().is_ok(), "another tenant");
        drop(held);
        assert!(waiting.await.iter().any(Result::is_ok), "the first of those who wait has it");
    }

    #[test]
    fn a_tenant_that_holds_nothing_is_forgotten() {
        let shares = Shares::new(Kind::Connections, 2, Duration::ZERO);
        drop(all_of(&shares, tenant(1)));
        let _held = all_of(&shares, tenant(2));
        assert_eq!(shares.0.tenants.lock().unwrap().len(), 1);
    }
}
