//! Everything that the edge and the control plane must agree on.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and randomness are
//! arguments, so every function can be tested with a table and runs alike in Wasm and on a server.
//!
//! Where to begin: [`tenant`] is the document that control pushes and the edge obeys, [`tokens`] has the kinds of
//! JWT, [`wire`] the messages between the halves, [`contract`] every path and every error.

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
// A new enum variant does not compile until every `match` over it handles it.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod contract;
pub mod derive;
pub mod epochs;
pub mod fields;
pub mod http;
pub mod identifiers;
pub mod ids;
pub mod json;
pub mod language;
pub mod network;
pub mod passwords;
pub mod second_factor;
pub mod tenant;
pub mod tokens;
pub mod user;
pub mod wire;

/// A parse error. It names what was expected, and never the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct Invalid(pub &'static str);
