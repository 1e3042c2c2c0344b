//! The rotation of a tenant's lookup root, while users sign in and are changed.
//!
//! [`rotation`] starts and continues it, by [`steps`] from stage to stage ([`crate::crypt::lookup::Stage`]):
//! [`adding`] adds identifiers under the new root; once the edge has them, its document names the new root; when no
//! isolate can have the old document, [`removal`] deletes the old identifiers; and the old root itself is deleted
//! when no value is left that was hashed with it and cannot be hashed again. [`progress`] reports the state. Reasons:
//! docs/decisions/0023.

mod adding;
pub mod progress;
mod removal;
pub mod rotation;
mod steps;
mod store;
mod work;
