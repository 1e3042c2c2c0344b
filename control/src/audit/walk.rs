//! Reads a chain from one end to the other and names the first entry that does not fit. Pure:
//! [`super::verify`] brings the rows of the database, [`super::export`] those of a file.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::checkpoint::Archive;
use crate::db::chain::{GENESIS, Hash, Link};

/// The faults of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The entry is not what was hashed, and the next one follows what was.
    Changed,
    /// No entry has this position.
    Missing,
    /// The entry was put between two that follow each other.
    Inserted,
    /// The entry does not follow the one before it: entries were removed, moved or rewritten here.
    Misplaced,
    /// The log ends before it.
    Cut,
    /// The log continues after its recorded end.
    Beyond,
    /// The chain is consistent, but does not match a signed checkpoint: it was recomputed from some entry between the
    /// two positions.
    Recomputed,
    /// The archive that has these entries is not there.
    ArchiveMissing,
    /// The archive that has these entries is not what was signed: it was changed or cut.
    ArchiveChanged,
    /// As `recomputed` or `cut`, in a tenant whose history was raised since. The usual cause is a restore from a backup;
    /// a new session root that ended all sessions raises the history as well.
    Restored,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::Changed => "the entry was changed",
            Self::Missing => "the entry was removed",
            Self::Inserted => "the entry was inserted",
            Self::Misplaced => {
                "the entry does not follow the one before it: entries were removed, moved or rewritten here"
            }
            Self::Cut => "the end of the log was cut off from here",
            Self::Beyond => "the entry stands behind the recorded end of the log",
            Self::Recomputed => {
                "the chain is not the one that a checkpoint tells of: it was made anew from here or later"
            }
            Self::ArchiveMissing => "the archive of these entries is not there",
            Self::ArchiveChanged => "the archive of these entries was changed or cut",
            Self::Restored => {
                "entries that a checkpoint tells of were lost from here or later, and the tenant's history was raised since, as after a restore from a backup"
            }
        }
    }
}

/// The first place at which a log is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuditFinding)]
pub struct Finding {
    /// The first entry that is wrong, or that is not there.
    pub position: i64,
    /// The last entry that the same is known of, where that is more than one.
    #[schema(required)]
    pub until: Option<i64>,
    /// The fault.
    pub fault: Fault,
    /// The same in words.
    pub detail: String,
}

impl Finding {
    /// A fault at a position.
    pub(super) fn new(fault: Fault, position: i64) -> Self {
        Self { position, until: None, fault, detail: fault.words().to_owned() }
    }

    /// A fault somewhere between two positions, both included.
    pub(super) fn between(fault: Fault, position: i64, until: i64) -> Self {
        Self { until: Some(until), ..Self::new(fault, position) }
    }

    /// A fault of an archive.
    pub(super) fn of_archive(fault: Fault, archive: &Archive) -> Self {
        let detail = format!("{}: {}", fault.words(), archive.object);
        Self { detail, ..Self::between(fault, archive.from, archive.to) }
    }
}

/// How far a chain was read.
pub(super) struct Walk {
    tenant: Uuid,
    /// The last read entry: its position, and the hash that the next entry follows.
    position: i64,
    hash: Hash,
    recorded_at: Option<DateTime<Utc>>,
    /// The hash that the last entry itself follows, where it was read.
    before: Option<Hash>,
    /// The last entry does not match its hash. The next one decides which fault it is.
    suspect: bool,
}

impl Walk {
    /// Begins with the first entry.
    pub(super) fn new(tenant: Uuid) -> Self {
        Self::behind(tenant, 0, GENESIS)
    }

    /// Begins after an entry that is not checked.
    pub(super) fn behind(tenant: Uuid, position: i64, hash: Hash) -> Self {
        Self { tenant, position, hash, recorded_at: None, before: None, suspect: false }
    }

    /// The position of the last entry that was read.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Whether the last entry that was read is what its hash says.
    pub(super) fn is_sound(&self) -> bool {
        !self.suspect
    }

