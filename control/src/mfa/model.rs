//! What a user has of a second factor, as control knows it.

use chrono::{DateTime, Utc};
use shared::ids::AuthenticatorId;

use crate::crypt::personal::Personal;
use crate::failure::Failure;

/// A device or program that makes one-time codes.
pub struct Authenticator {
    /// Its id.
    pub id: AuthenticatorId,
    /// The name that its owner gave it.
    pub name: Personal,
    /// When its enrolment began.
    pub created_at: DateTime<Utc>,
    /// When its last code was used, as far as the edge has reported it.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The second factor of a user.
pub struct State {
    /// Active authenticators, oldest first.
    pub authenticators: Vec<Authenticator>,
    /// Recovery codes that are not used yet; `None`: there is no set of them.
    pub recovery_codes_left: Option<i64>,
}

impl State {
    /// Whether a sign-in needs a code.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.authenticators.is_empty()
    }

    /// The name of the second step of a sign-in, as the edge's API has it.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static str> {
        match (self.is_enabled(), self.recovery_codes_left) {
            (false, _) => vec![],
            (true, None) => vec!["totp"],
            (true, Some(_)) => vec!["totp", "recovery_code"],
        }
    }

    /// By what a session shows more than it did: the password, where there is nothing else.
    #[must_use]
    pub fn step_up_methods(&self) -> Vec<&'static str> {
        if self.is_enabled() { self.methods() } else { vec!["password"] }
    }
}

/// Why something about a second factor was not done.
#[derive(Debug, thiserror::Error)]
pub enum MfaError {
    /// The user has no active authenticator of that id.
    #[error("no such authenticator")]
    NotFound,
    /// The user has as many authenticators as may be.
    #[error("the user has as many authenticators as may be")]
    TooMany,
    /// No enrolment of that id is under way: it was never begun, took too long, or had too many wrong codes.
    #[error("no such enrolment")]
    NoEnrolment,
    /// The code of an enrolment is wrong. The try is counted: the transaction must be committed.
    #[error("the code is wrong")]
    WrongCode,
    /// The tenant demands a second factor of the user, whose last authenticator this is.
    #[error("the tenant demands a second factor of the user")]
    Demanded,
    /// The user has no authenticator; recovery codes need one.
    #[error("the user has no authenticator")]
    NotEnabled,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<sqlx::Error> for MfaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_those_that_the_edge_offers() {
        let authenticator = || Authenticator {
            id: AuthenticatorId::new(1, [1; 10]),
            name: Personal::default(),
            created_at: DateTime::UNIX_EPOCH,
            last_used_at: None,
        };
        for (authenticators, left, methods, step_up) in [
            (0, None, vec![], vec!["password"]),
            (1, None, vec!["totp"], vec!["totp"]),
            // The edge offers them as long as there is a set.
            (2, Some(0), vec!["totp", "recovery_code"], vec!["totp", "recovery_code"]),
        ] {
            let authenticators = (0..authenticators).map(|_| authenticator()).collect();
            let state = State { authenticators, recovery_codes_left: left };
            assert_eq!((state.methods(), state.step_up_methods()), (methods, step_up));
        }
    }
}
