//! The rotation of a tenant's lookup root, while users sign in and are changed.
//!
//! [`rotation`] begins it and goes on with it, by [`steps`] that lead from stage to stage
//! ([`crate::crypt::lookup::Stage`]): [`adding`] gives everybody identifiers under the new root beside those that they
//! have; once the edge has them, its document names the new root; when no isolate can have the document of before,
//! [`removal`] takes the old identifiers away; and the old root itself goes when nothing is left that was hashed with it
//! and cannot be hashed anew. [`progress`] says how far that is. Why it is so: docs/decisions/0023.

mod adding;
pub mod progress;
mod removal;
pub mod rotation;
mod steps;
mod store;
mod work;
