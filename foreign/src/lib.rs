//! Password hashes that another service made, as Django writes them: read into types with bounds on
//! every parameter, and checked.
//!
//! Pure: no storage, no clock, no threads. It is a crate of its own so that development builds can
//! optimise it: unoptimised, one check takes seconds. [`hash`] reads, [`work`] computes, and knows how
//! to make a check cost the same whoever is asked about.

mod compute;
mod hash;
mod params;
mod work;

pub use hash::Hash;
pub use params::{Argon2Kind, Family, Params};
pub use work::{FAMILIES, Step, check, dearest, plan};

/// Not a hash that can be checked here: unusable, unsupported, malformed, or beyond a bound. Whoever has
/// one has no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Marked as no password: Django's `!`, or empty.
    #[error("no password is set")]
    Unset,
    /// An algorithm that nobody should use or that is not known here.
    #[error("the algorithm is not supported")]
    Algorithm,
    /// Not in the form that Django writes.
    #[error("the hash is malformed")]
    Malformed,
    /// Dearer than this service is willing to compute for a stranger.
    #[error("the parameters are beyond the bounds")]
    Bounds,
}
