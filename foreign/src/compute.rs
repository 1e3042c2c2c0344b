//! The algorithms themselves, from RustCrypto.

use argon2::{Algorithm, Argon2, Version};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::hash::{BCRYPT_SALT_BYTES, SCRYPT_BYTES, SHA1_BYTES, SHA256_BYTES};
use crate::{Argon2Kind, Params};

/// bcrypt looks at no more bytes than these.
const BCRYPT_PASSWORD_BYTES: usize = 72;

/// The hash of a password, `size` bytes long where the algorithm leaves that open. Bytes as they are:
/// Django neither trims nor normalises. `None` only for parameters that [`Params`] does not let in.
pub(crate) fn compute(
    params: Params,
    prehashed: bool,
    password: &[u8],
    salt: &[u8],
    size: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut tag = Zeroizing::new(Vec::new());
    match params {
        Params::Pbkdf2Sha256 { rounds } => {
            tag.resize(SHA256_BYTES, 0);
            pbkdf2_hmac::<Sha256>(password, salt, rounds, &mut tag);
        }
        Params::Pbkdf2Sha1 { rounds } => {
            tag.resize(SHA1_BYTES, 0);
            pbkdf2_hmac::<Sha1>(password, salt, rounds, &mut tag);
        }
        Params::Bcrypt { cost } => *tag = bcrypt(cost, prehashed, password, salt.try_into().ok()?),
        Params::Scrypt { log_n, r, p } => {
            tag.resize(SCRYPT_BYTES, 0);
            let params = scrypt::Params::new(log_n, r, p).ok()?;
            scrypt::scrypt(password, salt, &params, &mut tag).ok()?;
        }
        Params::Argon2 { kind, version, kib, passes, lanes } => {
            tag.resize(size, 0);
            let algorithm = match kind {
                Argon2Kind::D => Algorithm::Argon2d,
                Argon2Kind::I => Algorithm::Argon2i,
                Argon2Kind::Id => Algorithm::Argon2id,
            };
            let params = argon2::Params::new(kib, passes, lanes, Some(size)).ok()?;
            let argon2 = Argon2::new(algorithm, Version::try_from(version).ok()?, params);
            argon2.hash_password_into(password, salt, &mut tag).ok()?;
        }
    }
    Some(tag)
}

/// The password with a closing NUL, cut at 72 bytes: a NUL inside is a byte like any other, as in the
/// Python library that Django uses. The last of bcrypt's 24 bytes is never stored.
fn bcrypt(cost: u32, prehashed: bool, password: &[u8], salt: [u8; BCRYPT_SALT_BYTES]) -> Vec<u8> {
    let mut key = Zeroizing::new(if prehashed { hex_sha256(password) } else { password.to_vec() });
    key.push(0);
    key.truncate(BCRYPT_PASSWORD_BYTES);
    let [tag @ .., _] = bcrypt::bcrypt(cost, salt, &key);
    tag.to_vec()
}

fn hex_sha256(password: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(password)));
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
