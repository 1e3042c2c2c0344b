//! What an isolate remembers: tenants' documents, opened; what the feed told of them; tokens whose
//! signature held; networks that guess names; what is left of the budgets of hashes. Pure: nothing here reads storage or waits.

pub mod budgets;
pub mod feed;
pub mod guessers;
pub mod knowledge;
pub mod memory;
pub mod opened;
pub mod told;
pub mod verified;
