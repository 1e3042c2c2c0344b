//! The signed internal routes, between control and this edge, and the cron.

mod client;
pub mod command;
pub mod copies;
pub mod drain;
pub mod push;
mod sealed;
pub mod signed;
pub mod sweep;
