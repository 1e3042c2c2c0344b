//! Users of a tenant: accounts, roles, status, passwords.
//!
//! Every change that ends tokens raises an epoch in the same transaction, and is sent to the edge ahead of any
//! backlog. [`visibility`] decides which fields of a user a caller sees.

mod asks;
pub mod attempts;
mod branch;
mod change;
mod claims;
pub mod completion;
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
mod own;
pub mod password;
pub mod password_history;
mod ranks;
mod refused;
pub mod routes;
pub mod search;
pub mod store;
mod successor;
mod unseen;
pub mod verifiers;
pub mod visibility;

pub use branch::choose as choose_branch;
pub use change::{change, delete, end_sessions, epochs_of, may_be, may_change, outrank};
pub use claims::{give_back, has_address, join, prove, readdress, release_address};
pub use create::{create, insert_first_admin, may_create, may_give, may_take, prepare_first_admin};
pub use fields::{Canonical, Faults, NO_ADDRESS, Profile, check_address, checked_password, parse_address};
pub use filters::Filters;
pub use input::STATUSES;
pub use matching::{Matching, count, in_order, list};
pub use model::{Change, ListError, NewUser, User, UserError, status};
pub use own::{OwnChange, change_own};
pub use ranks::{role_names, still_stands};
pub use store::{PasswordKept, find, find_by_name, lock, password_kept};
pub use successor::{Chooser, Successor};
pub use visibility::{UserOut, Viewer};

pub(crate) use visibility::out;
