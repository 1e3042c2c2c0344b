//! The signed internal routes, between control and this edge, and the cron.

pub mod drain;
pub mod push;
pub mod signed;
pub mod sweep;
