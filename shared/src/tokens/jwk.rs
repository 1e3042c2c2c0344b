//! RSA public keys: JWK (RFC 7517), thumbprint (RFC 7638) and PEM.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs1::der::asn1::{BitStringRef, Null, UintRef};
use pkcs1::der::pem::{self, LineEnding};
use pkcs1::der::{Decode as _, Encode as _, EncodePem as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo, SubjectPublicKeyInfoOwned};

use crate::Invalid;
use crate::ids::KeyId;

/// 65537, the one public exponent that is accepted.
const EXPONENT: &str = "AQAB";
/// 2048, 3072 and 4096 bits, in bytes.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// An RSA public key of 2048 to 4096 bits with e = 65537.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct PublicKey {
    n: String,
    modulus: Vec<u8>,
}

/// `n` and `e` in base64url, as RFC 7518, section 6.3.1, has them.
#[derive(Serialize, Deserialize)]
struct Parts {
    n: String,
    e: String,
}

/// One entry of a JWKS, with the members in the contract's order.
#[derive(Clone, Debug, Serialize)]
pub struct Jwk<'a> {
    kty: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: &'a KeyId,
    n: &'a str,
    e: &'static str,
}

impl PublicKey {
    /// Takes `n` and `e` in base64url.
    ///
    /// # Errors
    /// A modulus under 2048 or over 4096 bits or with leading zeros, or e other than 65537.
    pub fn parse(n: &str, e: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("RSA public key of 2048 to 4096 bits with e = 65537");
        let modulus = URL_SAFE_NO_PAD.decode(n).map_err(|_| invalid)?;
        let full = modulus.first().is_some_and(|first| first & 0x80 != 0);
        let odd = modulus.last().is_some_and(|last| last & 1 == 1);
        if e == EXPONENT && full && odd && MODULUS_BYTES.contains(&modulus.len()) {
            Ok(Self { n: n.to_owned(), modulus })
        } else {
            Err(invalid)
        }
    }

    /// Takes the big-endian bytes of `n` and `e`.
    ///
    /// # Errors
    /// As [`PublicKey::parse`].
    pub fn from_bytes(n: &[u8], e: &[u8]) -> Result<Self, Invalid> {
        Self::parse(&URL_SAFE_NO_PAD.encode(n), &URL_SAFE_NO_PAD.encode(e))
    }

    /// Takes SubjectPublicKeyInfo in PEM, as `openssl pkey -pubout` writes it, or PKCS#1 (`RSA PUBLIC KEY`).
    ///
    /// # Errors
    /// Anything else, and as [`PublicKey::parse`].
    pub fn from_pem(text: &str) -> Result<Self, Invalid> {
        match pem::decode_vec(text.trim().as_bytes()) {
            Ok(("PUBLIC KEY", der)) => Self::from_spki_der(&der),
            Ok(("RSA PUBLIC KEY", der)) => Self::from_pkcs1_der(&der),
            Ok(_) | Err(_) => Err(Invalid("RSA public key in PEM")),
        }
    }

