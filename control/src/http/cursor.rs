//! Cursors: where in a list a client stands, signed, so that a client cannot go on from a place where it never was.
//!
//! A cursor names the row at which a page ended, by the values that the list is ordered by and by its
//! id. Rows that come and go meanwhile therefore neither repeat nor hide others. It is bound to the
//! tenant and to everything else that was asked for. It is signed and not sealed: it holds nothing that
//! the page did not show.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::contract::refusal::Refusal;
use shared::derive::{Purpose, Secret, mac};
use shared::ids::TenantId;
use uuid::Uuid;

use crate::crypt::roots::looked_up_by;
use crate::db::TenantTx;
use crate::failure::Failure;

/// Bytes of the signature.
const SIGNATURE: usize = 32;

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

/// Signs and opens the cursors of one query of one tenant.
pub(super) struct Signer {
    key: Secret,
    tenant: TenantId,
    query: String,
}

impl Signer {
    /// `query` is all that was asked for, but for the cursor.
    pub async fn of(tx: &mut TenantTx, query: String) -> Result<Self, Failure> {
        Ok(Self { key: looked_up_by(tx, Purpose::Cursor).await?, tenant: tx.tenant(), query })
    }

    fn signature(&self, content: &[u8]) -> [u8; SIGNATURE] {
        mac(&self.key, "cursor/v1", &[self.tenant.as_bytes(), self.query.as_bytes(), content])
    }

    /// The text of a cursor.
    pub fn sign(&self, cursor: &Cursor) -> Result<String, Failure> {
        let mut bytes = serde_json::to_vec(cursor).map_err(|_| Failure::Unreadable("cursor"))?;
        bytes.extend(self.signature(&bytes));
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a cursor of `keys` orderings; 404 for whatever was not signed here for this query of this
    /// tenant.
    pub fn open(&self, text: &str, keys: usize) -> Result<Cursor, Refusal> {
        let opened = self.opened(text).filter(|cursor| cursor.from.keys.len() == keys);
        opened.ok_or_else(|| Refusal::plain(404, "Invalid cursor."))
    }

    fn opened(&self, text: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (content, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
        verify_slices_are_equal(&self.signature(content), signature).ok()?;
        serde_json::from_slice(content).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signer(tenant: u64, query: &str) -> Signer {
        Signer { key: Secret::new([7; 32]), tenant: TenantId::new(tenant, [1; 10]), query: query.to_owned() }
    }

    fn cursor(key: &str) -> Cursor {
        Cursor { from: Position { keys: vec![key.to_owned()], id: Uuid::from_u128(9) }, back: true }
    }

    #[test]
    fn a_cursor_is_good_for_its_tenant_and_query_alone() {
        let own = signer(1, "/users?search=u");
        let text = own.sign(&cursor("ada")).unwrap();
        assert_eq!(own.open(&text, 1).ok(), Some(cursor("ada")));
        for other in
            [signer(2, "/users?search=u"), signer(1, "/users?search=v"), signer(1, "/audit?search=u")]
        {
            assert_eq!(other.open(&text, 1).map_err(|refusal| refusal.status), Err(404));
        }
        // A list that is ordered by more by now has no place for it.
        assert_eq!(own.open(&text, 2).map_err(|refusal| refusal.status), Err(404));
    }

    proptest! {
        #[test]
        fn every_bit_counts(key: String, at: prop::sample::Index, bit in 0_u8..8) {
            let own = signer(1, "");
            let mut bytes = URL_SAFE_NO_PAD.decode(own.sign(&cursor(&key)).unwrap()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(own.open(&URL_SAFE_NO_PAD.encode(bytes), 1).is_err());
        }

        #[test]
        fn any_text_is_safe(text: String) {
            prop_assert!(signer(1, "").open(&text, 1).is_err());
        }
    }
}
