//! Why an operation on an account failed.

use crate::failure::Failure;
use crate::tenants::TenantError;
use crate::users::UserError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A link that is unknown, used, replaced, expired, or of another tenant: all the same.
    #[error("the link is not good")]
    Link,
    /// The tenant is closed to registration.
    #[error("registration is closed")]
    Closed,
    /// Too much was asked for in a short time.
    #[error("too much is asked for at once")]
    TooMany,
    /// As many invitations are open as may be.
    #[error("as many invitations are open as a tenant may have")]
    Full,
    /// There is no such invitation.
    #[error("no such invitation")]
    NotFound,
    /// The password that the user has is another one.
    #[error("the current password is another one")]
    Password,
    /// The user's password was tried too often; the next try counts after so many seconds.
    #[error("too many tries")]
    Tries(u64),
    /// The input is invalid, or the actor may not do it.
    #[error(transparent)]
    User(#[from] UserError),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

/// Of the tenant that the transaction is in.
impl From<TenantError> for AccountError {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Failure(failure) => Self::Failure(failure),
            TenantError::NotFound
            | TenantError::Fields(_)
            | TenantError::IsPlatform
            | TenantError::WrongState
            | TenantError::CellsExhausted => Self::Failure(Failure::Unreadable("tenant")),
        }
    }
}
