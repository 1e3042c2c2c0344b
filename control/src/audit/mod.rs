//! The audit log of a tenant: one entry for every change, every refusal of permission and every
//! fact the edge reports. The serving role can insert and read, nothing else.
//!
//! An entry is written in the transaction of what it tells of, so there is never one without the
//! other. It names things by id; personal data stays where it can be erased.

mod action;
mod actor;
pub mod filters;
pub mod routes;
mod store;

pub use action::Action;
pub use actor::{Actor, Who};
pub use filters::Filters;
pub use store::{EntryOut, Fact, attempt, record, record_each, record_fact, refuse};
