//! Accounts of people without an administrator: registration, proof of an address, another address, invitations.
//!
//! What a stranger asks for is put into a row and answered; [`answer`] does the rest in a job, so that no answer and no
//! time tells which names and addresses are known. A link of a mail is used by a POST, once. Who proves an address has
//! it: an account that claimed it without a proof loses it, with its password and sessions ([`crate::users::disown`]).
//! docs/accounts.md tells the whole.

pub mod address;
pub mod answer;
mod call;
mod chosen;
pub(crate) mod current;
pub mod invitations;
mod letters;
mod model;
pub mod network;
mod refused;
pub mod registration;
pub mod resend;
pub mod routes;
pub mod verify;

pub use answer::invite_first_admin;
pub use call::Call;
pub use model::AccountError;
