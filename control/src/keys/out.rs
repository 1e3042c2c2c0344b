//! A key in an answer: never its bytes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::ids::KeyId;

use super::model::Key;

/// The contract's form.
#[derive(Debug, Serialize)]
pub struct KeyOut {
    /// RFC 7638 thumbprint.
    pub kid: KeyId,
    /// Its state.
    pub state: &'static str,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    /// From when it signs.
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub sign_from: Option<DateTime<Utc>>,
    /// When it leaves the published set.
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub remove_at: Option<DateTime<Utc>>,
}

impl From<Key> for KeyOut {
    fn from(key: Key) -> Self {
        Self {
            kid: key.kid,
            state: key.state.as_str(),
            created_at: key.created_at,
            sign_from: key.sign_from,
            remove_at: key.remove_at,
        }
    }
}
