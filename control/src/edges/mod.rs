//! What the edge must learn and what it has learned.

pub mod changes;
