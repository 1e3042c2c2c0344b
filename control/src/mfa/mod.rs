//! The second factor of a user: authenticators (TOTP), and recovery codes for users that have one.
//!
//! The edge alone checks codes at sign-in; [`rows`] sends it the seeds. Here users enrol and remove authenticators,
//! administrators reset them, [`devices`] lists and revokes the browsers that the edge remembers, and [`used`] stores
//! which codes the edge accepted. Control checks only the first code of an authenticator, which proves that the
//! user's device has the seed.
//!
//! Enrolling ends the user's access tokens. Removing also ends the sessions, because a thief of the device may have
//! opened one.

pub mod adopt;
pub mod announce;
pub mod devices;
mod enrol;
mod model;
pub mod qr;
mod recovery;
mod refused;
mod remove;
pub mod routes;
pub mod rows;
mod seeds;
mod store;
pub mod used;

pub use enrol::{Begun, Confirmed, begin, confirm};
pub use model::{Authenticator, MfaError, State};
pub use recovery::renew as renew_recovery_codes;
pub use remove::{Which, remove, rename, reset};
pub use store::state;
