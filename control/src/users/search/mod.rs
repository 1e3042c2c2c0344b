//! Finding users by a part of their names, although no SQL can read a name.
//!
//! [`words`] says what matches: pure, and the rule that counts. [`index`] keeps keyed hashes of short pieces of
//! each user's names, by which PostgreSQL finds candidates; whoever searches opens the candidates and holds them
//! against the rule. [`rebuild`] makes the index of a tenant anew, after a crash, a restore or a new key.
//! Why it is so: docs/decisions/0017; what the index tells whom: docs/security.md.

pub mod index;
pub mod rebuild;
pub mod words;
