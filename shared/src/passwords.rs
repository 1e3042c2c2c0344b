//! Passwords and their verifiers: Argon2id (RFC 9106) with one set of parameters.
//!
//! The edge computes these parameters alone. A stored hash in any other form is not a [`Verifier`].

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use icu_normalizer::ComposingNormalizerBorrowed;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Invalid;
use crate::contract::limits::PASSWORD_BYTES;

/// Memory in KiB, passes and lanes: OWASP's first recommendation, 19 MiB, t = 2, p = 1.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The prefix of every verifier.
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// A password as NFKC (NIST SP 800-63B, section 3.1.1.2). No `Debug`, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// Normalises a typed password, without trimming.
    ///
    /// # Errors
    /// Empty, or more than 1,024 bytes before or after normalisation.
    pub fn parse(typed: &str) -> Result<Self, Invalid> {
        if typed.is_empty() || typed.len() > PASSWORD_BYTES {
            return Err(Invalid("password"));
        }
        let normal = Self(ComposingNormalizerBorrowed::new_nfkc().normalize(typed).into_owned());
        if normal.0.len() > PASSWORD_BYTES { Err(Invalid("password")) } else { Ok(normal) }
    }

    /// A password that replaces an impossible one, so that the work is the same.
    #[must_use]
    pub fn placeholder() -> Self {
        Self(String::from("placeholder"))
    }

    /// The normalised text, for the policy alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A password verifier: salt and Argon2id tag. No `Debug`; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Verifier {
    salt: [u8; SALT_BYTES],
    tag: [u8; TAG_BYTES],
}

impl Verifier {
    /// Parses the PHC string form with exactly Wardgate's parameters.
    ///
    /// # Errors
    /// Every other algorithm, version, parameter or length: such a hash is foreign.
    pub fn parse(phc: &str) -> Result<Self, Invalid> {
        let foreign = Invalid("Argon2id verifier with the current parameters");
        let (salt_text, tag_text) =
            phc.strip_prefix(PREFIX).and_then(|rest| rest.split_once('$')).ok_or(foreign)?;
        let mut verifier = Self { salt: [0; SALT_BYTES], tag: [0; TAG_BYTES] };
        let salt_size = STANDARD_NO_PAD.decode_slice(salt_text, &mut verifier.salt).map_err(|_| foreign)?;
        let tag_size = STANDARD_NO_PAD.decode_slice(tag_text, &mut verifier.tag).map_err(|_| foreign)?;
        if (salt_size, tag_size) == (SALT_BYTES, TAG_BYTES) { Ok(verifier) } else { Err(foreign) }
    }

    /// The PHC string form.
    #[must_use]
    pub fn to_phc(&self) -> Zeroizing<String> {
        let (salt, tag) = (STANDARD_NO_PAD.encode(self.salt), STANDARD_NO_PAD.encode(self.tag));
        Zeroizing::new(format!("{PREFIX}{salt}${tag}"))
    }

    /// A verifier for sign-ins with an unknown name: its tag is random bytes, so no known password matches.
    #[must_use]
    pub fn dummy(salt: [u8; SALT_BYTES], tag: [u8; TAG_BYTES]) -> Self {
        Self { salt, tag }
    }
}

/// The 19 MiB that a hash works in, kept between hashes: Wasm memory never shrinks, and a fresh
/// allocation a sign-in would be the larger part of its cost on a server.
pub struct Workspace(Vec<Block>);

impl Default for Workspace {
    fn default() -> Self {
        Self(vec![Block::default(); MEMORY_KIB as usize])
    }
}

impl Workspace {
    /// Makes the verifier of `password` with a random salt.
    #[must_use]
    pub fn hash(&mut self, password: &Password, salt: [u8; SALT_BYTES]) -> Verifier {
        Verifier { salt, tag: self.tag(password, &salt).unwrap_or_default() }
    }

    /// Whether `password` matches. Costs one hash in any case.
    #[must_use]
    pub fn verify(&mut self, password: &Password, verifier: &Verifier) -> bool {
        match self.tag(password, &verifier.salt) {
            Some(tag) => tag.ct_eq(&verifier.tag).into(),
            None => false,
        }
    }

    /// `None` cannot happen with these constants; callers treat it as a refusal.
    fn tag(&mut self, password: &Password, salt: &[u8]) -> Option<[u8; TAG_BYTES]> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(TAG_BYTES)).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut tag = [0; TAG_BYTES];
        argon2.hash_password_into_with_memory(password.0.as_bytes(), salt, &mut tag, &mut self.0).ok()?;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_satisfies_its_own_verifier_in_every_unicode_form() {
        let mut workspace = Workspace::default();
        let verifier = workspace.hash(&Password::parse("Å-horse").unwrap(), [1; 16]);
        let stored = Verifier::parse(&verifier.to_phc()).unwrap();
        assert!(workspace.verify(&Password::parse("A\u{30a}-horse").unwrap(), &stored));
        assert!(!workspace.verify(&Password::parse("Å-horse ").unwrap(), &stored));
        assert!(!workspace.verify(&Password::parse("Å-horse").unwrap(), &Verifier::dummy([1; 16], [0; 32])));
    }

    #[test]
    fn other_forms_are_foreign() {
        let verifier = Workspace::default().hash(&Password::parse("x").unwrap(), [1; 16]);
        let phc = verifier.to_phc();
        for foreign in [
            phc.replace("argon2id", "argon2i"),
            phc.replace("m=19456", "m=102400"),
            phc.replace("v=19", "v=16"),
            format!("{}A", phc.as_str()),
            "pbkdf2_sha256$1000000$salt$hash".to_owned(),
            String::new(),
        ] {
            assert!(Verifier::parse(&foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(Password::parse("").is_err());
        assert!(Password::parse(&"x".repeat(1024)).is_ok());
        assert!(Password::parse(&"x".repeat(1025)).is_err());
        // U+FDFA becomes 18 characters under NFKC.
        assert!(Password::parse(&"\u{fdfa}".repeat(300)).is_err());
    }

    /// RFC 9106, section 5.3: the library computes Argon2id as the standard does.
    #[test]
    fn argon2id_matches_rfc_9106() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../vectors/rfc9106_argon2id.json")).unwrap();
        let bytes = |name: &str| {
            let hex = vector[name].as_str().unwrap();
            (0..hex.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
                .collect::<Vec<_>>()
        };
        let params = argon2::ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(argon2::AssociatedData::new(&bytes("ad_hex")).unwrap())
            .build()
            .unwrap();
        let secret = bytes("secret_hex");
        let argon2 = Argon2::new_with_secret(&secret, Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let mut tag = [0; 32];
        argon2.hash_password_into(&bytes("password_hex"), &bytes("salt_hex"), &mut tag).unwrap();
        assert_eq!(tag.to_vec(), bytes("tag_hex"));
    }
}
