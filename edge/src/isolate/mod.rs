//! The caches of an isolate: tenants' documents, the state from the feed, verified tokens, limited networks, and
//! budgets of hashes. Pure: no storage access, no waiting.

pub mod budgets;
pub mod feed;
pub mod guessers;
pub mod knowledge;
pub mod memory;
pub mod opened;
pub mod told;
pub mod verified;