    /// Takes SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// Anything else, and as [`PublicKey::parse`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Invalid> {
        let invalid = Invalid("RSA public key");
        let spki = SubjectPublicKeyInfoOwned::from_der(der).map_err(|_| invalid)?;
        if spki.algorithm.oid != pkcs1::ALGORITHM_OID {
            return Err(invalid);
        }
        Self::from_pkcs1_der(spki.subject_public_key.as_bytes().ok_or(invalid)?)
    }

    /// Takes RSAPublicKey in DER (RFC 8017, section A.1.1).
    fn from_pkcs1_der(der: &[u8]) -> Result<Self, Invalid> {
        let invalid = Invalid("RSA public key");
        let key = pkcs1::RsaPublicKey::<UintRef<'_>>::from_der(der).map_err(|_| invalid)?;
        Self::from_bytes(key.modulus.as_bytes(), key.public_exponent.as_bytes())
    }

    /// `n` in base64url.
    #[must_use]
    pub fn n(&self) -> &str {
        &self.n
    }

    /// `e` in base64url.
    #[must_use]
    pub fn e(&self) -> &'static str {
        EXPONENT
    }

    /// The big-endian bytes of the modulus.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// Size of the modulus in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.modulus.len() * 8
    }

    /// The RFC 7638 thumbprint: SHA-256 over the required members in lexical order.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        // All values are base64url or constants, so no JSON escaping is needed.
        let members = format!(r#"{{"e":"{EXPONENT}","kty":"RSA","n":"{}"}}"#, self.n);
        KeyId::of_digest(&Sha256::digest(members))
    }

    /// The entry of a JWKS.
    #[must_use]
    pub fn to_jwk<'a>(&'a self, kid: &'a KeyId) -> Jwk<'a> {
        Jwk { kty: "RSA", usage: "sig", alg: "RS256", kid, n: &self.n, e: EXPONENT }
    }

    /// SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// Not for a key that was parsed.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, Invalid> {
        self.with_spki(|spki| spki.to_der())
    }

    /// SubjectPublicKeyInfo in PEM (RFC 7468, section 13), with a final line feed.
    ///
    /// # Errors
    /// Not for a key that was parsed.
    pub fn to_pem(&self) -> Result<String, Invalid> {
        self.with_spki(|spki| spki.to_pem(LineEnding::LF))
    }

    fn with_spki<T>(
        &self,
        encode: impl FnOnce(&SubjectPublicKeyInfo<Null, BitStringRef<'_>>) -> Result<T, pkcs1::der::Error>,
    ) -> Result<T, Invalid> {
        let encoded = || {
            let modulus = UintRef::new(&self.modulus)?;
            let public_exponent = UintRef::new(&[1, 0, 1])?;
            let key = pkcs1::RsaPublicKey { modulus, public_exponent }.to_der()?;
            let algorithm = AlgorithmIdentifier { oid: pkcs1::ALGORITHM_OID, parameters: Some(Null) };
            encode(&SubjectPublicKeyInfo { algorithm, subject_public_key: BitStringRef::from_bytes(&key)? })
        };
        encoded().map_err(|_| Invalid("RSA public key"))
    }
}

impl TryFrom<Parts> for PublicKey {
    type Error = Invalid;
    fn try_from(parts: Parts) -> Result<Self, Invalid> {
        Self::parse(&parts.n, &parts.e)
    }
}

impl From<PublicKey> for Parts {
    fn from(key: PublicKey) -> Self {
        Self { n: key.n, e: EXPONENT.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_matches_rfc_7638() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/rfc7638_thumbprint.json")).unwrap();
        let text = |name: &str| vector["jwk"][name].as_str().unwrap();
        let key = PublicKey::parse(text("n"), text("e")).unwrap();
        assert_eq!(key.key_id().as_str(), vector["thumbprint_sha256_b64u"].as_str().unwrap());
        assert_eq!(key.bits(), 2048);
        // Made by `openssl pkey -pubin` from the same key.
        assert_eq!(key.to_pem().unwrap(), include_str!("../../vectors/rfc7638_public.pem"));
        assert_eq!(PublicKey::from_pem(include_str!("../../vectors/rfc7638_public.pem")), Ok(key));
    }

    #[test]
    fn what_is_no_public_key_in_pem_is_refused() {
        let pem = include_str!("../../vectors/rfc7638_public.pem");
        for other in [
            "",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            &pem.replace("PUBLIC", "PRIVATE"),
        ] {
            assert!(PublicKey::from_pem(other).is_err(), "{other}");
        }
    }

    #[test]
    fn weak_keys_are_refused() {
        let long = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let short = URL_SAFE_NO_PAD.encode([0xff; 255]);
        let padded = URL_SAFE_NO_PAD.encode([&[0][..], &[0xff; 256]].concat());
        assert!(PublicKey::parse(&long, "AQAB").is_ok());
        assert!(PublicKey::parse(&long, "Aw").is_err());
        assert!(PublicKey::parse(&short, "AQAB").is_err());
        assert!(PublicKey::parse(&padded, "AQAB").is_err());
    }
}
