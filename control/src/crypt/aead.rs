//! AES-256-GCM (NIST SP 800-38D) with the random nonce prepended: the only cipher for data in PostgreSQL.
//!
//! A random nonce of 96 bits is safe for 2^32 values under one key (section 8.3). A tenant's key seals a few values for
//! each of its users, so it stays far below that.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use shared::derive::Secret;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::world::random;

/// The bytes that sealing adds: nonce and tag.
pub const ADDED_BYTES: usize = NONCE_LEN + 16;

/// Seals `plaintext`, bound to `data`: the nonce, then the ciphertext and its tag.
///
/// # Errors
/// No randomness.
pub fn seal(key: &Secret, data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Failure> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let tag = cipher(key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(data),
            sealed.split_at_mut(NONCE_LEN).1,
        )
        .map_err(|_| Failure::Crypto("sealing"))?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Opens what [`seal`] made under the same key and `data`; `None` for anything else.
///
/// # Errors
/// None on any input; a key of 32 bytes always makes a cipher.
pub fn open(key: &Secret, data: &[u8], sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let Ok(opened) = cipher(key)?.open_in_place(nonce, Aad::from(data), &mut bytes) else { return Ok(None) };
    let length = opened.len();
    bytes.truncate(length);
    Ok(Some(bytes))
}

fn cipher(key: &Secret) -> Result<LessSafeKey, Failure> {
    let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| Failure::Crypto("making a cipher"))?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Secret {
        Secret::new([byte; 32])
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_every_bit_counts(
            plaintext: Vec<u8>,
            data: Vec<u8>,
            at: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let mut sealed = seal(&key(1), &data, &plaintext).unwrap();
            prop_assert_eq!(open(&key(1), &data, &sealed).unwrap().unwrap().to_vec(), plaintext.clone());
            prop_assert!(open(&key(2), &data, &sealed).unwrap().is_none());
            prop_assert!(open(&key(1), &[&data[..], b"x"].concat(), &sealed).unwrap().is_none());
            let at = at.index(sealed.len());
            prop_assert!(open(&key(1), &data, &sealed[..at]).unwrap().is_none());
            sealed[at] ^= 1 << bit;
            prop_assert!(open(&key(1), &data, &sealed).unwrap().is_none());
        }
    }

    #[test]
    fn no_two_values_are_alike() {
        assert_ne!(seal(&key(1), b"", b"secret").unwrap(), seal(&key(1), b"", b"secret").unwrap());
    }
}
