//! Sign-in: tokens for a name and a password.

mod attempts;
pub mod challenge;
pub mod client;
pub mod device;
mod factor;
pub mod flow;
mod new_family;
pub mod password;
mod settled;
pub mod step_up;
pub mod throttle;
mod ticket;
