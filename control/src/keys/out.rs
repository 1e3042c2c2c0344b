//! A key in an answer: never its bytes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::ids::KeyId;
use utoipa::ToSchema;

use super::model::Key;

/// A signing key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyOut {
    /// RFC 7638 thumbprint.
    #[schema(value_type = String)]
    pub kid: KeyId,
    /// `next`, `active`, `retired`, `revoked` or `removed`.
    pub state: &'static str,
    /// When it was created or imported.
    #[serde(serialize_with = "crate::http::time::micros")]
    pub created_at: DateTime<Utc>,
    /// When it begins to sign.
    #[schema(required)]
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub sign_from: Option<DateTime<Utc>>,
    /// When the edge deletes it: a retired key then leaves the published key set, a revoked one the list of refused keys.
    #[schema(required)]
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub remove_at: Option<DateTime<Utc>>,
    /// When it was revoked or removed.
    #[schema(required)]
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub ended_at: Option<DateTime<Utc>>,
}

/// All keys of a tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Keys)]
pub struct KeysOut {
    /// Oldest first.
    pub keys: Vec<KeyOut>,
}

impl From<Key> for KeyOut {
    fn from(key: Key) -> Self {
        Self {
            kid: key.kid,
            state: key.state.as_str(),
            created_at: key.created_at,
            sign_from: key.sign_from,
            remove_at: key.remove_at,
            ended_at: key.ended_at,
        }
    }
}
