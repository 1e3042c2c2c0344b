//! The part of an audit entry that may tell of a user, as it is stored: the client's address and the details.
//!
//! The chain hashes the stored bytes and does not look into them, so a sealed form can stand beside the clear
//! one: it is another first byte here, and no other file changes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;

/// JSON in clear.
const CLEAR: u8 = 0;

/// What an entry keeps of the call and of what was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The client's address, as the edge saw it.
    pub client: Option<String>,
    /// Names of fields and states, never values of personal data.
    pub details: Value,
}

impl Body {
    /// The bytes that are stored and hashed.
    ///
    /// # Errors
    /// None for what JSON can hold.
    pub fn close(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![CLEAR];
        serde_json::to_writer(&mut bytes, self).map_err(|_| Failure::Unreadable("audit entry"))?;
        Ok(bytes)
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for another form.
    pub fn open(bytes: &[u8]) -> Result<Self, Failure> {
        let clear = bytes.strip_prefix(&[CLEAR]);
        let opened = clear.and_then(|clear| serde_json::from_slice(clear).ok());
        opened.ok_or(Failure::Unreadable("audit entry"))
    }

    /// What the address is found by, if there is one.
    #[must_use]
    pub fn client_key(&self) -> Option<String> {
        self.client.as_deref().map(client_key)
    }
}

/// What entries of a client's address have in their column `client_key`.
#[must_use]
pub fn client_key(address: &str) -> String {
    address.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_closed_opens_and_nothing_else_does() {
        let body = Body { client: Some("192.0.2.7".into()), details: json!({"from": "active"}) };
        let bytes = body.close().unwrap();
        assert_eq!(bytes, b"\0{\"client\":\"192.0.2.7\",\"details\":{\"from\":\"active\"}}");
        assert_eq!(Body::open(&bytes).unwrap(), body);
        for other in [&b""[..], b"\0", b"\x01{}", &bytes[1..]] {
            assert!(Body::open(other).is_err());
        }
    }
}
