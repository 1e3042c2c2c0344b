//! The caches of an isolate: tenants' documents, the state from the feed, verified tokens, limited networks, and
//! budgets of hashes. Pure: no storage access, no waiting.

pub mod budgets;
pub mod feed;
pub mod generations;
pub mod memory;
pub mod opened;
pub mod refused_names;
pub mod repeats;
pub mod reported;
pub mod shard_cache;
pub mod tenant_name;
pub mod verified;
