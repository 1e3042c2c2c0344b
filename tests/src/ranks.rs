//! Whether two samples can be distinguished by their ranks: the Mann-Whitney test, which assumes no distribution of
//! durations and is not affected by a few long ones. And the samples that it judges: durations of requests that
//! should be equal.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::http::Reply;

/// Chance alone gives more than this once in 15,000 comparisons.
const FAR: f64 = 4.0;

/// Durations of interleaved requests by their kind, in milliseconds. Each kind is compared with the first.
pub struct Sample {
    kinds: &'static [&'static str],
    taken: Vec<Vec<f64>>,
    /// The answer of every request.
    answer: Option<Answer>,
}

type Answer = (u16, Vec<(String, String)>, String);

impl Sample {
    /// An empty sample of these kinds.
    #[must_use]
    pub fn of(kinds: &'static [&'static str]) -> Self {
        Self { kinds, taken: vec![Vec::new(); kinds.len()], answer: None }
    }

    /// Sends `rounds` requests of each kind in one random order, so that work left by a request does not depend on
    /// the kind of the next.
    ///
    /// # Panics
    /// If two answers differ.
    pub async fn take(
        &mut self,
        rng: &mut StdRng,
        rounds: usize,
        ask: impl AsyncFn(&'static str, usize) -> Reply,
    ) {
        let kinds = 0..self.kinds.len();
        let mut order: Vec<_> = kinds.flat_map(|kind| (0..rounds).map(move |round| (kind, round))).collect();
        order.shuffle(rng);
        for (kind, round) in order {
            #[allow(clippy::disallowed_methods, reason = "durations are what this is about")]
            let began = Instant::now();
            let reply = ask(self.kinds[kind], round).await;
            self.taken[kind].push(began.elapsed().as_secs_f64() * 1000.0);
            let answer = reply.fingerprint();
            assert_eq!(*self.answer.get_or_insert_with(|| answer.clone()), answer, "{}", self.kinds[kind]);
        }
    }

    /// Whether it would be seen if requests of `planted` took longer by a `share` of the first's duration. On a machine that
    /// is busy with much else that takes more rounds.
    ///
    /// # Panics
    /// For a kind that there is not.
    #[must_use]
    pub fn would_show(&self, planted: &str, share: f64) -> bool {
        self.with(planted, share).z > FAR
    }

    fn with(&self, planted: &str, share: f64) -> Ranks {
        let at = self.kinds.iter().position(|kind| *kind == planted).expect("a kind of the sample");
        let more = median(&self.taken[0]) * share;
        let longer: Vec<f64> = self.taken[at].iter().map(|ms| ms + more).collect();
        mann_whitney(&longer, &self.taken[0])
    }

    /// Asserts that no kind can be distinguished from the first, and that [it would be detected](Self::would_show) if
    /// requests of `planted` took longer by a `share` of the first's duration.
    ///
    /// # Panics
    /// If one can be distinguished, or the planted difference would not be detected.
    pub fn judge(&self, what: &str, planted: &str, share: f64) {
        let (first, usual) = (&self.taken[0], median(&self.taken[0]));
        eprintln!("{what}: {} at {usual:.2} ms, {} of each", self.kinds[0], first.len());
        for (kind, durations) in self.kinds.iter().zip(&self.taken).skip(1) {
            let found = mann_whitney(durations, first);
            eprintln!("{what}: {kind} at {:.2} ms, z {:+.2}, p {:.3}", median(durations), found.z, found.p);
            assert!(found.z.abs() < FAR, "{what}: {kind} can be told: {found:?}");
        }
        let found = self.with(planted, share);
        eprintln!("{what}: {planted} with {share} more, z {:+.2}, p {:.1e}", found.z, found.p);
        assert!(self.would_show(planted, share), "{what}: {share} more would not be seen: {found:?}");
    }
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The result of the test for two samples.
#[derive(Clone, Copy, Debug)]
pub struct Ranks {
    /// How many standard deviations the ranks of the first lie above what chance gives.
    pub z: f64,
    /// How often chance alone gives so much, either way.
    pub p: f64,
}

/// Compares two samples of twenty or more, where the statistic is normal. Ties share their ranks.
#[must_use]
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Ranks {
    let mut all: Vec<(f64, bool)> = first.iter().map(|it| (*it, true)).collect();
    all.extend(second.iter().map(|it| (*it, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut ties, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let same = all[at..].iter().take_while(|(value, _)| *value == all[at].0).count();
        let rank = count(at) + (count(same) + 1.0) / 2.0;
        let of_first = all[at..at + same].iter().filter(|(_, is_first)| *is_first).count();
        sum += rank * count(of_first);
        ties += count(same).powi(3) - count(same);
        at += same;
    }
    let (n, m) = (count(first.len()), count(second.len()));
    let u = sum - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (n + m + 1.0 - ties / ((n + m) * (n + m - 1.0)));
    let z = (u - n * m / 2.0) / variance.sqrt();
    Ranks { z, p: two_sided(z) }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("thousands at most"))
}

/// The normal distribution's tails, by Abramowitz and Stegun, formula 7.1.26, to seven digits.
fn two_sided(z: f64) -> f64 {
    let x = z.abs() / 2.0_f64.sqrt();
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    sum * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed in Python from the definition: pairs counted one by one, tails by `math.erfc`.
    #[test]
    fn it_says_what_the_definition_says() {
        let a: Vec<f64> = (0..30).map(|at| f64::from(at % 7) + 0.5).collect();
        let b: Vec<f64> = (0..25).map(|at| f64::from(at % 9)).collect();
        let said = mann_whitney(&a, &b);
        assert!((said.z + 0.508_193_732).abs() < 1e-9 && (said.p - 0.611_317_486).abs() < 1e-6, "{said:?}");
        let turned = mann_whitney(&b, &a);
        assert!((said.z + turned.z).abs() < 1e-9);
    }

    #[test]
    fn a_shift_shows() {
        let a: Vec<f64> = (0..300).map(f64::from).collect();
        let b: Vec<f64> = a.iter().map(|it| it + 60.0).collect();
        assert!(mann_whitney(&a, &a).z.abs() < 1e-9);
        assert!(mann_whitney(&b, &a).z > 4.0);
    }
}
