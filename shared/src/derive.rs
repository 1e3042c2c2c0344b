//! Keys that are derived from a tenant's roots, and the MACs made with them.
//!
//! HKDF-SHA-256 (RFC 5869): salt = the tenant's id, info = `wardgate/v1/<label>`. A root is never used as a MAC key
//! itself, and every MAC input is a list from [`crate::fields`] that begins with its label.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::fields;
use crate::identifiers::Identifier;
use crate::ids::{self, SessionId, TenantId, UserId};

/// 32 secret bytes. No `Debug`, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes a slice, if it has 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes. The caller must not keep a copy.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The use of a derived key. Its label is part of the derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs refresh tokens; from the session root.
    Refresh,
    /// CSRF values of sessions; from the session root.
    Csrf,
    /// MACs of device cookies; from the session root.
    Device,
    /// Hashes user names and addresses; from the lookup root.
    Identifier,
    /// Hashes names for the attempt counter; from the lookup root.
    Attempt,
    /// Signs the cursors of lists; from the lookup root.
    Cursor,
    /// Marks requests that must happen once; from the lookup root.
    Idempotency,
    /// Hashes in the search index; from the search root, which only control has.
    Search,
    /// Digests by which an import detects changes; from the import root, which only control has.
    Import,
    /// Hashes addresses and users for the counters of mails; from the lookup root.
    MailCount,
    /// Hashes clients' addresses in the audit log; from the key of that log.
    AuditClient,
    /// Seals the clients of sessions at the edge; from the edge's key-encryption key.
    Client,
    /// Hashes devices and countries that a user signed in from; from the import root, which no rotation changes.
    SeenDevice,
}

impl Purpose {
    fn info(self) -> &'static str {
        match self {
            Self::Refresh => "wardgate/v1/refresh",
            Self::Csrf => "wardgate/v1/csrf",
            Self::Device => "wardgate/v1/device",
            Self::Identifier => "wardgate/v1/identifier",
            Self::Attempt => "wardgate/v1/attempt",
            Self::Cursor => "wardgate/v1/cursor",
            Self::Idempotency => "wardgate/v1/idempotency",
            Self::Search => "wardgate/v1/search",
            Self::Import => "wardgate/v1/import",
            Self::MailCount => "wardgate/v1/mail-count",
            Self::AuditClient => "wardgate/v1/audit-client",
            Self::Client => "wardgate/v1/client",
            Self::SeenDevice => "wardgate/v1/seen-device",
        }
    }
}

/// Derives the key for `purpose` from a root of `tenant`.
#[must_use]
pub fn derive(root: &Secret, tenant: TenantId, purpose: Purpose) -> Secret {
    let mut key = [0; 32];
    // 32 bytes is one block of SHA-256, so the expansion cannot be too long.
    let _ = Hkdf::<Sha256>::new(Some(tenant.as_bytes()), root.expose())
        .expand(purpose.info().as_bytes(), &mut key);
    Secret::new(key)
}

/// HMAC-SHA-256 of a labelled list of fields.
#[must_use]
pub fn mac(key: &Secret, label: &str, list: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else {
        // HMAC takes keys of every length (RFC 2104, section 3).
        return [0; 32];
    };
    mac.update(&fields::encode(label, list));
    mac.finalize().into_bytes().into()
}

/// The keyed hash by which both sides find a user: the same for a user name and an address.
#[must_use]
pub fn identifier_hash(identifier_key: &Secret, tenant: TenantId, identifier: &Identifier) -> [u8; 32] {
    mac(identifier_key, "identifier/v1", &[tenant.as_bytes(), identifier.as_str().as_bytes()])
}

/// The keyed hash under which wrong passwords are counted. `name` is the canonical identifier, or
/// the raw name where it has no canonical form.
#[must_use]
pub fn attempt_hash(attempt_key: &Secret, tenant: TenantId, name: &str) -> [u8; 32] {
    mac(attempt_key, "attempt/v1", &[tenant.as_bytes(), name.as_bytes()])
}

/// The keyed hash under which wrong passwords of a step-up are counted, derived from the user's id.
#[must_use]
pub fn step_up_attempt_hash(attempt_key: &Secret, tenant: TenantId, user: UserId) -> [u8; 32] {
    mac(attempt_key, "step-up/v1", &[tenant.as_bytes(), user.as_bytes()])
}

/// The keyed hash by which a legacy token's `user_id` leads to a user: the number and its text are
/// one id, and so are the spellings of a UUID.
#[must_use]
pub fn legacy_user_hash(identifier_key: &Secret, tenant: TenantId, id: &str) -> [u8; 32] {
    let canonical = ids::uuid(id).map(|uuid| uuid.hyphenated().to_string());
    let id = canonical.as_deref().unwrap_or(id);
    mac(identifier_key, "legacy-user/v1", &[tenant.as_bytes(), id.as_bytes()])
}

/// The keyed hash by which an outstanding legacy refresh token leads to a user.
#[must_use]
pub fn legacy_token_hash(identifier_key: &Secret, tenant: TenantId, jti: &str) -> [u8; 32] {
    mac(identifier_key, "legacy-token/v1", &[tenant.as_bytes(), jti.as_bytes()])
}

