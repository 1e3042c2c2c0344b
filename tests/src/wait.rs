//! Waiting for conditions. No test sleeps and hopes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a test waits for what has to come, on a machine that may be busy with much else. It is no promise of
/// Wardgate's: how long something took is printed.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// Looks until `condition` gives something, and says how long that took.
///
/// # Panics
/// When [`PATIENCE`] is over, with `what` was waited for.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> (T, Duration) {
    until_within(PATIENCE, what, condition).await
}

/// The same for conditions that take long even on an idle machine.
///
/// # Panics
/// After `limit`, with `what` was waited for.
pub async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> (T, Duration) {
    let start = Instant::now();
    loop {
        let found = condition().await;
        // A condition that holds only after the limit counts as a failure.
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        if let Some(found) = found {
            return (found, start.elapsed());
        }
        sleep(PERIOD).await;
    }
}

/// The slowest of several, for a line that says how close to the promise a test came.
#[must_use]
pub fn slowest(times: &[Duration]) -> Duration {
    times.iter().copied().max().unwrap_or_default()
}
