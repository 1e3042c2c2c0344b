//! The parts of every route, below the slices: answers, bodies, fields, lists, conditional requests.
//!
//! Nothing here imports a slice. [`crate::access`] authorises, [`crate::api`] lists the paths.

pub mod answer;
pub mod body;
pub mod credentials;
pub mod cursor;
pub mod described;
pub mod direct;
pub mod fields;
pub mod gate;
pub mod list;
pub mod once;
pub mod origin;
pub mod page;
pub mod query;
pub mod rows;
pub mod signed;
pub mod time;
pub mod trace;
pub mod validators;