/// The family id of a legacy refresh token, derived from its `jti`. It is not a secret, so it needs no key and does
/// not change with a root.
#[must_use]
pub fn legacy_family(tenant: TenantId, shard: u8, jti: &str) -> SessionId {
    legacy_name("legacy-family/v1", tenant, shard, jti)
}

/// The session id of a legacy access token. There is no family with this id until a sign-out with the token creates
/// one, ended, which then denies the token.
#[must_use]
pub fn legacy_session(tenant: TenantId, shard: u8, jti: &str) -> SessionId {
    legacy_name("legacy-session/v1", tenant, shard, jti)
}

fn legacy_name(label: &str, tenant: TenantId, shard: u8, jti: &str) -> SessionId {
    let digest = Sha256::digest(fields::encode(label, &[tenant.as_bytes(), jti.as_bytes()]));
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(digest) {
        *to = from;
    }
    SessionId::new(shard, name)
}

/// The value of `X-CSRFToken` beside the cookies of session `sid`: 43 characters of base64url.
#[must_use]
pub fn csrf_value(csrf_key: &Secret, tenant: TenantId, sid: SessionId) -> String {
    URL_SAFE_NO_PAD.encode(mac(csrf_key, "csrf/v1", &[tenant.as_bytes(), sid.to_string().as_bytes()]))
}

/// Whether `presented` is that value, compared in constant time.
#[must_use]
pub fn csrf_holds(csrf_key: &Secret, tenant: TenantId, sid: SessionId, presented: &str) -> bool {
    csrf_value(csrf_key, tenant, sid).as_bytes().ct_eq(presented.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Computed with Python's `hmac` and `hashlib` by RFC 5869's two steps.
    #[test]
    fn derivation_matches_the_vectors() {
        let root = Secret::new([0x0b; 32]);
        let tenant = TenantId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../vectors/derive.json")).unwrap();
        for (purpose, name) in [
            (Purpose::Refresh, "refresh"),
            (Purpose::Csrf, "csrf"),
            (Purpose::Device, "device"),
            (Purpose::Identifier, "identifier"),
            (Purpose::Attempt, "attempt"),
            (Purpose::Cursor, "cursor"),
            (Purpose::Idempotency, "idempotency"),
            (Purpose::Search, "search"),
            (Purpose::Import, "import"),
            (Purpose::AuditClient, "audit-client"),
        ] {
            assert_eq!(
                hex(derive(&root, tenant, purpose).expose()),
                vectors[name].as_str().unwrap(),
                "{name}"
            );
        }
        let ada = Identifier::parse("Ada@Example.ORG").unwrap();
        let key = derive(&root, tenant, Purpose::Identifier);
        let csrf = derive(&root, tenant, Purpose::Csrf);
        let sid = SessionId::new(3, [7; 16]);
        assert_eq!(sid.to_string(), vectors["sid"].as_str().unwrap());
        assert_eq!(csrf_value(&csrf, tenant, sid), vectors["csrf_value"].as_str().unwrap());
        assert_eq!(hex(&identifier_hash(&key, tenant, &ada)), vectors["identifier_hash"].as_str().unwrap());
        assert_eq!(hex(&legacy_user_hash(&key, tenant, "17")), vectors["legacy_user_hash"].as_str().unwrap());
        let old = "0190a5da-c967-74bb-cceb-302099a8057f";
        for spelled in [old.to_uppercase(), old.replace('-', ""), format!("{{{old}}}")] {
            let hash = legacy_user_hash(&key, tenant, &spelled);
            assert_eq!(hash, legacy_user_hash(&key, tenant, old), "{spelled}");
        }
        let jti = "ca3d3b2f4f9c4d3a8f0f6f8f2b1c0d9e";
        assert_eq!(
            hex(&legacy_token_hash(&key, tenant, jti)),
            vectors["legacy_token_hash"].as_str().unwrap()
        );
        let user = UserId::parse(vectors["user"].as_str().unwrap()).unwrap();
        let attempt = derive(&root, tenant, Purpose::Attempt);
        let step_up = step_up_attempt_hash(&attempt, tenant, user);
        assert_eq!(hex(&step_up), vectors["step_up_attempt_hash"].as_str().unwrap());
        for (sid, name) in [
            (legacy_family(tenant, 3, jti), "legacy_family"),
            (legacy_session(tenant, 3, jti), "legacy_session"),
        ] {
            assert_eq!(sid.to_string(), vectors[name].as_str().unwrap(), "{name}");
        }
    }

    #[test]
    fn a_csrf_value_is_good_beside_its_own_session_alone() {
        let tenants = [1, 2].map(|fill| TenantId::new(1, [fill; 10]));
        let sids = [1, 2].map(|fill| SessionId::new(0, [fill; 16]));
        let key = Secret::new([1; 32]);
        let value = csrf_value(&key, tenants[0], sids[0]);
        assert!(csrf_holds(&key, tenants[0], sids[0], &value));
        assert!(!csrf_holds(&key, tenants[1], sids[0], &value));
        assert!(!csrf_holds(&key, tenants[0], sids[1], &value));
        assert!(!csrf_holds(&Secret::new([2; 32]), tenants[0], sids[0], &value));
        for bad in ["", &value[1..], &format!("{value}="), &value.to_ascii_lowercase()] {
            assert!(!csrf_holds(&key, tenants[0], sids[0], bad), "{bad}");
        }
    }
}
