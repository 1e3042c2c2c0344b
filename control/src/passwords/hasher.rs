//! Argon2id on threads of their own, a bounded number at once: each takes 19 MiB, and an unbounded
//! number was measured to take 1.5 GB.

use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::TenantId;
use shared::passwords::{Password, Verifier, Workspace};

use super::hash_queue::HashQueue;
use crate::failure::Failure;
use crate::shares::Kind;
use crate::world::random;

/// Hashes passwords.
#[derive(Clone)]
pub struct Hasher {
    turns: HashQueue,
    /// For what callers without a credential cause.
    strangers_turns: HashQueue,
    /// Workspaces that are not in use; never more than there are turns.
    idle: Arc<Mutex<Vec<Workspace>>>,
}

impl Hasher {
    /// Allows `concurrency` hashes at once, at least one.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        let turns = HashQueue::new(Kind::Passwords, concurrency, concurrency);
        let strangers_turns = turns.beside(Kind::StrangersPasswords);
        Self { turns, strangers_turns, idle: Arc::default() }
    }

    /// The same hasher with a separate queue for requests without a credential, so that requests of users do not wait
    /// behind them.
    #[must_use]
    pub fn for_strangers(&self) -> Self {
        Self { turns: self.strangers_turns.clone(), ..self.clone() }
    }

    /// Makes the verifier of a password of a tenant.
    ///
    /// # Errors
    /// As [`HashQueue::take`].
    pub async fn hash(&self, tenant: TenantId, password: Password) -> Result<Verifier, Failure> {
        let salt = random()?;
        self.work(tenant, move |workspace| workspace.hash(&password, salt)).await
    }

    /// Whether a verifier is of this password.
    ///
    /// # Errors
    /// As [`HashQueue::take`].
    pub async fn verify(
        &self,
        tenant: TenantId,
        password: Password,
        verifier: Verifier,
    ) -> Result<bool, Failure> {
        self.work(tenant, move |workspace| workspace.verify(&password, &verifier)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        tenant: TenantId,
        work: impl FnOnce(&mut Workspace) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let idle = self.idle.clone();
        let in_workspace = move || {
            let mut workspace = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let done = work(&mut workspace);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
            done
        };
        self.turns.take(tenant, "hashing a password", in_workspace).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memory_is_bounded_by_the_turns() {
        let hasher = Hasher::new(2);
        let password = || Password::parse("correct horse battery").unwrap();
        let many = (0..8).map(|fill| hasher.hash(TenantId::new(1, [fill; 10]), password()));
        let verifiers = futures::future::join_all(many).await;
        for verifier in &verifiers {
            assert!(Workspace::default().verify(&password(), verifier.as_ref().unwrap()));
        }
        assert!(hasher.idle.lock().unwrap().len() <= 2);
    }
}
