//! Checks of passwords as another service hashed them, without taking the machine down.

use foreign::{Hash, Params};
use shared::ids::TenantId;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::passwords::hash_queue::HashQueue;
use crate::shares::Kind;

/// Checks foreign hashes, separately from Argon2id hashes: unauthenticated requests cause them, and must not delay
/// administrators who set passwords, nor sign-ins at another tenant.
#[derive(Clone)]
pub struct ForeignChecker(HashQueue);

impl ForeignChecker {
    /// Allows `concurrency` checks at once, at least one.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self(HashQueue::new(Kind::ForeignPasswords, concurrency, concurrency))
    }

    /// Whether `typed` is the password of `own`; costs what [`foreign::plan`] says whatever the answer.
    ///
    /// # Errors
    /// As [`HashQueue::take`].
    pub async fn check(
        &self,
        tenant: TenantId,
        typed: Zeroizing<String>,
        own: Option<Hash>,
        dearest: Vec<Params>,
    ) -> Result<bool, Failure> {
        let work = move || foreign::check(typed.as_bytes(), own.as_ref(), &dearest);
        self.0.take(tenant, "checking a foreign password", work).await
    }
}
