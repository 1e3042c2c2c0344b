//! What the API answers to each [`TenantError`].

use shared::contract::refusal::{Code, Refusal};

use super::TenantError;
use crate::http::answer::Refused;

impl From<TenantError> for Refused {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::NotFound => no_tenant(),
            TenantError::Fields(faults) => {
                Self(Refusal::fields(faults.into_iter().map(|(field, message)| (field, vec![message]))))
            }
            TenantError::IsPlatform => {
                Self(Refusal::new(409, "The platform tenant cannot be suspended or deleted.", Code::Conflict))
            }
            TenantError::WrongState => Self(Refusal::new(
                409,
                "The tenant is being made; try again when it is active.",
                Code::Conflict,
            )),
            TenantError::CellsExhausted => Self(Refusal::field(
                "isolation",
                "This database has as many tenants with a schema of their own as it may; use \"shared\".",
            )),
            TenantError::Failure(failure) => failure.into(),
        }
    }
}

/// 404 of a tenant, whatever the reason.
#[must_use]
pub fn no_tenant() -> Refused {
    Refused(Refusal::plain(404, "No Tenant matches the given query."))
}
