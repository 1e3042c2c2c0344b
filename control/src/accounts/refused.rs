//! What the API answers to each [`AccountError`].

use shared::contract::refusal::{Code, Refusal};

use super::AccountError;
use crate::http::answer::Refused;
use crate::requests::LATER_SECS;

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Link => Self(Refusal::field("token", "This link is not valid, or not any more.")),
            AccountError::Closed => Self(Refusal::registration_closed()),
            AccountError::TooMany => Self(Refusal::throttled(LATER_SECS)),
            AccountError::Full => Self(Refusal::new(
                409,
                "Too many invitations are open: revoke some, or wait until they expire.",
                Code::Conflict,
            )),
            AccountError::NotFound => Self(Refusal::plain(404, "No Invitation matches the given query.")),
            AccountError::Tries(secs) => Self(Refusal::throttled(secs)),
            AccountError::Password => Self(Refusal::field(
                "current_password",
                "Your old password was entered incorrectly. Please enter it again.",
            )),
            AccountError::User(error) => error.into(),
            AccountError::Failure(failure) => failure.into(),
        }
    }
}
