//! Who may call: a handler names an extractor ([`extractors`]) in its signature. The caller is the user of a
//! verified token ([`bearer`]), by their current row.

pub mod bearer;
pub mod extractors;

pub use extractors::{Allowed, Anyone, AnyoneAtPlatform, Authenticated, Me, OnTenant, Platform, outranked};
