//! RSA by aws-lc-rs: making and importing private keys, verifying RS256.
//!
//! Making one takes a tenth of a second and more: [`super::maker`] does it on a blocking thread, and outside
//! a transaction.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use shared::tokens::jwk::PublicKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::failure::Failure;

/// A private key on its way to be wrapped, with its public half. No `Debug`.
pub struct Private {
    /// The public half.
    pub public: PublicKey,
    /// PKCS#8 in DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
}

/// Why a key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// No RSA private key in PEM, and no private RSA JWK with all its parts.
    #[error(
        "Expected an RSA private key in PEM (PKCS#8 or PKCS#1), or a private RSA JWK with n, e, d, p, q, dp, dq and qi."
    )]
    Malformed,
    /// Under 2048 or over 4096 bits, or another exponent than 65537.
    #[error("Expected an RSA key of 2048 to 4096 bits with e = 65537.")]
    WrongSize,
}

/// A private JWK (RFC 7518, section 6.3.2). Wiped when dropped.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct PrivateJwk {
    kty: String,
    n: String,
    e: String,
    d: String,
    p: String,
    q: String,
    dp: String,
    dq: String,
    qi: String,
}

/// Makes a key of `bits`: 2048, 3072 or 4096, with e = 65537.
///
/// # Errors
/// If the library fails.
pub fn generate(bits: u64) -> Result<Private, Failure> {
    let size = match bits {
        4096 => KeySize::Rsa4096,
        3072 => KeySize::Rsa3072,
        _ => KeySize::Rsa2048,
    };
    let pair = KeyPair::generate(size).map_err(|_| Failure::Crypto("making a key"))?;
    private(&pair).map_err(|_| Failure::Crypto("making a key"))
}

/// Takes the first private key of a PEM, as PKCS#8 or PKCS#1 (`RSA PRIVATE KEY`).
///
/// # Errors
/// See [`ImportError`].
pub fn from_pem(pem: &[u8]) -> Result<Private, ImportError> {
    let pair = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(der)) => KeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(ImportError::Malformed),
    };
    // The library refuses short keys itself, with the same error as malformed ones.
    let pair = pair.map_err(|error| match error.to_string().as_str() {
        "TooSmall" | "TooLarge" => ImportError::WrongSize,
        _ => ImportError::Malformed,
    })?;
    private(&pair)
}

/// Takes a private JWK. Its parts must fit each other.
///
/// # Errors
/// See [`ImportError`].
pub fn from_jwk(jwk: &PrivateJwk) -> Result<Private, ImportError> {
    if jwk.kty != "RSA" {
        return Err(ImportError::Malformed);
    }
    PublicKey::parse(&jwk.n, &jwk.e).map_err(|_| ImportError::WrongSize)?;
    let decode =
        |text: &str| URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).map_err(|_| ImportError::Malformed);
    let (n, e) = (decode(&jwk.n)?, decode(&jwk.e)?);
    let [d, p, q, dp, dq, qi] = [&jwk.d, &jwk.p, &jwk.q, &jwk.dp, &jwk.dq, &jwk.qi].map(|text| decode(text));
    let (d, p, q, dp, dq, qi) = (d?, p?, q?, dp?, dq?, qi?);
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: n.as_slice(), e: e.as_slice() },
        d: d.as_slice(),
        p: p.as_slice(),
        q: q.as_slice(),
        dP: dp.as_slice(),
        dQ: dq.as_slice(),
        qInv: qi.as_slice(),
    };
    let pair = KeyPair::from_components(&components).map_err(|_| ImportError::Malformed)?;
    private(&pair)
}

fn private(pair: &KeyPair) -> Result<Private, ImportError> {
    let (modulus, exponent) = (pair.public_key().modulus(), pair.public_key().exponent());
    let public = PublicKey::from_bytes(
        modulus.big_endian_without_leading_zero(),
        exponent.big_endian_without_leading_zero(),
    )
    .map_err(|_| ImportError::WrongSize)?;
    let der = pair.as_der().map_err(|_| ImportError::Malformed)?;
    Ok(Private { public, pkcs8: Zeroizing::new(der.as_ref().to_vec()) })
}

/// Whether `signature` is RS256 of `signed` under `public`.
#[must_use]
pub fn verifies(public: &PublicKey, signed: &[u8], signature: &[u8]) -> bool {
    let components = PublicKeyComponents { n: public.modulus(), e: &[1, 0, 1] };
    components.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

    use super::*;

    #[test]
    fn a_key_that_was_made_signs_and_verifies_and_can_be_imported_again() {
        let made = generate(2048).unwrap();
        assert_eq!(made.public.bits(), 2048);
        let pair = RsaKeyPair::from_pkcs8(&made.pkcs8).unwrap();
        let mut signature = vec![0; 256];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), b"text", &mut signature).unwrap();
        assert!(verifies(&made.public, b"text", &signature));
        assert!(!verifies(&made.public, b"other", &signature));
        assert!(!verifies(&made.public, b"text", &[]));
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            base64::engine::general_purpose::STANDARD.encode(made.pkcs8.as_slice())
        );
        assert_eq!(from_pem(pem.as_bytes()).ok().map(|key| key.public), Some(made.public));
    }

    /// `openssl genpkey` made the key; the same in both forms.
    #[test]
    fn pem_and_jwk_are_the_same_key() {
        let jwk: PrivateJwk = serde_json::from_str(JWK).unwrap();
        let (by_jwk, by_pem) = (from_jwk(&jwk).ok().unwrap(), from_pem(PEM.as_bytes()).ok().unwrap());
        assert_eq!(by_jwk.public, by_pem.public);
        assert_eq!(by_jwk.pkcs8, by_pem.pkcs8);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let whole: serde_json::Value = serde_json::from_str(JWK).unwrap();
        for part in ["d", "p", "q", "dp", "dq", "qi"] {
            let mut altered = whole.clone();
            altered[part] = whole[if part == "p" { "q" } else { "p" }].clone();
            let jwk: PrivateJwk = serde_json::from_value(altered).unwrap();
            assert_eq!(from_jwk(&jwk).err(), Some(ImportError::Malformed), "{part}");
        }
        for (n, e) in [("AQAB", "AQAB"), (whole["n"].as_str().unwrap(), "Aw")] {
            let mut weak = whole.clone();
            weak["n"] = n.into();
            weak["e"] = e.into();
            let jwk: PrivateJwk = serde_json::from_value(weak).unwrap();
            assert_eq!(from_jwk(&jwk).err(), Some(ImportError::WrongSize));
        }
    }

    #[test]
    fn short_keys_and_other_exponents_are_refused() {
        assert_eq!(
            from_pem(include_bytes!("../../tests/keys/rsa1024.pem")).err(),
            Some(ImportError::WrongSize)
        );
        assert_eq!(
            from_pem(include_bytes!("../../tests/keys/rsa2048-e3.pem")).err(),
            Some(ImportError::WrongSize)
        );
        assert_eq!(
            from_pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").err(),
            Some(ImportError::Malformed)
        );
        assert_eq!(from_pem(b"").err(), Some(ImportError::Malformed));
    }

    const JWK: &str = include_str!("../../tests/keys/rsa2048.jwk.json");
    const PEM: &str = include_str!("../../tests/keys/rsa2048.pem");
}
