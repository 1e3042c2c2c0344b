//! Accounts: registration, verification and change of email addresses, invitations.
//!
//! A request without a credential is stored in a row and answered; [`answer`] does the rest in a job, so that neither
//! answers nor times reveal which names and addresses are known. A mailed link is used by a POST, once. The user who
//! verifies an address gets it: an account that has it unverified loses it, with its password and sessions
//! ([`crate::users::release_address`]). docs/accounts.md describes all of it.

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
