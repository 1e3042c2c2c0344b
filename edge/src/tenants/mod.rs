//! Finds the tenant of a request, and keeps its cached data fresh.

pub mod find;
pub mod networks;
pub mod state;
pub mod target;
