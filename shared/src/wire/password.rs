//! The call with which the edge asks control to check a password against an imported hash.
//!
//! The edge has counted the attempt before. Control does the same work in any case, so that neither the answer nor
//! its time reveals whether there is such a user.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{TenantId, UserId};

/// Path of the call, with `POST` and a signature tagged `password`.
pub const PATH: &str = "/internal/v1/password";

/// The question. No `Debug`, wiped when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct PasswordIn {
    /// The tenant.
    #[zeroize(skip)]
    pub tenant: TenantId,
    /// The user with the imported hash; absent in all other cases, in which the call only takes the same time.
    #[zeroize(skip)]
    pub user: Option<UserId>,
    /// As typed, because the legacy service did not normalise.
    pub password: String,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordOut {
    /// Whether it is the password of a user who may sign in.
    pub matched: bool,
}
