//! Algorithms with their parameters, without salt and hash: what a check costs.
//!
//! Bounds are checked before any work. They leave room above the values that Django writes today (1,000,000 rounds of
//! PBKDF2, bcrypt 12, scrypt 2^14/8/5, Argon2 100 MiB in 2 passes: 0.1 to 0.25 s each), and keep the most expensive
//! check at about a second and 256 MiB, because requests without a credential cause checks.

use std::fmt;

use crate::Unusable;

/// Five times Django 5.2's rounds: about half a second.
const PBKDF2_ROUNDS: u32 = 5_000_000;
/// The algorithm's own least, and four times Django's work: about a second.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=14;
/// N * r * p: five times Django's.
const SCRYPT_WORK: u64 = 5 * 16_384 * 8 * 5;
/// N * r, each 128 bytes: 64 MiB, four times Django's.
const SCRYPT_MEMORY: u64 = 512 * 1024;
/// 256 MiB, two and a half times Django's.
const ARGON2_KIB: u32 = 256 * 1024;
/// KiB times passes: five times Django's.
const ARGON2_WORK: u64 = 1024 * 1024;
const ARGON2_LANES: u32 = 16;

/// The three of RFC 9106.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Argon2Kind {
    /// Argon2d.
    D,
    /// Argon2i.
    I,
    /// Argon2id.
    Id,
}

/// An algorithm with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Params {
    /// `pbkdf2_sha256`.
    Pbkdf2Sha256 {
        /// Iterations.
        rounds: u32,
    },
    /// `pbkdf2_sha1`.
    Pbkdf2Sha1 {
        /// Iterations.
        rounds: u32,
    },
    /// `bcrypt` and `bcrypt_sha256`, which cost the same.
    Bcrypt {
        /// Logarithm of the rounds.
        cost: u32,
    },
    /// `scrypt`.
    Scrypt {
        /// Logarithm of N.
        log_n: u8,
        /// Block size.
        r: u32,
        /// Parallelism.
        p: u32,
    },
    /// `argon2`.
    Argon2 {
        /// The variant: Argon2d, Argon2i or Argon2id.
        kind: Argon2Kind,
        /// 16 or 19.
        version: u32,
        /// Memory in KiB.
        kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
}

/// Hashes whose checks differ in the number of rounds alone, so that additional rounds make two of them take equally
/// long. Of scrypt and Argon2 every set of parameters is a family by itself, since memory and passes do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// PBKDF2 over SHA-256.
    Pbkdf2Sha256,
    /// PBKDF2 over SHA-1.
    Pbkdf2Sha1,
    /// bcrypt, also over SHA-256.
    Bcrypt,
    /// These parameters alone.
    Only(Params),
}

impl Params {
    /// Refuses parameters above the bounds.
    ///
    /// # Errors
    /// [`Unusable::Bounds`].
    pub(crate) fn bounded(self) -> Result<Self, Unusable> {
        let fine = match self {
            Self::Pbkdf2Sha256 { rounds } | Self::Pbkdf2Sha1 { rounds } => {
                (1..=PBKDF2_ROUNDS).contains(&rounds)
            }
            Self::Bcrypt { cost } => BCRYPT_COST.contains(&cost),
            Self::Scrypt { log_n, r, p } => {
                let memory = 1_u64.checked_shl(log_n.into()).and_then(|n| n.checked_mul(r.into()));
                let work = memory.and_then(|memory| memory.checked_mul(p.into()));
                (1..32).contains(&log_n)
                    && r > 0
                    && p > 0
                    && memory.is_some_and(|memory| memory <= SCRYPT_MEMORY)
                    && work.is_some_and(|work| work <= SCRYPT_WORK)
            }
            Self::Argon2 { kib, passes, lanes, version, .. } => {
                matches!(version, 0x10 | 0x13)
                    && (1..=ARGON2_LANES).contains(&lanes)
                    && (8 * lanes..=ARGON2_KIB).contains(&kib)
                    && passes > 0
                    && u64::from(kib).saturating_mul(passes.into()) <= ARGON2_WORK
            }
        };
        if fine { Ok(self) } else { Err(Unusable::Bounds) }
    }

