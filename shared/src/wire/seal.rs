//! Sealed values: secrets that control encrypts for one edge.
//!
//! AES-256-GCM with a random 96-bit nonce. The associated data names the edge, the key, the tenant, the kind and the
//! subject, so a value that is moved to another user, tenant, kind or edge cannot be unsealed. As text: `v1.<key
//! id>.<nonce>.<ciphertext>`, both in unpadded base64url.

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::Invalid;
use crate::derive::{Purpose, Secret, derive};
use crate::fields;
use crate::ids::TenantId;

/// Size of the nonce in bytes. 2^32 random nonces a key are safe (NIST SP 800-38D, section 8.3).
pub const NONCE_BYTES: usize = 12;

/// The kind of a sealed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signing key as PKCS#8 DER; subject: its key id.
    SigningKey,
    /// A `session` root; subject: its version in decimal.
    SessionRoot,
    /// A `lookup` root; subject: its version in decimal.
    LookupRoot,
    /// A password verifier as PHC string; subject: the user's id.
    Verifier,
    /// A verifier that no password satisfies; subject: empty.
    Dummy,
    /// The seed of an authenticator; subject: the authenticator's id.
    TotpSeed,
    /// The key of a user's recovery codes; subject: the user's id.
    RecoveryKey,
    /// The secret that a CAPTCHA service knows the tenant by; subject: the URL of the service, so that it is sent to no
    /// other one.
    CaptchaSecret,
    /// The client of a session, as JSON ([`crate::wire::client::ClientInfo`]); subject: the session's id. The edge
    /// seals it for itself, under [`EdgeKey::for_clients`].
    Client,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::SigningKey => "signing-key",
            Self::SessionRoot => "session-root",
            Self::LookupRoot => "lookup-root",
            Self::Verifier => "verifier",
            Self::Dummy => "dummy",
            Self::TotpSeed => "totp-seed",
            Self::RecoveryKey => "recovery-key",
            Self::CaptchaSecret => "captcha-secret",
            Self::Client => "client",
        }
    }
}

/// The context of a sealed value.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The edge that may open it.
    pub edge: &'a str,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its kind.
    pub kind: Kind,
    /// The subject; see [`Kind`].
    pub subject: &'a str,
}

impl Context<'_> {
    /// The associated data under the key named `key_id`.
    #[must_use]
    pub fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let kind = self.kind.label().as_bytes();
        let list: [&[u8]; 6] = [
            self.edge.as_bytes(),
            key_id.as_bytes(),
            self.tenant.as_bytes(),
            kind,
            self.subject.as_bytes(),
            b"1",
        ];
        fields::encode("seal/v1", &list)
    }
}

/// An edge's key-encryption key and its name. No `Debug`.
#[derive(Clone)]
pub struct EdgeKey {
    id: String,
    key: Secret,
}

impl EdgeKey {
    /// Parses `<key id>:<32 bytes in base64url>`, the form of the settings.
    ///
    /// # Errors
    /// Another form, another length, or a name with other characters than `[A-Za-z0-9_-]`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (id, key) = parse_named_key(text)?;
        Ok(Self { id, key })
    }

    /// The key's name, as sealed values carry it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key with which the edge seals the clients of a tenant's sessions: derived, with the same id, because each
    /// sign-in seals once and a key may be used for 2^32 nonces.
    #[must_use]
    pub fn for_clients(&self, tenant: TenantId) -> Self {
        Self { id: self.id.clone(), key: derive(&self.key, tenant, Purpose::Client) }
    }

    /// The key, for importing it into another implementation of AES-GCM.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.key
    }
}

/// Parses `<name>:<32 bytes in base64url>`: the form of every key in the settings.
///
/// # Errors
/// Another form, another length, or a name that is not 1 to 32 of `[A-Za-z0-9_-]`.
pub fn parse_named_key(text: &str) -> Result<(String, Secret), Invalid> {
    let invalid = Invalid("key of the form <key id>:<32 bytes in base64url>");
    let (id, encoded) = text.split_once(':').ok_or(invalid)?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| invalid)?);
    let named = !id.is_empty()
        && id.len() <= 32
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    match Secret::from_slice(&bytes) {
        Some(secret) if named => Ok((id.to_owned(), secret)),
        _ => Err(invalid),
    }
}

/// A sealed value, taken apart but not opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    key_id: String,
    nonce: [u8; NONCE_BYTES],
    ciphertext: Vec<u8>,
}

/// The value cannot be unsealed: the key is missing, the context differs, or it was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value does not open here")]
pub struct DoesNotOpen;

