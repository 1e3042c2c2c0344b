//! How many of something a test brings, and how many of something control counted.

use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// `whole` under `./wardgate test --long`, which sets `WARDGATE_TEST_LONG`; else `part`.
pub fn scaled<T>(part: T, whole: T) -> T {
    if std::env::var_os("WARDGATE_TEST_LONG").is_some_and(|text| text == "1") { whole } else { part }
}

/// The numbers that control keeps of a test with one thread, from here on.
pub struct Numbers(PrometheusRecorder);

impl Numbers {
    pub fn new() -> Self {
        Self(PrometheusBuilder::new().build_recorder())
    }

    /// Records metrics until the guard is dropped.
    pub fn keep(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(&self.0)
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &str) -> f64 {
        let text = self.0.handle().render();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// How often a unit of this kind was asked for.
    pub fn asked_for(&self, kind: &str) -> u64 {
        let line = format!("wardgate_share_wait_seconds_count{{kind=\"{kind}\"}} ");
        let text = self.0.handle().render();
        text.lines().find_map(|it| it.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }
}

/// Chances that a seed repeats (Knuth's multiplier).
pub struct Chance(u64);

impl Chance {
    pub fn new() -> Self {
        let seed = u64::from_le_bytes(control::world::random().unwrap());
        let seed =
            std::env::var("WARDGATE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
        eprintln!("WARDGATE_TEST_SEED={seed}");
        Self(seed)
    }

    /// Chances that follow from others.
    pub fn from(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `from` to `to`, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from + i64::try_from(self.0 >> 33).unwrap() % (to - from + 1)
    }
}
