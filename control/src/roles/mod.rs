//! Roles of a tenant: the predefined ones, and custom ones with a rank and permissions from the published list.
//!
//! What a user may do follows from the rows of their roles in the request's transaction (`users::store` reads them with
//! the user). A token names roles, but grants nothing.

mod change;
pub mod filters;
pub(crate) mod input;
mod model;
mod out;
mod refused;
pub mod routes;
pub mod store;

pub use change::{create, delete, edit, lock};
pub use filters::{Filters, selected};
pub use model::{NewRole, Role, RoleChange, RoleError};
pub use out::RoleOut;
