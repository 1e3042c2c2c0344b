//! Finding users by a part of their names, although SQL cannot read a name.
//!
//! [`words`] defines what matches, as pure code. [`index`] stores keyed hashes of short parts of each user's names,
//! by which PostgreSQL finds candidates; a search decrypts the candidates and applies the definition. [`rebuild`]
//! rebuilds the index of a tenant, after a crash, a restore or a new key. Reasons: docs/decisions/0017; what the
//! index reveals: docs/security.md.

pub mod index;
pub mod rebuild;
pub mod words;
