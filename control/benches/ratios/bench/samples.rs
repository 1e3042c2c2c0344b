//! Durations of one operation.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Durations in milliseconds.
#[derive(Default)]
pub struct Samples(Vec<f64>);

/// Their summary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Half took no longer, in milliseconds.
    pub median: f64,
    /// All but one in twenty took no longer.
    pub p95: f64,
}

impl Samples {
    /// Notes a duration.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1_000.0);
    }

    /// Measures a future.
    ///
    /// # Errors
    /// The future's.
    pub async fn time<T, E>(&mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let start = Instant::now();
        let done = work.await?;
        self.add(start.elapsed());
        Ok(done)
    }

    /// The middle and the slow end; zero where nothing was measured.
    pub fn times(&self) -> Times {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| {
            let last = sorted.len().saturating_sub(1);
            sorted.get(last * part / 100).copied().unwrap_or_default()
        };
        Times { median: at(50), p95: at(95) }
    }
}

/// Numbers that look random and are the same in every run (splitmix64).
#[derive(Clone, Copy)]
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    /// The same of another type.
    pub fn number(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end.max(1))).unwrap_or_default()
    }

    /// The same, with smaller values more likely, as few names are common and many are rare.
    pub fn among(&mut self, end: usize) -> usize {
        let (a, b) = (self.below(end), self.below(end));
        a * b / end.max(1)
    }
}
