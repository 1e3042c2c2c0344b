//! What the API answers to each [`UserError`] and [`ListError`].

use shared::contract::refusal::{Code, Refusal};

use super::{ListError, UserError};
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

impl From<ListError> for Refused {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Rebuilding => Self(Refusal::rebuilding()),
            ListError::TooManyToOrder(_) => Self(Refusal::field("ordering", &error.to_string())),
            ListError::Failure(failure) => failure.into(),
        }
    }
}
