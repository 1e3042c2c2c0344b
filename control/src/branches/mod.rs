//! Branches of a tenant: a tree. A user is in one branch at most, and a role of a branch has its permissions only over the
//! users of this branch and of those below it ([`grants`]).

mod change;
pub mod filters;
pub mod grants;
pub(crate) mod input;
mod model;
mod out;
mod refused;
pub mod routes;
pub mod store;

pub use change::{create, delete, edit, lock};
pub use filters::{Filters, selected};
pub use grants::{BranchRole, Grants, Place, Reach};
pub use model::{Branch, BranchChange, BranchError, NewBranch};
pub use out::{BranchOut, out};
