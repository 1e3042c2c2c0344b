//! What callers are told: every error, path, limit and permission, and the edge's routes described.

pub mod limits;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod permissions;
pub mod refusal;
pub mod routes;
pub mod step_up;
