//! Passwords: what is refused, and how they are hashed without taking the machine down.

mod hasher;
mod policy;

pub use hasher::Hasher;
pub use policy::{Names, faults};
