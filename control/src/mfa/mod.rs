//! The second factor of a user: authenticators that make one-time codes, and recovery codes beside them.
//!
//! Codes are shown at sign-in, to the edge, which decides alone whether one is good ([`rows`] is what it is told). Here
//! users enrol and remove authenticators, administrators reset them, [`devices`] lists and revokes the browsers that the edge
//! remembers, and [`used`] takes over what the edge saw. A code
//! is looked at here once: the first one of an authenticator, which shows that its owner's device has the seed.
//!
//! Enrolling ends access tokens. Removing also ends sessions: a thief of the device may have opened one.

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
