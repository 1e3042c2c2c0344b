//! The audit log of a tenant: one entry for every change, every refusal of permission and every
//! fact the edge reports. The serving role can insert and read, nothing else.
//!
//! An entry is noted on the transaction of the action and written by its COMMIT ([`crate::db::entries`]), so neither
//! exists without the other. It refers to objects by id; personal data is stored where it can be erased.
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
mod within;

pub use action::Action;
pub use actor::{Actor, Who};
pub use filters::Filters;
pub use store::{
    EntryOut, Fact, Recorded, attempt, record, record_each, record_fact, recorded_facts, refuse,
};
pub use walk::{Fault, Finding};
