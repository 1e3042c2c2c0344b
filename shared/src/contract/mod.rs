//! The public contract: errors, paths, limits, permissions, and the description of the edge's routes.

pub mod limits;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod permissions;
pub mod refusal;
pub mod routes;
pub mod step_up;
