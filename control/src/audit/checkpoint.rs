//! The signed statements that are stored outside of the database: checkpoints of logs, manifests of archives, and
//! accepted restores. Pure; [`super::checkpoints`] writes and reads the objects.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::wire::signature::{PeerKey, ServiceKey};
use uuid::Uuid;

use crate::db::chain::Hash;

const CHECKPOINT: &str = "audit-checkpoint/v1";
const ARCHIVE: &str = "audit-archive/v1";
const RESTORE: &str = "audit-restore/v1";

/// A tenant's log had come so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The tenant.
    pub tenant: Uuid,
    /// The tenant's restore counter.
    pub history: i64,
    /// The last entry.
    pub position: i64,
    /// Its hash.
    pub hash: Hash,
    /// When this was signed.
    pub at: DateTime<Utc>,
}

/// Entries were lost by a restore, and an operator with the key knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The tenant.
    pub tenant: Uuid,
    /// The tenant's restore counter after it: what was signed in earlier histories from `from` on does not count.
    pub history: i64,
    /// The first entry of which no checkpoint says that it is still there.
    pub from: i64,
    /// The last entry that the statement covers.
    pub to: i64,
    /// When this was signed.
    pub at: DateTime<Utc>,
}

/// Entries are in an archive, an object of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The tenant.
    pub tenant: Uuid,
    /// The tenant's restore counter.
    pub history: i64,
    /// The first entry in it.
    pub from: i64,
    /// The last.
    pub to: i64,
    /// The hash that the first one follows.
    pub before: Hash,
    /// The hash of the last one.
    pub hash: Hash,
    /// When the first one was recorded.
    pub recorded_from: DateTime<Utc>,
    /// When the last one was.
    pub recorded_to: DateTime<Utc>,
    /// The name of the object.
    pub object: String,
    /// SHA-256 of the object.
    pub digest: Hash,
    /// When this was signed.
    pub at: DateTime<Utc>,
}

/// A signed line: JSON, in which bytes are base64url without padding and times ISO 8601 in UTC.
#[derive(Serialize, Deserialize)]
#[serde(tag = "form", deny_unknown_fields)]
enum Line {
    #[serde(rename = "audit-checkpoint/v1")]
    Checkpoint {
        tenant: Uuid,
        history: i64,
        position: i64,
        hash: String,
        #[serde(serialize_with = "crate::http::time::micros")]
        at: DateTime<Utc>,
        signature: String,
    },
    #[serde(rename = "audit-archive/v1")]
    Archive {
        tenant: Uuid,
        history: i64,
        from: i64,
        to: i64,
        before: String,
        hash: String,
        #[serde(serialize_with = "crate::http::time::micros")]
        recorded_from: DateTime<Utc>,
        #[serde(serialize_with = "crate::http::time::micros")]
        recorded_to: DateTime<Utc>,
        object: String,
        digest: String,
        #[serde(serialize_with = "crate::http::time::micros")]
        at: DateTime<Utc>,
        signature: String,
    },
    #[serde(rename = "audit-restore/v1")]
    Restore {
        tenant: Uuid,
        history: i64,
        from: i64,
        to: i64,
        #[serde(serialize_with = "crate::http::time::micros")]
        at: DateTime<Utc>,
        signature: String,
    },
}

/// The content of a signed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// How far a log had come.
    Checkpoint(Checkpoint),
    /// Entries are in an archive.
    Archive(Archive),
    /// A restore was accepted.
    Restore(Restore),
}

impl Statement {
    /// The signed line, without a line feed.
    ///
    /// # Errors
    /// None for what JSON can hold.
    pub fn sign(&self, key: &ServiceKey) -> Result<String, serde_json::Error> {
        let signature = self.with_fields(|label, fields| key.sign_statement(label, fields));
        let text = |hash: Hash| URL_SAFE_NO_PAD.encode(hash);
        serde_json::to_string(&match self.clone() {
            Self::Checkpoint(Checkpoint { tenant, history, position, hash, at }) => {
                Line::Checkpoint { tenant, history, position, hash: text(hash), at, signature }
            }
            Self::Archive(archive) => {
                let Archive { tenant, history, from, to, before, hash, .. } = archive;
                let Archive { recorded_from, recorded_to, object, digest, at, .. } = archive;
                let (before, hash, digest) = (text(before), text(hash), text(digest));
                Line::Archive {
                    tenant,
                    history,
                    from,
                    to,
                    before,
                    hash,
                    recorded_from,
                    recorded_to,
                    object,
                    digest,
                    at,
                    signature,
                }
            }
            Self::Restore(Restore { tenant, history, from, to, at }) => {
                Line::Restore { tenant, history, from, to, at, signature }
            }
        })
    }