    /// Which checks can stand in for one with these parameters.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Pbkdf2Sha256 { .. } => Family::Pbkdf2Sha256,
            Self::Pbkdf2Sha1 { .. } => Family::Pbkdf2Sha1,
            Self::Bcrypt { .. } => Family::Bcrypt,
            Self::Scrypt { .. } | Self::Argon2 { .. } => Family::Only(self),
        }
    }

    /// The work of one check in the units of its family.
    #[must_use]
    pub fn units(self) -> u64 {
        match self {
            Self::Pbkdf2Sha256 { rounds } | Self::Pbkdf2Sha1 { rounds } => rounds.into(),
            Self::Bcrypt { cost } => 1 << cost,
            Self::Scrypt { .. } | Self::Argon2 { .. } => 1,
        }
    }

    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// For anything else, and beyond the bounds.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let mut fields = text.split('$');
        let mut next = || fields.next().ok_or(Unusable::Malformed);
        let params = match next()? {
            "pbkdf2_sha256" => Self::Pbkdf2Sha256 { rounds: number(next()?)? },
            "pbkdf2_sha1" => Self::Pbkdf2Sha1 { rounds: number(next()?)? },
            "bcrypt" => Self::Bcrypt { cost: number(next()?)? },
            "scrypt" => Self::Scrypt { log_n: number(next()?)?, r: number(next()?)?, p: number(next()?)? },
            kind @ ("argon2d" | "argon2i" | "argon2id") => Self::Argon2 {
                kind: argon2_kind(kind)?,
                version: number(next()?)?,
                kib: number(next()?)?,
                passes: number(next()?)?,
                lanes: number(next()?)?,
            },
            _ => return Err(Unusable::Algorithm),
        };
        if fields.next().is_some() { Err(Unusable::Malformed) } else { params.bounded() }
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pbkdf2Sha256 { rounds } => write!(f, "pbkdf2_sha256${rounds}"),
            Self::Pbkdf2Sha1 { rounds } => write!(f, "pbkdf2_sha1${rounds}"),
            Self::Bcrypt { cost } => write!(f, "bcrypt${cost}"),
            Self::Scrypt { log_n, r, p } => write!(f, "scrypt${log_n}${r}${p}"),
            Self::Argon2 { kind, version, kib, passes, lanes } => {
                write!(f, "{}${version}${kib}${passes}${lanes}", kind.name())
            }
        }
    }
}

impl Argon2Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::D => "argon2d",
            Self::I => "argon2i",
            Self::Id => "argon2id",
        }
    }
}

pub(crate) fn argon2_kind(name: &str) -> Result<Argon2Kind, Unusable> {
    let known = [Argon2Kind::D, Argon2Kind::I, Argon2Kind::Id].into_iter().find(|kind| kind.name() == name);
    known.ok_or(Unusable::Algorithm)
}

/// Digits alone: no sign, no blank.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, Unusable> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        // Digits that do not fit are dearer than any bound.
        Err(_) if digits => Err(Unusable::Bounds),
        _ => Err(Unusable::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "pbkdf2_sha256$1000000",
            "pbkdf2_sha1$1",
            "bcrypt$12",
            "scrypt$14$8$5",
            "argon2id$19$102400$2$8",
            "argon2i$16$8$1$1",
        ] {
            assert_eq!(Params::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn bounds_stand_before_any_work() {
        for text in [
            "pbkdf2_sha256$0",
            "pbkdf2_sha256$5000001",
            "pbkdf2_sha1$99999999999999999999",
            "bcrypt$3",
            "bcrypt$15",
            "scrypt$0$8$1",
            "scrypt$17$8$1",
            "scrypt$14$8$26",
            "scrypt$14$4294967295$4294967295",
            "scrypt$31$1$1",
            "scrypt$63$1$1",
            "scrypt$255$1$1",
            "argon2id$19$262145$1$1",
            "argon2id$19$262144$5$1",
            "argon2id$19$102400$2$17",
            "argon2id$19$102400$0$1",
            "argon2id$19$7$1$1",
            "argon2id$17$102400$2$8",
        ] {
            assert_eq!(Params::parse(text), Err(Unusable::Bounds), "{text}");
        }
    }
}
