//! A stored hash, read from the text that Django keeps in `password`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::params::{argon2_kind, number};
use crate::{Params, Unusable};

/// Longest salt: Django's have 22 characters.
const SALT_BYTES: usize = 64;
/// Hashes of Argon2, which may have any size; all others have one.
const ARGON2_TAG: std::ops::RangeInclusive<usize> = 16..=64;
const ARGON2_SALT: std::ops::RangeInclusive<usize> = 8..=SALT_BYTES;
pub(crate) const SHA256_BYTES: usize = 32;
pub(crate) const SHA1_BYTES: usize = 20;
pub(crate) const SCRYPT_BYTES: usize = 64;
pub(crate) const BCRYPT_SALT_BYTES: usize = 16;
pub(crate) const BCRYPT_BYTES: usize = 23;
/// `2b$12$`, 22 characters of salt, 31 of hash.
const BCRYPT_CHARS: (usize, usize) = (22, 31);

/// bcrypt's own alphabet; its last character carries bits that mean nothing.
const BCRYPT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A hash that can be checked. No `Debug`, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Hash {
    #[zeroize(skip)]
    pub(crate) params: Params,
    /// `bcrypt_sha256`: what is hashed is the hexadecimal SHA-256 of the password.
    #[zeroize(skip)]
    pub(crate) prehashed: bool,
    pub(crate) salt: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

impl Hash {
    /// Reads a hash as Django writes it.
    ///
    /// # Errors
    /// See [`Unusable`]: a user with such a hash has no password here.
    pub fn parse(encoded: &str) -> Result<Self, Unusable> {
        if encoded.is_empty() || encoded.starts_with('!') {
            return Err(Unusable::Unset);
        }
        let (algorithm, rest) = encoded.split_once('$').ok_or(Unusable::Algorithm)?;
        match algorithm {
            "pbkdf2_sha256" => pbkdf2(rest, SHA256_BYTES, |rounds| Params::Pbkdf2Sha256 { rounds }),
            "pbkdf2_sha1" => pbkdf2(rest, SHA1_BYTES, |rounds| Params::Pbkdf2Sha1 { rounds }),
            "bcrypt" => bcrypt(rest, false),
            "bcrypt_sha256" => bcrypt(rest, true),
            "scrypt" => scrypt(rest),
            "argon2" => argon2(rest),
            _ => Err(Unusable::Algorithm),
        }
    }

    /// Algorithm and parameters.
    #[must_use]
    pub fn params(&self) -> Params {
        self.params
    }
}

fn plain_salt(text: &str) -> Result<Vec<u8>, Unusable> {
    let fine = (1..=SALT_BYTES).contains(&text.len()) && !text.contains('$');
    if fine { Ok(text.as_bytes().to_vec()) } else { Err(Unusable::Malformed) }
}

fn sized(tag: Vec<u8>, size: usize) -> Result<Vec<u8>, Unusable> {
    if tag.len() == size { Ok(tag) } else { Err(Unusable::Malformed) }
}

fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, Unusable> {
    engine.decode(text).map_err(|_| Unusable::Malformed)
}

/// `rounds$salt$hash`
fn pbkdf2(rest: &str, size: usize, params: impl Fn(u32) -> Params) -> Result<Hash, Unusable> {
    let mut fields = rest.splitn(3, '$');
    let mut next = || fields.next().ok_or(Unusable::Malformed);
    let (rounds, salt, tag) = (next()?, next()?, next()?);
    Ok(Hash {
        params: params(number(rounds)?).bounded()?,
        prehashed: false,
        salt: plain_salt(salt)?,
        tag: sized(decode(&STANDARD, tag)?, size)?,
    })
}

/// `$2b$12$` and 53 characters.
fn bcrypt(rest: &str, prehashed: bool) -> Result<Hash, Unusable> {
    let mut fields = rest.splitn(4, '$');
    let mut next = || fields.next().ok_or(Unusable::Malformed);
    let (nothing, variant, cost, both) = (next()?, next()?, next()?, next()?);
    // `2x` is the one with the bug that its letter warns of.
    if !nothing.is_empty() || !matches!(variant, "2a" | "2b" | "2y") || cost.len() != 2 {
        return Err(Unusable::Malformed);
    }
    let (salt, tag) = both.split_at_checked(BCRYPT_CHARS.0).ok_or(Unusable::Malformed)?;
    if tag.len() != BCRYPT_CHARS.1 {
        return Err(Unusable::Malformed);
    }
    Ok(Hash {
        params: Params::Bcrypt { cost: number(cost)? }.bounded()?,
        prehashed,
        salt: sized(decode(&BCRYPT, salt)?, BCRYPT_SALT_BYTES)?,
        tag: sized(decode(&BCRYPT, tag)?, BCRYPT_BYTES)?,
    })
}

/// `N$salt$r$p$hash`
fn scrypt(rest: &str) -> Result<Hash, Unusable> {
    let mut fields = rest.splitn(5, '$');
    let mut next = || fields.next().ok_or(Unusable::Malformed);
    let (n, salt, r, p, tag) = (next()?, next()?, next()?, next()?, next()?);
    let n: u64 = number(n)?;
    if !n.is_power_of_two() {
        return Err(Unusable::Malformed);
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| Unusable::Bounds)?;
    Ok(Hash {
        params: Params::Scrypt { log_n, r: number(r)?, p: number(p)? }.bounded()?,
        prehashed: false,
        salt: plain_salt(salt)?,
        tag: sized(decode(&STANDARD, tag)?, SCRYPT_BYTES)?,
    })
}

/// `argon2id$v=19$m=102400,t=2,p=8$salt$hash`; before version 19 without `v=`.
fn argon2(rest: &str) -> Result<Hash, Unusable> {
    let fields: Vec<&str> = rest.split('$').collect();
    let (kind, version, costs, salt, tag) = match *fields.as_slice() {
        [kind, version, costs, salt, tag] => (kind, valued(version, "v=")?, costs, salt, tag),
        [kind, costs, salt, tag] => (kind, 0x10, costs, salt, tag),
        _ => return Err(Unusable::Malformed),
    };
    let mut costs = costs.split(',');
    let mut cost = |name| valued(costs.next().ok_or(Unusable::Malformed)?, name);
    let (kib, passes, lanes) = (cost("m=")?, cost("t=")?, cost("p=")?);
    let (salt, tag) = (decode(&STANDARD_NO_PAD, salt)?, decode(&STANDARD_NO_PAD, tag)?);
    if costs.next().is_some() || !ARGON2_SALT.contains(&salt.len()) || !ARGON2_TAG.contains(&tag.len()) {
        return Err(Unusable::Malformed);
    }
    let params = Params::Argon2 { kind: argon2_kind(kind)?, version, kib, passes, lanes };
    Ok(Hash { params: params.bounded()?, prehashed: false, salt, tag })
}

fn valued(text: &str, name: &str) -> Result<u32, Unusable> {
    number(text.strip_prefix(name).ok_or(Unusable::Malformed)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(encoded: &str) -> Option<Unusable> {
        Hash::parse(encoded).err()
    }

    #[test]
    fn what_is_no_hash_says_why() {
        let bcrypt = "$ZSCIPCnoj1wYwbZNu9F6OOB2ufWpytDjOPfItNRkxqeauqrk0H4g2";
        for (encoded, expected) in [
            ("", Unusable::Unset),
            ("!BpXpFlrKiHA3vfpqVo37CItqkjJ3feFIuGlGBTgM", Unusable::Unset),
            ("md5$O2KKOmjYvMNWnEnHyHNJ5e$21f3dcf1dd9b1ad35a3ac0710f01ebb9", Unusable::Algorithm),
            ("unsalted_md5", Unusable::Algorithm),
            ("sha1$salt$hash", Unusable::Algorithm),
            ("PBKDF2_SHA256$1$s$AAAA", Unusable::Algorithm),
            ("pbkdf2_sha256$1000$salt", Unusable::Malformed),
            ("pbkdf2_sha256$1000$salt$AAAA", Unusable::Malformed),
            ("pbkdf2_sha256$+1$salt$4NX3m5WJBlUrp9kwyQa2f778w4S4/f3RiBaC7vfKsO8=", Unusable::Malformed),
            ("pbkdf2_sha256$1$$4NX3m5WJBlUrp9kwyQa2f778w4S4/f3RiBaC7vfKsO8=", Unusable::Malformed),
            ("pbkdf2_sha256$9000000$s$4NX3m5WJBlUrp9kwyQa2f778w4S4/f3RiBaC7vfKsO8=", Unusable::Bounds),
            (&format!("bcrypt$$2x$12{bcrypt}"), Unusable::Malformed),
            (&format!("bcrypt$$2b$31{bcrypt}"), Unusable::Bounds),
            (&format!("bcrypt$$2b$012{bcrypt}"), Unusable::Malformed),
            (&format!("bcrypt$$2b$12{bcrypt}x"), Unusable::Malformed),
            ("scrypt$16383$s$8$5$AAAA", Unusable::Malformed),
            ("scrypt$1073741824$s$8$5$AAAA", Unusable::Bounds),
            (
                "argon2$argon2id$v=19$m=4000000,t=2,p=8$V2ZtZG9OenhaTHBiSlQyQQ$bYuhlFBWYkA4svntYc2FsfasxgWBTkbefGzre",
                Unusable::Malformed,
            ),
            ("argon2$argon2id$v=19$m=102400,t=2,p=8$V2ZtZG8$bYuhlFBWYkA", Unusable::Malformed),
            (
                "argon2$argon2x$v=19$m=102400,t=2,p=8$V2ZtZG9OenhaTHBiSlQyQWtLZkR4YQ$bYuhlFBWYkA+4svntYc2/FsfasxgWBT/kbefGzre+gg",
                Unusable::Algorithm,
            ),
            (
                "argon2$argon2id$v=19$m=4000000,t=2,p=8$V2ZtZG9OenhaTHBiSlQyQWtLZkR4YQ$bYuhlFBWYkA+4svntYc2/FsfasxgWBT/kbefGzre+gg",
                Unusable::Bounds,
            ),
        ] {
            assert_eq!(fault(encoded), Some(expected), "{encoded}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text: String) {
            let _ = Hash::parse(&text);
        }

        #[test]
        fn anything_like_a_hash_is_safe(
            algorithm in "pbkdf2_sha256|pbkdf2_sha1|bcrypt|bcrypt_sha256|scrypt|argon2",
            rest in "[$a-zA-Z0-9=,+/.é]{0,120}",
        ) {
            if let Ok(hash) = Hash::parse(&format!("{algorithm}${rest}")) {
                prop_assert!(hash.params().bounded().is_ok());
            }
        }
    }
}
