//! Cursors: encrypted positions in a list, which a client can neither read nor invent.
//!
//! A cursor holds the order values and the id of the last row of a page. The next page begins after these values,
//! even if the row was changed or deleted, so inserted and deleted rows cause neither repeats nor gaps. The values
//! may be names of users, and cursors appear in logs and browser histories, so they are encrypted. A cursor is bound
//! to the tenant and to all other parameters.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::contract::refusal::Refusal;
use shared::derive::{Purpose, Secret};
use shared::fields;
use shared::ids::TenantId;
use uuid::Uuid;

use crate::crypt::lookup;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::world::random;

/// The row at which a page ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The values that the list is ordered by, as text.
    #[serde(rename = "k")]
    pub keys: Vec<String>,
    /// The row's id, which orders rows whose values are equal.
    #[serde(rename = "i")]
    pub id: Uuid,
}

/// Where to go from a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    #[serde(flatten)]
    pub from: Position,
    /// Towards the beginning of the list.
    #[serde(rename = "b")]
    pub back: bool,
}

/// Seals and opens the cursors of one query of one tenant.
pub(super) struct CursorKey {
    key: Secret,
    tenant: TenantId,
    query: String,
}

impl CursorKey {
    /// `query` is all that was asked for, but for the cursor.
    pub async fn of(tx: &mut TenantTx, query: String) -> Result<Self, Failure> {
        Ok(Self { key: lookup::key(tx, Purpose::Cursor).await?, tenant: tx.tenant(), query })
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.key.expose()).ok().map(LessSafeKey::new)
    }

    fn associated_data(&self) -> Aad<Vec<u8>> {
        Aad::from(fields::encode("cursor/v1", &[self.tenant.as_bytes(), self.query.as_bytes()]))
    }

    /// The text of a cursor.
    pub fn seal(&self, cursor: &Cursor) -> Result<String, Failure> {
        let mut bytes = serde_json::to_vec(cursor).map_err(|_| Failure::Unreadable("cursor"))?;
        let failed = || Failure::Crypto("sealing a cursor");
        let nonce: [u8; NONCE_LEN] = random()?;
        self.cipher()
            .ok_or_else(failed)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), self.associated_data(), &mut bytes)
            .map_err(|_| failed())?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &bytes].concat()))
    }

    /// Reads a cursor of `keys` orderings; 404 for whatever was not sealed here for this query of this tenant.
    pub fn open(&self, text: &str, keys: usize) -> Result<Cursor, Refusal> {
        let opened = self.opened(text).filter(|cursor| cursor.from.keys.len() == keys);
        opened.ok_or_else(|| Refusal::plain(404, "Invalid cursor."))
    }

    fn opened(&self, text: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let (nonce, mut sealed) = (Nonce::assume_unique_for_key(*nonce), sealed.to_vec());
        let content = self.cipher()?.open_in_place(nonce, self.associated_data(), &mut sealed).ok()?;
        serde_json::from_slice(content).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(tenant: u64, query: &str) -> CursorKey {
        CursorKey {
            key: Secret::new([7; 32]),
            tenant: TenantId::new(tenant, [1; 10]),
            query: query.to_owned(),
        }
    }

    fn cursor(key: &str) -> Cursor {
        Cursor { from: Position { keys: vec![key.to_owned()], id: Uuid::from_u128(9) }, back: true }
    }

    #[test]
    fn a_cursor_is_good_for_its_tenant_and_query_alone() {
        let own = key(1, "/users?search=u");
        let text = own.seal(&cursor("ada")).unwrap();
        assert_eq!(own.open(&text, 1).ok(), Some(cursor("ada")));
        for other in [key(2, "/users?search=u"), key(1, "/users?search=v"), key(1, "/audit?search=u")] {
            assert_eq!(other.open(&text, 1).map_err(|refusal| refusal.status), Err(404));
        }
        // A list that is ordered by more by now has no place for it.
        assert_eq!(own.open(&text, 2).map_err(|refusal| refusal.status), Err(404));
    }

    #[test]
    fn a_cursor_does_not_tell_its_name() {
        let text = key(1, "").seal(&cursor("lovelace")).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        assert!(!bytes.windows(4).any(|four| four == b"love"));
    }

    proptest! {
        #[test]
        fn every_bit_counts(name: String, at: prop::sample::Index, bit in 0_u8..8) {
            let own = key(1, "");
            let mut bytes = URL_SAFE_NO_PAD.decode(own.seal(&cursor(&name)).unwrap()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(own.open(&URL_SAFE_NO_PAD.encode(bytes), 1).is_err());
        }

        #[test]
        fn any_text_is_safe(text: String) {
            prop_assert!(key(1, "").open(&text, 1).is_err());
        }
    }
}
