//! Sign-in: who may have tokens for a name and a password.

pub mod flow;
pub mod password;
pub mod throttle;
mod ticket;
