//! A password that is to follow those that a user has and had: hashed, and compared with them, before the transaction
//! that sets it begins.
//!
//! Only a user who chooses is refused a former password. An administrator who sets the password of another would
//! otherwise learn, one guess a request, what the other's passwords are.

use shared::ids::{TenantId, UserId};
use shared::passwords::Verifier;

use super::fields::Profile;
use crate::audit::Actor;
use crate::failure::Failure;
use crate::passwords::{Hashed, Hasher, Policy};

const REUSED: &str = "You cannot reuse a recent password.";

/// Who chooses a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chooser {
    /// The user whose it is to be.
    Owner,
    /// An administrator, for the user.
    Another,
}

impl Chooser {
    /// Whether the actor chooses for themselves.
    #[must_use]
    pub fn of(actor: &Actor, user: UserId) -> Self {
        if actor.is(user) { Self::Owner } else { Self::Another }
    }
}

/// Passwords that a new one is compared with, and when: the password epoch of the user.
pub struct Past {
    pub(super) epoch: i64,
    /// The latest first. None where the tenant remembers none.
    pub(super) verifiers: Vec<Verifier>,
}

/// See the module.
pub struct Successor {
    hashed: Hashed,
    compared: Option<Compared>,
}

/// What the comparison came to.
struct Compared {
    /// The password epoch of the user at that time.
    epoch: i64,
    is_known: bool,
}

impl Successor {
    /// Hashes a password that an administrator sets for a user.
    ///
    /// # Errors
    /// As [`Hashed::of`].
    pub async fn of(hasher: &Hasher, payer: TenantId, typed: &str) -> Result<Self, Failure> {
        Ok(Self { hashed: Hashed::of(hasher, payer, typed).await?, compared: None })
    }

    /// Hashes a password and compares it with those that a user has and had, where these were read.
    ///
    /// # Errors
    /// As [`Hashed::of`].
    pub async fn compared(
        hasher: &Hasher,
        payer: TenantId,
        typed: &str,
        past: Option<Past>,
    ) -> Result<Self, Failure> {
        let mut made = Self::of(hasher, payer, typed).await?;
        if let Some(Past { epoch, verifiers }) = past {
            let is_known = made.hashed.is_one_of(hasher, payer, verifiers).await?;
            made.compared = Some(Compared { epoch, is_known });
        }
        Ok(made)
    }

    /// The verifier, if the password may be used by the user, whose row is locked. The inner error is everything that is
    /// wrong with it.
    ///
    /// # Errors
    /// [`Failure::Busy`] where the user's password was changed after the comparison, so that it says nothing.
    pub(super) fn check(
        &self,
        policy: &Policy<'_>,
        profile: &Profile,
        epoch: i64,
        remembered: u64,
    ) -> Result<Result<&Verifier, Vec<String>>, Failure> {
        let checked = self.hashed.check(policy, profile.names());
        match &self.compared {
            Some(compared) if remembered > 0 && compared.epoch != epoch => {
                Err(Failure::Busy("changes of one password"))
            }
            Some(Compared { is_known: true, .. }) if remembered > 0 => {
                let mut faults = checked.err().unwrap_or_default();
                faults.push(REUSED.to_owned());
                Ok(Err(faults))
            }
            _ => Ok(checked),
        }
    }
}
