//! What the API answers to each [`RoleError`].

use shared::contract::limits::CUSTOM_ROLES;
use shared::contract::refusal::{Code, Refusal};

use super::RoleError;
use crate::http::answer::Refused;

impl From<RoleError> for Refused {
    fn from(error: RoleError) -> Self {
        match error {
            RoleError::NotFound => Self(Refusal::plain(404, "No Role matches the given query.")),
            RoleError::Fields(faults) => Self(Refusal::fields(faults.0)),
            RoleError::Rank => Self(Refusal::forbidden()),
            RoleError::Predefined => {
                Self(Refusal::new(409, "A predefined role cannot be changed or deleted.", Code::Conflict))
            }
            RoleError::InUse { users, settings } => Self(Refusal::role_in_use(users, &settings)),
            RoleError::Full => Self(Refusal::new(
                409,
                &format!("A tenant has at most {CUSTOM_ROLES} custom roles."),
                Code::Conflict,
            )),
            RoleError::Failure(failure) => failure.into(),
        }
    }
}
