//! Password hashes of another service, in Django's format: parsed into types with bounds on every parameter, and
//! checked.
//!
//! Pure: no storage, no clock, no threads. It is a crate of its own so that development builds can optimise it:
//! unoptimised, one check takes seconds. [`hash`] parses, [`work`] computes and makes a check cost the same for every
//! user.

mod compute;
mod hash;
mod params;
mod work;

pub use hash::Hash;
pub use params::{Argon2Kind, Family, Params};
pub use work::{FAMILIES, Step, check, dearest, plan};

/// Not a hash that can be checked here: unusable, unsupported, malformed, or beyond a bound. A user with one has no
/// password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Marked as no password: Django's `!`, or empty.
    #[error("no password is set")]
    Unset,
    /// An insecure or unknown algorithm.
    #[error("the algorithm is not supported")]
    Algorithm,
    /// Not in the form that Django writes.
    #[error("the hash is malformed")]
    Malformed,
    /// More expensive than this service computes for a request without a credential.
    #[error("the parameters are beyond the bounds")]
    Bounds,
}
