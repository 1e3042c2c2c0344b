//! From the edge to control: is this the password, where the stored hash is not one that the edge
//! computes?
//!
//! The edge has counted the try before it asks. Control answers with the same work whoever was asked
//! about, so that neither the answer nor its time tells whether there is such a user.

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
    /// The user whose hash is foreign; absent for everybody else, about whom nothing is to be found
    /// out but the time it takes.
    #[zeroize(skip)]
    pub user: Option<UserId>,
    /// As typed: the old service did not normalise.
    pub password: String,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordOut {
    /// Whether it is the password of a user who may sign in.
    pub matched: bool,
}
