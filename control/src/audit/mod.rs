//! The audit log of a tenant: one entry for every change, every refusal of permission and every
//! fact the edge reports. The serving role can insert and read, nothing else.
//!
//! An entry is noted on the transaction of what it tells of and written by its COMMIT ([`crate::db::entries`]),
//! so there is never one without the other. It names things by id; personal data stays where it can be erased.
//!
//! The entries of a tenant are a chain ([`crate::db::chain`]): each is hashed with the hash of the one before.

mod action;
mod actor;
pub mod archive;
mod archives;
pub mod checkpoint;
pub mod checkpoints;
pub mod export;
pub mod filters;
mod line;
pub mod removal;
pub mod routes;
mod seals;
pub mod signed;
mod span;
mod store;
mod stored;
pub mod verify;
mod walk;

pub use action::Action;
pub use actor::{Actor, Who};
pub use filters::Filters;
pub use store::{
    EntryOut, Fact, Recorded, attempt, record, record_each, record_fact, recorded_facts, refuse,
};
pub use walk::{Fault, Finding};
