//! The password of a user, set by its owner: by an access token and the current password, or by a ticket.

mod change;
mod current;
mod set;
mod tries;

pub use change::{ChangeOwn, OwnPasswordError, Proof, change, prove};
pub use set::{NewPassword, check, set};
pub use tries::forget_tries;
