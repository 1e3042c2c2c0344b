//! Passwords: what is refused, and how they are hashed without taking the machine down.

mod foreign;
mod hashed;
mod hasher;
mod policy;
mod turns;

pub use self::foreign::ForeignChecker;
pub use hashed::Hashed;
pub use hasher::Hasher;
pub use policy::{Names, faults};
