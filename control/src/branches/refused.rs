//! What the API answers to each [`BranchError`].

use shared::contract::limits::BRANCHES;
use shared::contract::refusal::{Code, Refusal};

use super::BranchError;
use crate::http::answer::Refused;

impl From<BranchError> for Refused {
    fn from(error: BranchError) -> Self {
        match error {
            BranchError::NotFound => Self(Refusal::plain(404, "No Branch matches the given query.")),
            BranchError::Fields(faults) => Self(Refusal::fields(faults.0)),
            BranchError::Rank => Self(Refusal::forbidden()),
            BranchError::InUse { users, branches, roles } => {
                Self(Refusal::branch_in_use(users, branches, &roles))
            }
            BranchError::Full => {
                Self(Refusal::new(409, &format!("A tenant has at most {BRANCHES} branches."), Code::Conflict))
            }
            BranchError::Failure(failure) => failure.into(),
        }
    }
}