    /// The hash of the last entry that was read.
    pub(super) fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Takes the next entry with the hash that is stored beside it.
    ///
    /// # Errors
    /// The first fault. Nothing is to be taken after one.
    pub(super) fn take(&mut self, link: &Link, stored: &[u8]) -> Result<(), Finding> {
        let next = self.position.saturating_add(1);
        let follows = link.position == next
            && link.tenant_id == self.tenant
            && link.hash(&self.hash).as_slice() == stored;
        let here = |fault| Err(Finding::new(fault, self.position));
        match (self.suspect, follows) {
            (true, true) => return here(Fault::Changed),
            (_, false) if self.had_the_last_place(link, stored) => return here(Fault::Inserted),
            (true, false) => return here(Fault::Misplaced),
            (false, _) if link.position > next => return Err(Finding::new(Fault::Missing, next)),
            (false, _) if link.position < next => return Err(Finding::new(Fault::Inserted, link.position)),
            // A recomputed chain can have correct hashes and still go back in time.
            (false, true) if self.recorded_at > Some(link.recorded_at) => {
                return Err(Finding::new(Fault::Misplaced, next));
            }
            (false, _) => {}
        }
        let hash = stored.try_into().map_err(|_| Finding::new(Fault::Changed, next))?;
        self.before = Some(std::mem::replace(&mut self.hash, hash));
        self.recorded_at = Some(link.recorded_at);
        self.position = next;
        self.suspect = !follows;
        Ok(())
    }

    /// Whether the entry had the place of the last one before that was put there.
    fn had_the_last_place(&self, link: &Link, stored: &[u8]) -> bool {
        let moved = Link { position: self.position, ..link.clone() };
        self.before.is_some_and(|before| moved.hash(&before).as_slice() == stored)
    }

