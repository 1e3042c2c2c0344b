//! What the edge and the control plane must agree on, stated once.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and randomness are
//! arguments, so every function can be tested with a table and runs alike in Wasm and on a server.
//!
//! Where to start: [`tenant`] is the document that control pushes and the edge obeys, [`token`] the
//! two kinds of JWT, [`refusal`] every error an answer may carry, [`routes`] every path.

// No request may panic a Worker.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]
// A new variant stops the build until every place that tells its kind apart says what becomes of it.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod claims;
pub mod derive;
pub mod facts;
pub mod fields;
pub mod foreign;
pub mod identifiers;
pub mod ids;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod legacy;
pub mod limits;
pub mod needs;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod origin;
pub mod passwords;
pub mod permissions;
pub mod push;
pub mod refusal;
#[cfg(test)]
mod releases;
pub mod routes;
pub mod seal;
pub mod settings;
pub mod signature;
pub mod tenant;
pub mod token;
pub mod user;
pub mod verbatim;

/// Text that does not parse as what it should be. It says what was expected, never what arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct Invalid(pub &'static str);
