//! The clock, passed to the functions that need it, so that tests can set it, and the operating system's randomness.
//! Tests need no reproducible random values here, so randomness is a plain function.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use crate::failure::Failure;

/// The wall clock, which a test may set ahead.
#[derive(Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The present, in the microseconds that PostgreSQL keeps.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place where control reads the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::milliseconds(self.ahead_ms.load(Ordering::Relaxed));
        (Utc::now() + ahead).trunc_subsecs(6)
    }

    /// Sets the clock ahead, for tests of what is due later.
    pub fn advance(&self, by: TimeDelta) {
        self.ahead_ms.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
    }
}

/// `N` random bytes from the operating system.
///
/// # Errors
/// If it has none, which ends whatever was asked: nothing here works without.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Failure::Entropy)?;
    Ok(bytes)
}

/// A moment as milliseconds since the epoch, for version 7 UUIDs.
#[must_use]
pub fn unix_ms(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0)
}
