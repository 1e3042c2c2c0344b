//! The archived part of a log, read from the archives.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};

use flate2::read::GzDecoder;
use uuid::Uuid;

use super::archives::Begin;
use super::checkpoint::Archive;
use super::line::LineIn;
use super::seals::Seals;
use super::walk::{Fault, Finding, Walk};
use crate::db::chain::{GENESIS, Hash, hash};
use crate::objects::{Disturbance, ObjectError, Objects};

/// How far a log was read from its archives.
pub(super) struct Span {
    walk: Walk,
    /// Entries after which the database may continue, with their hashes.
    marks: BTreeMap<i64, Hash>,
    /// A position that is kept in `marks` although no archive ends there.
    mark: i64,
}

/// The state of an archive.
pub(super) enum Object {
    /// The first version of the object matches the manifest; with later disturbances.
    Whole(Vec<u8>, Option<Disturbance>),
    /// It is not.
    Broken(Fault),
}

/// Reads the object of an archive, and compares it with what was signed of it.
///
/// # Errors
/// Where it is.
pub(super) async fn fetch(objects: &Objects, archive: &Archive) -> Result<Object, ObjectError> {
    Ok(match objects.find(&archive.object).await? {
        None => Object::Broken(Fault::ArchiveMissing),
        Some((_, bytes)) if hash(&bytes) != archive.digest => Object::Broken(Fault::ArchiveChanged),
        Some((found, bytes)) => Object::Whole(bytes, found.disturbed),
    })
}

impl Span {
    /// Nothing was read yet. The database begins behind the entry `mark`.
    pub(super) fn new(tenant: Uuid, mark: i64) -> Self {
        Self { walk: Walk::new(tenant), marks: BTreeMap::from([(0, GENESIS)]), mark }
    }

    /// The last entry that was read.
    pub(super) fn reached(&self) -> i64 {
        self.walk.position()
    }

    /// Where the database's part can begin whose first row is at `first`: the first entry from there on of which the
    /// hash is known, else the last one.
    pub(super) fn begin(&self, first: i64) -> Begin {
        let fitting = self.marks.range(first.saturating_sub(1)..).next().or(self.marks.last_key_value());
        let (position, hash) = fitting.map_or((0, GENESIS), |(position, hash)| (*position, *hash));
        Begin { position, hash }
    }

    /// Reads the next archive. Archives of another history may cover the same positions.
    ///
    /// # Errors
    /// The outer error: the store's. The inner one: the first fault.
    pub(super) async fn read(
        &mut self,
        objects: &Objects,
        archive: &Archive,
        seals: &mut Seals<'_>,
    ) -> Result<Result<(), Finding>, ObjectError> {
        let next = self.reached().saturating_add(1);
        if archive.from > next {
            return Ok(Err(Finding::between(Fault::ArchiveMissing, next, archive.from - 1)));
        }
        Ok(match fetch(objects, archive).await? {
            Object::Whole(bytes, _) => self.take(&bytes, archive, seals),
            Object::Broken(fault) => Err(Finding::of_archive(fault, archive)),
        })
    }

    fn take(&mut self, bytes: &[u8], archive: &Archive, seals: &mut Seals<'_>) -> Result<(), Finding> {
        let changed = || Finding::of_archive(Fault::ArchiveChanged, archive);
        let again = archive.from <= self.reached();
        let mut beside = again.then(|| Walk::behind(archive.tenant, archive.from - 1, archive.before));
        // The verified entries of the first archive are not those of this one.
        seals.behind(if again { archive.from - 1 } else { self.reached() });
        let walk = beside.as_mut().unwrap_or(&mut self.walk);
        for line in BufReader::new(GzDecoder::new(bytes)).lines() {
            let line = line.map_err(|_| changed())?;
            // The last line is the checkpoint with which the object verifies by itself.
            let Ok(line) = serde_json::from_str::<LineIn>(&line) else { break };
            let (_, link, hash) = line.link().ok_or_else(changed)?;
            walk.take(&link, &hash)?;
            seals.compare(walk, archive.history)?;
            if [self.mark, archive.to].contains(&walk.position()) {
                self.marks.entry(walk.position()).or_insert(*walk.hash());
            }
        }
        walk.end(archive.to, &archive.hash)?;
        if let Some(beside) = beside.filter(|walk| walk.position() > self.reached()) {
            self.walk = beside;
        }
        Ok(())
    }
}
