//! Opaque credentials: a prefix for their kind, and 32 random bytes in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Parses a credential with `prefix`; `None` for any other text.
pub(super) fn parse(prefix: &str, unverified: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let length = URL_SAFE_NO_PAD.decode_slice(unverified.strip_prefix(prefix)?, &mut bytes).ok()?;
    (length == bytes.len()).then_some(bytes)
}

/// The credential as its owner gets it.
pub(super) fn to_text(prefix: &str, bytes: &[u8; 32]) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The stored digest of a credential: SHA-256 in base64url. It has 256 random bits, so the hash needs no key.
pub(super) fn digest(bytes: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}
