//! Passwords: what is refused, and how they are hashed without taking the machine down.

pub mod filter;
mod filters;
pub mod hash_queue;
mod hashed;
mod hasher;
mod policy;

pub use filters::{Filters, common};
pub use hashed::Hashed;
pub use hasher::Hasher;
pub use policy::{Names, Policy, faults};
