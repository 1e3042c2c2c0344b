//! What control decides about sessions, which the edge alone holds.
//!
//! Control lists them by a signed call ([`crate::edges::EdgeClient::sessions`]) and ends them by a pushed change
//! ([`end`]), so that an end is kept where the edge does not answer. [`device`] reads what a client calls itself, and
//! [`seen`] knows the devices that a user signed in from.
//!
//! [`root`] has the model and the rows of a change of the root secret that signs refresh tokens, [`rotate`] begins one and
//! carries it on.

pub mod device;
pub mod end;
pub mod root;
pub mod rotate;
pub mod routes;
pub mod seen;