    /// Ends where the log ends, by its head.
    ///
    /// # Errors
    /// As [`Walk::take`].
    pub(super) fn end(&self, position: i64, hash: &[u8]) -> Result<(), Finding> {
        let whole = (position, hash) == (self.position, &self.hash[..]);
        if self.suspect {
            let fault = if whole { Fault::Changed } else { Fault::Misplaced };
            return Err(Finding::new(fault, self.position));
        }
        match self.position {
            _ if whole => Ok(()),
            last if last < position => Err(Finding::new(Fault::Cut, last + 1)),
            last if last > position => Err(Finding::new(Fault::Beyond, position + 1)),
            last => Err(Finding::new(Fault::Misplaced, last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (Link, Vec<u8>);

    fn tenant() -> Uuid {
        Uuid::from_u128(7)
    }

    fn entry(position: i64) -> Link {
        Link {
            tenant_id: tenant(),
            position,
            recorded_at: DateTime::from_timestamp(1_800_000_000 + position, 0).unwrap(),
            id: Uuid::from_u128(position.unsigned_abs().into()),
            at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            actor_kind: "operator".into(),
            actor: None,
            action: "user.edited".into(),
            outcome: "done".into(),
            target: None,
            event_id: None,
            request_id: None,
            body: format!("\0{position}").into_bytes(),
        }
    }

    fn hashed(links: impl IntoIterator<Item = Link>) -> Vec<Row> {
        let mut before = GENESIS;
        let hashed = links.into_iter().map(|link| {
            before = link.hash(&before);
            (link, before.to_vec())
        });
        hashed.collect()
    }

    fn log() -> Vec<Row> {
        hashed((1..=9).map(entry))
    }

    fn found(rows: &[Row], head: &Row) -> Option<(i64, Fault)> {
        let mut walk = Walk::new(tenant());
        let walked = rows.iter().try_for_each(|(link, hash)| walk.take(link, hash));
        let ended = walked.and_then(|()| walk.end(head.0.position, &head.1));
        ended.err().map(|finding| (finding.position, finding.fault))
    }

    #[test]
    fn each_kind_of_tamper_is_found_at_its_entry() {
        let log = log();
        let head = log.last().unwrap();
        let renumbered = |rows: Vec<Row>| -> Vec<Row> {
            (1..).zip(rows).map(|(position, (link, hash))| (Link { position, ..link }, hash)).collect()
        };
        let edited = |at: usize| {
            let mut rows = log.clone();
            rows[at].0.outcome = "refused".into();
            rows
        };
        let without = |at: usize| [&log[..at], &log[at + 1..]].concat();
        let swapped = |a: usize, b: usize| {
            let mut rows = log.clone();
            rows.swap(a, b);
            renumbered(rows)
        };
        let inserted = |at: usize, forged: bool| {
            let row = Link { position: i64::try_from(at).unwrap() + 1, ..entry(40) };
            let before = log[at - 1].1.as_slice().try_into().unwrap();
            let hash = if forged { row.hash(&before).to_vec() } else { vec![4; 32] };
            renumbered([&log[..at], &[(row, hash)], &log[at..]].concat())
        };
        let rehashed = {
            let mut rows = edited(4);
            rows[4].1 = rows[4].0.hash(log[3].1.as_slice().try_into().unwrap()).to_vec();
            rows
        };
        for (what, rows, expected) in [
            ("nothing", log.clone(), None),
            ("edited", edited(4), Some((5, Fault::Changed))),
            ("edited, the first", edited(0), Some((1, Fault::Changed))),
            ("edited, the last", edited(8), Some((9, Fault::Changed))),
            ("edited with a hash of its own", rehashed, Some((6, Fault::Changed))),
            ("removed", without(4), Some((5, Fault::Missing))),
            ("removed, the first", without(0), Some((1, Fault::Missing))),
            ("removed and renumbered", renumbered(without(4)), Some((5, Fault::Misplaced))),
            ("neighbours swapped", swapped(4, 5), Some((5, Fault::Inserted))),
            ("swapped", swapped(2, 7), Some((3, Fault::Misplaced))),
            ("inserted with a hash", inserted(4, true), Some((5, Fault::Inserted))),
            ("inserted", inserted(4, false), Some((5, Fault::Inserted))),
            ("twice", [&log[..5], &log[4..]].concat(), Some((5, Fault::Inserted))),
            ("cut", log[..6].to_vec(), Some((7, Fault::Cut))),
            ("all cut", vec![], Some((1, Fault::Cut))),
        ] {
            assert_eq!(found(&rows, head), expected, "{what}");
        }
        assert_eq!(found(&log, &log[5]), Some((7, Fault::Beyond)));
        assert_eq!(found(&log, &(log[8].0.clone(), vec![4; 32])), Some((9, Fault::Misplaced)));
        let other = Link { tenant_id: Uuid::from_u128(8), ..entry(5) };
        let foreign = hashed((1..=9).map(|place| if place == 5 { other.clone() } else { entry(place) }));
        assert_eq!(found(&foreign, &foreign[8]), Some((5, Fault::Changed)), "another tenant's");
        let early = Link { recorded_at: entry(1).recorded_at, ..entry(5) };
        let back = hashed((1..=9).map(|place| if place == 5 { early.clone() } else { entry(place) }));
        assert_eq!(found(&back, &back[8]), Some((5, Fault::Misplaced)), "back in time");
    }

    #[test]
    fn a_part_is_read_behind_what_was_read() {
        let log = log();
        let hash = log[3].1.as_slice().try_into().unwrap();
        let mut walk = Walk::behind(tenant(), 4, hash);
        for (link, hash) in &log[4..] {
            walk.take(link, hash).unwrap();
        }
        assert_eq!(walk.end(9, &log[8].1), Ok(()));
        let mut walk = Walk::behind(tenant(), 4, GENESIS);
        let walked = log[4..].iter().try_for_each(|(link, hash)| walk.take(link, hash));
        assert_eq!(walked, Err(Finding::new(Fault::Changed, 5)));
    }
}
