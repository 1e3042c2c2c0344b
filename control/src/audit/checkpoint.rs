//! What is signed and copied out of the database: how far a tenant's log had come, and that a restore was
//! accepted. Pure; [`super::checkpoints`] writes and reads the files.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::wire::signature::{PeerKey, ServiceKey};
use uuid::Uuid;

use crate::db::chain::Hash;

const CHECKPOINT: &str = "audit-checkpoint/v1";
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
    /// The last entry that a checkpoint tells of.
    pub to: i64,
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

/// What a signed line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// How far a log had come.
    Checkpoint(Checkpoint),
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
        serde_json::to_string(&match self.clone() {
            Self::Checkpoint(Checkpoint { tenant, history, position, hash, at }) => {
                let hash = URL_SAFE_NO_PAD.encode(hash);
                Line::Checkpoint { tenant, history, position, hash, at, signature }
            }
            Self::Restore(Restore { tenant, history, from, to, at }) => {
                Line::Restore { tenant, history, from, to, at, signature }
            }
        })
    }

    /// Reads a line that one of `keys` has signed; `None` for every other.
    #[must_use]
    pub fn read(line: &str, keys: &[PeerKey]) -> Option<Self> {
        let (statement, signature) = match serde_json::from_str(line).ok()? {
            Line::Checkpoint { tenant, history, position, hash, at, signature } => {
                let hash = URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()?;
                (Self::Checkpoint(Checkpoint { tenant, history, position, hash, at }), signature)
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

    /// What is signed: fields behind a label, as everything that is signed or authenticated here.
    fn with_fields<T>(&self, work: impl FnOnce(&str, &[&[u8]]) -> T) -> T {
        let micros = |at: &DateTime<Utc>| at.timestamp_micros().to_be_bytes();
        match self {
            Self::Checkpoint(Checkpoint { tenant, history, position, hash, at }) => work(
                CHECKPOINT,
                &[tenant.as_bytes(), &history.to_be_bytes(), &position.to_be_bytes(), hash, &micros(at)],
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

/// Everything that was signed of one tenant's log.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    checkpoints: Vec<Checkpoint>,
    restores: Vec<Restore>,
}

impl Signed {
    /// Those that count, by position: what a restore took is left out where an operator has accepted it.
    #[must_use]
    pub fn in_force(&self) -> BTreeMap<i64, Vec<&Checkpoint>> {
        let lost = |checkpoint: &Checkpoint| {
            let takes = |restore: &Restore| {
                checkpoint.history < restore.history && checkpoint.position >= restore.from
            };
            self.restores.iter().any(takes)
        };
        let mut by_position: BTreeMap<i64, Vec<&Checkpoint>> = BTreeMap::new();
        for checkpoint in self.checkpoints.iter().filter(|checkpoint| !lost(checkpoint)) {
            by_position.entry(checkpoint.position).or_default().push(checkpoint);
        }
        by_position
    }

    /// Takes a statement of this tenant.
    pub fn take(&mut self, statement: Statement) {
        match statement {
            Statement::Checkpoint(checkpoint) => self.checkpoints.push(checkpoint),
            Statement::Restore(restore) => self.restores.push(restore),
        }
    }
}

impl Statement {
    /// Of which tenant's log.
    #[must_use]
    pub fn tenant(&self) -> Uuid {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.tenant,
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

    fn statements() -> [Statement; 2] {
        let at = DateTime::from_timestamp_micros(1_800_000_000_000_005).unwrap();
        let tenant = Uuid::from_u128(7);
        [
            Statement::Checkpoint(Checkpoint { tenant, history: 1, position: 42, hash: [5; 32], at }),
            Statement::Restore(Restore { tenant, history: 2, from: 40, to: 42, at }),
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
            for (from, to) in [("\"history\":1", "\"history\":2"), ("42", "43"), ("00000007", "00000008")] {
                let forged = line.replacen(from, to, 1);
                assert!(forged == line || Statement::read(&forged, &[own.peer()]).is_none(), "{forged}");
            }
        }
    }

    /// What a verifier in another language reads.
    #[test]
    fn a_line_looks_like_this() {
        let [checkpoint, _] = statements();
        let line = checkpoint.sign(&key("audit-1", 1)).unwrap();
        let (text, signature) = line.split_once(r#","signature":""#).unwrap();
        assert_eq!(
            text,
            r#"{"form":"audit-checkpoint/v1","tenant":"00000000-0000-0000-0000-000000000007","history":1,"position":42,"hash":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU","at":"2027-01-15T08:00:00.000005Z""#
        );
        assert_eq!(signature.len(), 86 + 2);
    }

    #[test]
    fn what_an_accepted_restore_took_does_not_count() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let tenant = Uuid::from_u128(7);
        let mut signed = Signed::default();
        for (history, position) in [(1, 10), (1, 20), (1, 30), (2, 25), (2, 30)] {
            let checkpoint = Checkpoint { tenant, history, position, hash: [5; 32], at };
            signed.take(Statement::Checkpoint(checkpoint));
        }
        let counted = |signed: &Signed| {
            let in_force = signed.in_force();
            let all = in_force.values().flatten().map(|it| (it.history, it.position));
            all.collect::<Vec<_>>()
        };
        assert_eq!(counted(&signed), [(1, 10), (1, 20), (2, 25), (1, 30), (2, 30)]);
        signed.take(Statement::Restore(Restore { tenant, history: 2, from: 11, to: 30, at }));
        assert_eq!(counted(&signed), [(1, 10), (2, 25), (2, 30)]);
    }
}
