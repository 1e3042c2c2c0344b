//! Passwords: what is refused, and how they are hashed without taking the machine down.

mod hashed;
mod hasher;
mod policy;
pub mod turns;

pub use hashed::Hashed;
pub use hasher::Hasher;
pub use policy::{Names, faults};