impl Sealed {
    /// Seals `plaintext` for `context` under `key`. The nonce must be fresh and random.
    ///
    /// # Errors
    /// Only for a plaintext of 64 GiB and more.
    pub fn seal(
        key: &EdgeKey,
        context: &Context<'_>,
        nonce: [u8; NONCE_BYTES],
        plaintext: &[u8],
    ) -> Result<Self, DoesNotOpen> {
        let aad = context.associated_data(&key.id);
        let cipher = Aes256Gcm::new(key.key.expose().into());
        let payload = Payload { msg: plaintext, aad: &aad };
        let ciphertext = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| DoesNotOpen)?;
        Ok(Self { key_id: key.id.clone(), nonce, ciphertext })
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// Another version, shape or alphabet.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("sealed value");
        let mut parts = text.split('.');
        let (Some("v1"), Some(key_id), Some(nonce_text), Some(ciphertext_text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid);
        };
        let nonce_bytes = URL_SAFE_NO_PAD.decode(nonce_text).map_err(|_| invalid)?;
        let nonce = nonce_bytes.try_into().map_err(|_| invalid)?;
        let ciphertext = URL_SAFE_NO_PAD.decode(ciphertext_text).map_err(|_| invalid)?;
        Ok(Self { key_id: key_id.to_owned(), nonce, ciphertext })
    }

    /// Unseals the value with the key of `keys` that it names.
    ///
    /// # Errors
    /// No such key, another context, or altered bytes: the same error.
    pub fn open(&self, keys: &[EdgeKey], context: &Context<'_>) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let key = keys.iter().find(|key| key.id == self.key_id).ok_or(DoesNotOpen)?;
        let aad = context.associated_data(&self.key_id);
        let cipher = Aes256Gcm::new(key.key.expose().into());
        let payload = Payload { msg: &self.ciphertext, aad: &aad };
        cipher.decrypt(&Nonce::from(self.nonce), payload).map(Zeroizing::new).map_err(|_| DoesNotOpen)
    }

    /// The name of the key that opens it.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The nonce.
    #[must_use]
    pub fn nonce(&self) -> &[u8; NONCE_BYTES] {
        &self.nonce
    }

    /// Ciphertext and tag.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nonce, ciphertext) =
            (URL_SAFE_NO_PAD.encode(self.nonce), URL_SAFE_NO_PAD.encode(&self.ciphertext));
        write!(f, "v1.{}.{nonce}.{ciphertext}", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn key(id: &str, byte: u8) -> EdgeKey {
        EdgeKey::parse(&format!("{id}:{}", URL_SAFE_NO_PAD.encode([byte; 32]))).unwrap()
    }

    fn context(subject: &str) -> Context<'_> {
        Context { edge: "edge-1", tenant: TenantId::parse(TENANT).unwrap(), kind: Kind::Verifier, subject }
    }

    /// Made with Python's `cryptography`.
    #[test]
    fn the_text_form_matches_the_vector() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/seal.json")).unwrap();
        let sealed = Sealed::seal(&key("a1", 9), &context("ada"), [3; 12], b"secret").unwrap();
        assert_eq!(sealed.to_string(), vector["sealed"].as_str().unwrap());
    }

    #[test]
    fn moved_values_do_not_open() {
        let (a, b) = (key("a", 1), key("b", 2));
        let sealed = Sealed::seal(&a, &context("ada"), [0; 12], b"secret").unwrap();
        let keys = [b.clone(), a.clone()];
        assert_eq!(sealed.open(&keys, &context("ada")).unwrap().as_slice(), b"secret");
        let elsewhere = TenantId::new(1, [1; 10]);
        for wrong in [
            context("bob"),
            Context { edge: "edge-2", ..context("ada") },
            Context { kind: Kind::Dummy, ..context("ada") },
            Context { tenant: elsewhere, ..context("ada") },
        ] {
            assert!(sealed.open(&keys, &wrong).is_err());
        }
        assert!(sealed.open(&[b], &context("ada")).is_err());
        assert!(sealed.open(&[key("a", 3)], &context("ada")).is_err());
    }

    #[test]
    fn short_and_nameless_keys_are_refused() {
        let short = URL_SAFE_NO_PAD.encode([1; 31]);
        let long = URL_SAFE_NO_PAD.encode([1; 32]);
        for bad in
            [format!("a:{short}"), format!(":{long}"), long.clone(), format!("a b:{long}"), String::new()]
        {
            assert!(EdgeKey::parse(&bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn the_parser_accepts_what_it_prints_and_never_panics(text in "(v1\\.)?[a-z.]{0,40}|\\PC{0,40}") {
            if let Ok(sealed) = Sealed::parse(&text) { prop_assert_eq!(sealed.to_string(), text); }
        }

        #[test]
        fn every_flipped_bit_is_seen(at in 0usize..22, bit in 0u8..8) {
            let a = key("a", 1);
            let mut sealed = Sealed::seal(&a, &context("ada"), [0; 12], b"secret").unwrap();
            sealed.ciphertext[at] ^= 1 << bit;
            prop_assert!(sealed.open(&[a], &context("ada")).is_err());
        }
    }
}
