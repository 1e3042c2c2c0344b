//! The real time, in the one place where a test may ask for it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "here is where the time comes from")]
pub fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
