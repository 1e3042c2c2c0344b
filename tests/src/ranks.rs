//! Whether two samples can be told apart by their ranks: the Mann-Whitney test, which asks nothing of how
//! durations are spread and is not moved by a few that are long.

/// What the test says of two samples.
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
