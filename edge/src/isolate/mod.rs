//! What an isolate remembers: tenants' documents, opened; what the feed told of them; tokens whose
//! signature held. Pure: nothing here reads storage or waits.

pub mod knowledge;
pub mod opened;
pub mod verified;
