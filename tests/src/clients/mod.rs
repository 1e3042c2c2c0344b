//! Clients that are not ours, unmodified, as real programs: what they refuse and take is their word.
//!
//! Their programs and pins are in `tests/clients`; `./wardgate test` installs what they need.

mod browser;
mod django;
pub mod gateway;
mod judge;
mod legacy_service;
mod resource_server;
mod site;
mod tokens;

pub use browser::{Browser, Tab};
pub use django::Django;
pub use judge::{Judge, Key, Verdict};
pub use legacy_service::{LegacyService, LegacyTokens, LegacyUser};
pub use resource_server::{ResourceServer, Trust};
pub use site::Site;
pub use tokens::bad as bad_tokens;