    /// Reads a line that one of `keys` has signed; `None` for every other.
    #[must_use]
    pub fn read(line: &str, keys: &[PeerKey]) -> Option<Self> {
        let bytes = |text: &str| Hash::try_from(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (statement, signature) = match serde_json::from_str(line).ok()? {
            Line::Checkpoint { tenant, history, position, hash, at, signature } => {
                let hash = bytes(&hash)?;
                (Self::Checkpoint(Checkpoint { tenant, history, position, hash, at }), signature)
            }
            Line::Archive {
                tenant,
                history,
                from,
                to,
                before,
                hash,
                recorded_from,
                recorded_to,
                object,
                digest,
                at,
                signature,
            } => {
                let (before, hash, digest) = (bytes(&before)?, bytes(&hash)?, bytes(&digest)?);
                let archive = Archive {
                    tenant,
                    history,
                    from,
                    to,
                    before,
                    hash,
                    recorded_from,
                    recorded_to,
                    object,
                    digest,
                    at,
                };
                (Self::Archive(archive), signature)
            }
            Line::Restore { tenant, history, from, to, at, signature } => {
                (Self::Restore(Restore { tenant, history, from, to, at }), signature)
            }
        };
        let holds = |key: &PeerKey| {
            statement.with_fields(|label, fields| key.verify_statement(label, fields, &signature)).is_ok()
        };
        keys.iter().any(holds).then_some(statement)
    }

    /// The signed bytes: fields after a label, as for every signature and MAC.
    fn with_fields<T>(&self, work: impl FnOnce(&str, &[&[u8]]) -> T) -> T {
        let micros = |at: &DateTime<Utc>| at.timestamp_micros().to_be_bytes();
        match self {
            Self::Checkpoint(Checkpoint { tenant, history, position, hash, at }) => work(
                CHECKPOINT,
                &[tenant.as_bytes(), &history.to_be_bytes(), &position.to_be_bytes(), hash, &micros(at)],
            ),
            Self::Archive(archive) => work(
                ARCHIVE,
                &[
                    archive.tenant.as_bytes(),
                    &archive.history.to_be_bytes(),
                    &archive.from.to_be_bytes(),
                    &archive.to.to_be_bytes(),
                    &archive.before,
                    &archive.hash,
                    &micros(&archive.recorded_from),
                    &micros(&archive.recorded_to),
                    archive.object.as_bytes(),
                    &archive.digest,
                    &micros(&archive.at),
                ],
            ),
            Self::Restore(Restore { tenant, history, from, to, at }) => work(
                RESTORE,
                &[
                    tenant.as_bytes(),
                    &history.to_be_bytes(),
                    &from.to_be_bytes(),
                    &to.to_be_bytes(),
                    &micros(at),
                ],
            ),
        }
    }
}

impl Statement {
    /// Of which tenant's log.
    #[must_use]
    pub fn tenant(&self) -> Uuid {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.tenant,
            Self::Archive(archive) => archive.tenant,
            Self::Restore(restore) => restore.tenant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, fill: u8) -> ServiceKey {
        ServiceKey::parse(&format!("{id}:{}", URL_SAFE_NO_PAD.encode([fill; 32]))).unwrap()
    }

    fn statements() -> [Statement; 3] {
        let at = DateTime::from_timestamp_micros(1_800_000_000_000_005).unwrap();
        let tenant = Uuid::from_u128(7);
        [
            Statement::Checkpoint(Checkpoint { tenant, history: 1, position: 42, hash: [5; 32], at }),
            Statement::Restore(Restore { tenant, history: 2, from: 40, to: 42, at }),
            Statement::Archive(Archive {
                tenant,
                history: 1,
                from: 40,
                to: 42,
                before: [4; 32],
                hash: [5; 32],
                recorded_from: at,
                recorded_to: at,
                object: "archives/of/42".into(),
                digest: [6; 32],
                at,
            }),
        ]
    }

    #[test]
    fn a_line_is_read_with_the_key_that_signed_it_and_no_other() {
        let (own, other) = (key("audit-1", 1), key("audit-1", 2));
        for statement in statements() {
            let line = statement.sign(&own).unwrap();
            assert_eq!(Statement::read(&line, &[own.peer()]), Some(statement.clone()));
            let both = [other.peer(), own.peer()];
            assert_eq!(Statement::read(&line, &both), Some(statement.clone()), "two at a time");
            assert_eq!(Statement::read(&line, &[other.peer()]), None);
            for (from, to) in [
                ("\"history\":1", "\"history\":2"),
                ("42", "43"),
                ("00000007", "00000008"),
                ("of/42", "of/43"),
                ("BAQE", "BAQF"),
                ("BgYG", "BgYH"),
                ("\"recorded_from\":\"2027", "\"recorded_from\":\"2026"),
                ("\"recorded_to\":\"2027", "\"recorded_to\":\"2026"),
            ] {
                let forged = line.replacen(from, to, 1);
                assert!(forged == line || Statement::read(&forged, &[own.peer()]).is_none(), "{forged}");
            }
        }
    }

    /// The form for verifiers in other languages.
    #[test]
    fn a_line_looks_like_this() {
        let [checkpoint, ..] = statements();
        let line = checkpoint.sign(&key("audit-1", 1)).unwrap();
        let (text, signature) = line.split_once(r#","signature":""#).unwrap();
        assert_eq!(
            text,
            r#"{"form":"audit-checkpoint/v1","tenant":"00000000-0000-0000-0000-000000000007","history":1,"position":42,"hash":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU","at":"2027-01-15T08:00:00.000005Z""#
        );
        assert_eq!(signature.len(), 86 + 2);
    }
}
