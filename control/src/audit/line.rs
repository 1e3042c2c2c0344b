//! An entry as a line of JSON, in exports and archives: the hashed bytes, and the entry that they encode.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::store::{EntryOut, Recorded};
use super::stored::Stored;
use crate::db::chain::{Hash, Link};
use crate::failure::Failure;
use crate::users::Viewer;

/// One entry in a line.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditExportLine)]
pub struct LineOut {
    /// The canonical form of the entry, which is hashed, in base64url.
    hashed: String,
    /// Its SHA-256, in base64url.
    hash: String,
    entry: EntryOut,
}

impl LineOut {
    /// The line of an entry that follows the hash `before`.
    pub(super) fn new(link: &Link, hash: &[u8], before: &Hash, entry: EntryOut) -> Self {
        let hashed = URL_SAFE_NO_PAD.encode(link.form(before));
        Self { hashed, hash: URL_SAFE_NO_PAD.encode(hash), entry }
    }

    /// The same without decryption.
    pub(super) fn sealed(stored: Stored, before: &Hash) -> Self {
        let Stored { link, hash, .. } = stored;
        let entry = sealed(link.clone());
        Self::new(&link, &hash, before, entry)
    }

    /// Writes the line.
    pub(super) fn write(&self, mut text: impl std::io::Write) -> Result<(), Failure> {
        let unreadable = || Failure::Unreadable("audit entry");
        serde_json::to_writer(&mut text, self).map_err(|_| unreadable())?;
        text.write_all(b"\n").map_err(|_| unreadable())
    }
}

/// A line as a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineIn {
    hashed: String,
    hash: String,
    entry: Value,
}

impl LineIn {
    /// The hash that the entry follows, the entry, and the hash beside it.
    pub(super) fn link(&self) -> Option<(Hash, Link, Vec<u8>)> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (before, link) = Link::parse(&bytes(&self.hashed)?)?;
        Some((before, link, bytes(&self.hash)?))
    }

    /// Whether the line says in clear what is hashed of it: `link`.
    pub(super) fn says(&self, link: Link) -> bool {
        vouched(serde_json::to_value(sealed(link)).ok()) == vouched(Some(self.entry.clone()))
    }
}

fn sealed(link: Link) -> EntryOut {
    EntryOut::seen_by(&Viewer::operator(), Recorded::of_export(link))
}

/// What a reader without keys can compare with the hashed bytes: the body is sealed in them.
fn vouched(entry: Option<Value>) -> Option<Value> {
    let mut entry = entry?;
    let fields = entry.as_object_mut()?;
    fields.retain(|name, _| !["client", "details"].contains(&name.as_str()));
    Some(entry)
}
