//! Work that takes a processor and much memory, a bounded number at once on blocking threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::failure::Failure;

/// Who waits longer than this for a turn is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Turns at such work.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// Allows `concurrency` at once, at least one.
    pub fn new(concurrency: usize) -> Self {
        Self(Arc::new(Semaphore::new(concurrency.max(1))))
    }

    /// Does the work when its turn comes. [`Failure::Busy`] after five seconds in the queue.
    pub async fn take<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let waited = tokio::time::timeout(PATIENCE, self.0.clone().acquire_owned()).await;
        let turn = waited.map_err(|_| Failure::Busy)?.map_err(|_| Failure::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // A caller that is gone must not free the turn while its work still runs.
            drop(turn);
            done
        });
        done.await.map_err(|_| Failure::Crypto(what))
    }
}
