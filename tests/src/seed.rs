//! Seeds of random tests: printed, and replayed from the environment.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// A generator whose seed is printed with `test`, so that a failure can be had again.
#[must_use]
pub fn rng(test: &str) -> StdRng {
    let given = std::env::var("WARDGATE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(rand::random);
    eprintln!("{test}: seed {seed} (WARDGATE_TEST_SEED={seed} replays it)");
    StdRng::seed_from_u64(seed)
}

/// Letters and digits that nothing else has used, for names that must not meet.
#[must_use]
pub fn unique() -> String {
    format!("{:012x}", rand::random::<u64>() >> 16)
}
