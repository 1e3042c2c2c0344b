//! Waiting for conditions, never for a fixed time.
#![expect(clippy::disallowed_methods, reason = "a deadline on this machine, which is not stored")]

use std::time::{Duration, Instant};

/// The condition did not come about in time.
#[derive(Debug)]
pub struct TooLate;

/// Asks again and again until the answer is yes or the time is up.
pub fn until(limit: Duration, mut is_so: impl FnMut() -> bool) -> Result<(), TooLate> {
    let deadline = Instant::now() + limit;
    loop {
        if is_so() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(TooLate);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
