//! What the edge must learn, and what it has to tell.
//!
//! [`crate::db::changes`] stamps what a transaction changed; [`pusher`] sends it: [`backlog`] in the order of
//! revisions, [`urgent`] what revokes, [`snapshot`] everything where order is lost. [`drain`] takes
//! over the facts born at the edge, [`held_facts`] keeps those that their tenant cannot take yet. Several controls may run: a lease in [`lanes`] says who sends, the
//! lock of a row who drains.

pub mod backlog;
pub mod client;
pub mod drain;
pub mod edge_id;
mod held_facts;
pub mod in_force;
mod lanes;
mod marks;
mod message;
pub mod pusher;
pub mod reseal;
pub mod reseed;
pub mod restored;
pub mod seals;
pub mod snapshot;
pub mod status;
pub mod sweep;
pub mod urgent;

pub use client::{CallError, EdgeClient, Reply};
pub use lanes::LaneError;
