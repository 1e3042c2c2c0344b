//! Work that takes a processor for long, a bounded number at once on threads of their own, of which each
//! tenant has its share.
//!
//! On Linux this work has a lower priority than requests and PostgreSQL, so short requests are answered while keys
//! are made and passwords are hashed.

use std::time::Duration;

use shared::ids::TenantId;
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::shares::{Kind, Shares};

/// A request that waits longer than this is answered with 429 or 503.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A third of the weight of a thread that serves requests (`sched(7)`): less would starve this work beside
/// other programs of the machine.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// The queue for such work.
#[derive(Clone)]
pub struct HashQueue(Shares);

impl HashQueue {
    /// Allows `concurrency` at once, at least one, and `each` tenant so many of them.
    pub fn new(kind: Kind, concurrency: usize, each: usize) -> Self {
        Self(Shares::of(kind, concurrency, each, TIMEOUT))
    }

    /// As many turns as these, of the same threads, with a queue of their own for each tenant.
    pub fn beside(&self, kind: Kind) -> Self {
        Self(self.0.beside(kind))
    }

    /// Does the work of a tenant when its turn comes. [`Failure::Busy`] after five seconds in the queue, or
    /// at once where too much of the tenant's work waits.
    pub async fn take<T: Send + 'static>(
        &self,
        tenant: TenantId,
        what: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = self.0.take(tenant).await?;
        let (tell, done) = oneshot::channel();
        // A thread cannot take its priority back, so it is not one of the runtime's.
        let thread = std::thread::Builder::new().name("dear".to_owned()).spawn(move || {
            yield_to_requests();
            let done = work();
            // A caller that is gone must not free the turn while its work still runs.
            drop(turn);
            let _ = tell.send(done);
        });
        thread.map_err(|_| Failure::Crypto(what))?;
        done.await.map_err(|_| Failure::Crypto(what))
    }
}

/// On Linux the priority is the thread's own. It may always be lowered; if it is not, the work is done all the
/// same.
fn yield_to_requests() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
}
