//! One-time codes by time (TOTP, RFC 6238): HMAC-SHA-1, six digits, steps of 30 seconds, which every authenticator
//! supports.

use totp_rs::Builder;
use zeroize::Zeroizing;

use crate::Invalid;

/// Length of a step in seconds.
pub const STEP_SECS: u64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// Bytes of a generated seed (RFC 4226, section 4, requirement 6 recommends 160 bits).
pub const SEED_BYTES: usize = 20;
/// Minimum and maximum bytes of an imported seed (the same section requires 128 bits).
const SEED_BOUNDS: std::ops::RangeInclusive<usize> = 16..=64;

/// The secret that an authenticator shares with the service. No `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct Seed(Zeroizing<Vec<u8>>);

impl Seed {
    /// A seed of random bytes.
    #[must_use]
    pub fn new(random: [u8; SEED_BYTES]) -> Self {
        Self(Zeroizing::new(random.to_vec()))
    }

    /// Takes the bytes of a seed.
    ///
    /// # Errors
    /// Fewer than 16 bytes or more than 64.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Invalid> {
        let fits = SEED_BOUNDS.contains(&bytes.len());
        if fits { Ok(Self(Zeroizing::new(bytes.to_vec()))) } else { Err(Invalid("seed of 16 to 64 bytes")) }
    }

    /// The bytes, to be sealed. The caller must not keep a copy.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A code as it was typed: six ASCII digits. No `Debug`, wiped when dropped.
pub struct Code(Zeroizing<String>);

impl Code {
    /// Takes six ASCII digits, with blanks around them.
    ///
    /// # Errors
    /// Another length, or other characters, including digits of other scripts.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let digits = text.trim_ascii();
        let fits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(Zeroizing::new(digits.to_owned()))) } else { Err(Invalid("code of six digits")) }
    }
}

/// The step whose code this is: the one of `now_secs`, the one before or the one after (RFC 6238, section 5.2). The
/// caller checks whether the step was used before.
#[must_use]
pub fn matching_step(seed: &Seed, code: &Code, now_secs: u64) -> Option<u64> {
    let totp = Builder::new()
        .with_secret(seed.expose().to_vec())
        .with_skew(1)
        .with_digits(6)
        .with_step_duration(STEP_SECS)
        .build()
        .ok()?;
    totp.check(&code.0, now_secs)
}

/// The code of a step, for tests and for programs that act as an authenticator.
#[must_use]
pub fn code_at(seed: &Seed, step: u64) -> Option<String> {
    let totp = Builder::new()
        .with_secret(seed.expose().to_vec())
        .with_digits(6)
        .with_step_duration(STEP_SECS)
        .build()
        .ok()?;
    Some(totp.generate(step.saturating_mul(STEP_SECS)).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn seed() -> Seed {
        Seed::from_slice(b"12345678901234567890").unwrap()
    }

    #[test]
    fn rfc_6238_appendix_b() {
        let text = include_str!("../../vectors/rfc6238_totp.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let sha1 = |vector: &&Value| vector["alg"] == "SHA1";
        let mut seen = 0;
        for vector in vectors["vectors"].as_array().unwrap().iter().filter(sha1) {
            let seed = Seed::from_slice(vector["secret_ascii"].as_str().unwrap().as_bytes()).unwrap();
            let (time, digits) = (vector["time"].as_u64().unwrap(), vector["digits6"].as_str().unwrap());
            assert_eq!(code_at(&seed, time / STEP_SECS).unwrap(), digits);
            assert_eq!(matching_step(&seed, &Code::parse(digits).unwrap(), time), Some(time / STEP_SECS));
            seen += 1;
        }
        assert_eq!(seen, 6);
    }

    #[test]
    fn a_code_is_good_one_step_either_side() {
        let code = Code::parse(&code_at(&seed(), 1000).unwrap()).unwrap();
        for (step, good) in [(998, false), (999, true), (1000, true), (1001, true), (1002, false)] {
            let found = matching_step(&seed(), &code, step * STEP_SECS + 29);
            assert_eq!(found, good.then_some(1000), "{step}");
        }
        // The first step of all has none before it.
        assert!(matching_step(&seed(), &code, 0).is_none());
    }

    #[test]
    fn a_code_is_six_ascii_digits() {
        assert!(Code::parse(" 123456\n").is_ok());
        for text in [
            "",
            "12345",
            "1234567",
            "12345a",
            "123 456",
            "-12345",
            "+12345",
            "١٢٣٤٥٦",
            "１２３４５６",
            "0x1234",
        ] {
            assert!(Code::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_seed_has_bounds() {
        for (length, good) in [(0, false), (15, false), (16, true), (20, true), (64, true), (65, false)] {
            assert_eq!(Seed::from_slice(&vec![1; length]).is_ok(), good, "{length}");
        }
    }
}
