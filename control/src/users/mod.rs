//! Users of a tenant: accounts, roles, status, passwords.
//!
//! Every change that ends tokens raises an epoch in the transaction of its cause, and travels to
//! the edge ahead of any backlog. What of a user is shown to whom is decided in [`visibility`].

mod asks;
mod change;
mod create;
pub mod epochs;
mod fields;
pub mod filters;
pub mod identifiers;
pub(crate) mod input;
pub mod lookup;
mod matching;
mod model;
mod order;
mod ranks;
mod refused;
pub mod routes;
pub mod search;
pub mod store;
mod unseen;
pub mod verifiers;
pub mod visibility;

pub use change::{change, delete, end_sessions, may_change};
pub use create::{create, insert_first_admin, may_create, prepare_first_admin};
pub use fields::{Canonical, Faults, Profile};
pub use filters::Filters;
pub use input::STATUSES;
pub use matching::{Matching, count, in_order, list};
pub use model::{Change, ListError, NewUser, User, UserError, status};
pub use ranks::{role_names, still_stands};
pub use store::{PasswordKept, find, find_by_name, password_kept};
pub use visibility::{UserOut, Viewer};

pub(crate) use visibility::out;
