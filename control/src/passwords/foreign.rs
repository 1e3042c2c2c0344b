//! Checks of passwords as another service hashed them, without taking the machine down.

use foreign::{Hash, Params};
use zeroize::Zeroizing;

use super::turns::Turns;
use crate::failure::Failure;

/// Checks foreign hashes, apart from our own: strangers cause these, and must not keep an administrator
/// from setting a password.
#[derive(Clone)]
pub struct ForeignChecker(Turns);

impl ForeignChecker {
    /// Allows `concurrency` checks at once, at least one.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self(Turns::new(concurrency))
    }

    /// Whether `typed` is the password of `own`; costs what [`foreign::plan`] says whatever the answer.
    ///
    /// # Errors
    /// [`Failure::Busy`] after five seconds in the queue.
    pub async fn check(
        &self,
        typed: Zeroizing<String>,
        own: Option<Hash>,
        dearest: Vec<Params>,
    ) -> Result<bool, Failure> {
        let work = move || foreign::check(typed.as_bytes(), own.as_ref(), &dearest);
        self.0.take("checking a foreign password", work).await
    }
}
