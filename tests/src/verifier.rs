//! An offline verifier: what a resource server does with nothing but the published keys, by a
//! library that the edge does not use. And a signer, for tenants whose key a test has made itself.

use std::collections::HashMap;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::tokens::jwk::PublicKey;

/// A key set, as it was fetched.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, (Vec<u8>, Vec<u8>)>);

/// The two JSON parts of a token.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
}

impl KeySet {
    /// Reads a JWKS.
    ///
    /// # Panics
    /// Where a member is not what RFC 7517 and RFC 7518 say.
    #[must_use]
    pub fn of(jwks: &Value) -> Self {
        let keys = jwks["keys"].as_array().expect("keys").iter().map(|key| {
            assert_eq!(
                (key["kty"].as_str(), key["use"].as_str(), key["alg"].as_str()),
                (Some("RSA"), Some("sig"), Some("RS256"))
            );
            let bytes = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().expect(name)).expect(name);
            (key["kid"].as_str().expect("kid").to_owned(), (bytes("n"), bytes("e")))
        });
        Self(keys.collect())
    }

    /// The key ids.
    #[must_use]
    pub fn kids(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Verifies a token's signature under the key that its header names.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn verify(&self, token: &str) -> Result<Opened, &'static str> {
        let opened = open(token);
        let kid = opened.header["kid"].as_str().ok_or("no kid")?;
        let (n, e) = self.0.get(kid).ok_or("no such key in the set")?;
        let (signed, signature) = split(token);
        let key = PublicKeyComponents { n, e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .map_err(|_| "the signature does not hold")?;
        Ok(opened)
    }
}

/// Verifies a token's signature under a key in PEM, as clients of the old service do.
///
/// # Panics
/// For a text that is no PEM.
#[must_use]
pub fn holds_under_pem(token: &str, pem: &str) -> bool {
    let lines = pem.trim().lines();
    let (mut inside, mut der) = (false, String::new());
    for line in lines {
        match line {
            "-----BEGIN PUBLIC KEY-----" => inside = true,
            "-----END PUBLIC KEY-----" => inside = false,
            _ if inside => der.push_str(line),
            _ => panic!("a line outside the armour: {line}"),
        }
    }
    let der = STANDARD.decode(der).expect("base64 within the armour");
    let (signed, signature) = split(token);
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(signed.as_bytes(), &signature).is_ok()
}

fn split(token: &str) -> (&str, Vec<u8>) {
    let (signed, signature) = token.rsplit_once('.').expect("a compact JWS");
    (signed, URL_SAFE_NO_PAD.decode(signature).expect("a signature in base64url"))
}

/// Reads a token without judging it.
///
/// # Panics
/// Where it is no JWT.
#[must_use]
pub fn open(token: &str) -> Opened {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let mut json =
        || serde_json::from_slice(&parts.next().expect("a part").expect("base64url")).expect("JSON");
    Opened { header: json(), claims: json() }
}

/// A signing key of our own.
pub struct Signer {
    pair: KeyPair,
    kid: String,
}

impl Signer {
    /// Makes one of 2048 bits.
    ///
    /// # Panics
    /// Where the library fails.
    #[must_use]
    pub fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key pair");
        let public = pair.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let public =
            PublicKey::from_bytes(n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        let kid = public.expect("a key that the product takes").key_id().to_string();
        Self { pair, kid }
    }

    /// Its thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// PKCS#8 in PEM, as it is imported.
    ///
    /// # Panics
    /// Where the library fails.
    #[must_use]
    pub fn pem(&self) -> String {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().expect("PKCS#8");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    /// A token with these claims.
    ///
    /// # Panics
    /// Where the library fails.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.kid});
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let rng = aws_lc_rs::rand::SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &rng, signed.as_bytes(), &mut signature).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
