//! What the API answers to each [`ProfileError`].

use shared::contract::limits::PROFILE_ENTRIES;
use shared::contract::refusal::{Code, Refusal};

use super::ProfileError;
use crate::http::answer::Refused;

impl From<ProfileError> for Refused {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::NoSection => {
                Self(Refusal::plain(404, "No ProfileSection matches the given query."))
            }
            ProfileError::NotFound => Self(Refusal::plain(404, "No ProfileEntry matches the given query.")),
            ProfileError::Full => {
                let detail = format!("There are {PROFILE_ENTRIES} entries already: delete one first.");
                Self(Refusal::new(409, &detail, Code::Conflict))
            }
            ProfileError::Fields(faults) => Self(Refusal::fields(faults)),
            ProfileError::Hidden => Self(Refusal::forbidden()),
            ProfileError::User(error) => error.into(),
        }
    }
}
