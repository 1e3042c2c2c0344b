//! What the API answers to each [`UserError`].

use shared::contract::refusal::{Code, Refusal};

use super::UserError;
use crate::http::answer::Refused;

impl From<UserError> for Refused {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => Self(Refusal::plain(404, "No User matches the given query.")),
            UserError::Fields(faults) => Self(Refusal::fields(faults.0)),
            UserError::Rank => Self(Refusal::forbidden()),
            UserError::LastRootAdmin => {
                Self(Refusal::new(409, "The last active root-admin cannot go.", Code::Conflict))
            }
            UserError::Failure(failure) => failure.into(),
        }
    }
}
