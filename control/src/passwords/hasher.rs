//! Argon2id on blocking threads, a bounded number at once: each takes 19 MiB, and an unbounded
//! number was measured to take 1.5 GB.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::passwords::{Password, Verifier, Workspace};
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::world::random;

/// Who waits longer than this for a turn is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hashes passwords.
#[derive(Clone)]
pub struct Hasher {
    turns: Arc<Semaphore>,
    /// Workspaces that are not in use; never more than there are turns.
    idle: Arc<Mutex<Vec<Workspace>>>,
}

impl Hasher {
    /// Allows `concurrency` hashes at once, at least one.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(concurrency.max(1))), idle: Arc::default() }
    }

    /// Makes the verifier of a password.
    ///
    /// # Errors
    /// [`Failure::Busy`] after five seconds in the queue.
    pub async fn hash(&self, password: Password) -> Result<Verifier, Failure> {
        let waited = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        let turn = waited.map_err(|_| Failure::Busy)?.map_err(|_| Failure::Busy)?;
        let salt = random()?;
        let idle = self.idle.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut workspace = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let verifier = workspace.hash(&password, salt);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
            // A caller that is gone must not free the turn while its hash still runs.
            drop(turn);
            verifier
        });
        hashed.await.map_err(|_| Failure::Crypto("hashing a password"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memory_is_bounded_by_the_turns() {
        let hasher = Hasher::new(2);
        let password = || Password::parse("correct horse battery").unwrap();
        let many = (0..8).map(|_| hasher.hash(password()));
        let verifiers = futures::future::join_all(many).await;
        for verifier in &verifiers {
            assert!(Workspace::default().verify(&password(), verifier.as_ref().unwrap()));
        }
        assert!(hasher.idle.lock().unwrap().len() <= 2);
    }
}
