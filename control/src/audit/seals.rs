//! Compares signed checkpoints with a chain that is read in order. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::checkpoint::Checkpoint;
use super::stored::Head;
use super::walk::{Fault, Finding, Walk};

/// See the module.
pub(super) struct Seals<'a> {
    in_force: BTreeMap<i64, Vec<&'a Checkpoint>>,
    /// The last entry that a checkpoint, or the caller, vouches for.
    good: i64,
    /// The tenant's restore counter now.
    history: i64,
}

impl<'a> Seals<'a> {
    /// These, of a tenant with this restore counter.
    pub(super) fn new(in_force: BTreeMap<i64, Vec<&'a Checkpoint>>, history: i64) -> Self {
        Self { in_force, good: 0, history }
    }

    /// Continues after an entry that the caller has verified.
    pub(super) fn behind(&mut self, position: i64) {
        self.good = position;
    }

    /// Compares the last read entry, of a chain of this history: statements of a later history may belong to another
    /// chain, after a restore.
    pub(super) fn compare(&mut self, walk: &Walk, history: i64) -> Result<(), Finding> {
        let position = walk.position();
        let Some(checkpoints) = self.in_force.get(&position).filter(|_| walk.is_sound()) else {
            return Ok(());
        };
        let mut told = checkpoints.iter().filter(|checkpoint| checkpoint.history <= history).peekable();
        let vouches = told.peek().is_some();
        match told.find(|checkpoint| checkpoint.hash != *walk.hash()) {
            None if vouches => self.good = position,
            None => {}
            Some(other) => return Err(self.finding(other, Fault::Recomputed, self.good + 1)),
        }
        Ok(())
    }

    /// Compares the entry that was read last, of the chain as it is now.
    pub(super) fn compare_now(&mut self, walk: &Walk) -> Result<(), Finding> {
        self.compare(walk, i64::MAX)
    }

    /// Compares the end of a chain that is whole.
    pub(super) fn end(&self, head: &Head) -> Result<(), Finding> {
        let beyond = self.in_force.range((Bound::Excluded(head.position), Bound::Unbounded)).next_back();
        match beyond.and_then(|(_, checkpoints)| checkpoints.first()) {
            None => Ok(()),
            Some(last) => Err(self.finding(last, Fault::Cut, head.position + 1)),
        }
    }

    /// The finding for a checkpoint that does not match: a fault, or a restore if the history was raised since.
    fn finding(&self, checkpoint: &Checkpoint, fault: Fault, from: i64) -> Finding {
        if checkpoint.history >= self.history {
            return Finding::between(fault, from, checkpoint.position);
        }
        let earlier = |checkpoints: &&Vec<&Checkpoint>| {
            checkpoints.iter().any(|checkpoint| checkpoint.history < self.history)
        };
        let last = self.in_force.iter().rev().find(|(_, checkpoints)| earlier(checkpoints));
        let until = last.map_or(checkpoint.position, |(position, _)| *position);
        // Where the backup ended is not known: behind the last entry that is vouched for.
        Finding::between(Fault::Restored, self.good + 1, until)
    }
}
