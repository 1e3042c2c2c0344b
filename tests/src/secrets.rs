//! Keys and passwords of one stack, made at its start.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::wire::signature::ServiceKey;

/// All of them. Each key is `<key id>:<32 bytes in base64url>`.
pub struct Secrets {
    /// Opens at the edge what control seals.
    pub edge_kek: String,
    /// Wraps the keys in PostgreSQL.
    pub control_kek: String,
    /// Signs what the edge forwards.
    pub edge_service: String,
    /// Signs what control pushes.
    pub control_service: String,
    /// Signs checkpoints of the audit logs.
    pub audit_checkpoint: String,
    /// Of the database's login roles.
    pub database_password: String,
    /// Of the platform's first administrator.
    pub operator_password: String,
}

impl Secrets {
    /// New ones.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            edge_kek: named_key("edge-kek"),
            control_kek: named_key("control-kek"),
            edge_service: named_key("edge"),
            control_service: named_key("control"),
            audit_checkpoint: named_key("audit"),
            database_password: password(),
            operator_password: password(),
        }
    }
}

/// A random key that no part of the stack has, under `name`.
#[must_use]
pub fn named_key(name: &str) -> String {
    format!("{name}:{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// A password that every policy takes.
#[must_use]
pub fn password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The signer of a key.
///
/// # Panics
/// For a text that is no key.
#[must_use]
pub fn signer(key: &str) -> ServiceKey {
    ServiceKey::parse(key).expect("a named key of 32 bytes")
}
