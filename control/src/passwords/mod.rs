//! Passwords: what is refused, and how they are hashed without taking the machine down.

pub mod filter;
mod filters;
mod hashed;
mod hasher;
mod policy;
pub mod turns;

pub use filters::{Filters, common};
pub use hashed::Hashed;
pub use hasher::Hasher;
pub use policy::{Names, Policy, faults};
