//! All signed statements about one tenant's log, and which of them apply. Pure.

use std::collections::BTreeMap;

use super::checkpoint::{Archive, Checkpoint, Restore, Statement};

/// Everything that was signed of one tenant's log.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    checkpoints: Vec<Checkpoint>,
    archives: Vec<Archive>,
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

    /// The archives that count, by their first entry. One whose end a restore took was made behind the backup, which
    /// has its entries still.
    #[must_use]
    pub fn archives(&self) -> Vec<Archive> {
        let lost = |archive: &Archive| {
            let takes = |restore: &Restore| archive.history < restore.history && archive.to >= restore.from;
            self.restores.iter().any(takes)
        };
        let mut archives: Vec<_> = self.archives.iter().filter(|archive| !lost(archive)).cloned().collect();
        archives.sort_by_key(|archive| (archive.from, archive.to));
        archives
    }

    /// Both ends of an archive are signed, as a checkpoint is.
    fn take_archive(&mut self, archive: Archive) {
        if self.archives.contains(&archive) {
            return;
        }
        let Archive { tenant, history, from, to, before, hash, at, .. } = archive;
        if from > 1 {
            let position = from.saturating_sub(1);
            self.checkpoints.push(Checkpoint { tenant, history, position, hash: before, at });
        }
        self.checkpoints.push(Checkpoint { tenant, history, position: to, hash, at });
        self.archives.push(archive);
    }

    /// Takes a statement of this tenant.
    pub fn take(&mut self, statement: Statement) {
        match statement {
            Statement::Checkpoint(checkpoint) => self.checkpoints.push(checkpoint),
            Statement::Archive(archive) => self.take_archive(archive),
            Statement::Restore(restore) => self.restores.push(restore),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

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
        let archive = |from, to| Archive {
            tenant,
            history: 1,
            from,
            to,
            before: [5; 32],
            hash: [5; 32],
            recorded_from: at,
            recorded_to: at,
            object: String::new(),
            digest: [5; 32],
            at,
        };
        let mut archived = signed.clone();
        for _ in 0..2 {
            archived.take(Statement::Archive(archive(5, 12)));
            archived.take(Statement::Archive(archive(1, 4)));
        }
        assert_eq!(archived.archives(), [archive(1, 4), archive(5, 12)], "in order, and once");
        let restore = Statement::Restore(Restore { tenant, history: 2, from: 11, to: 30, at });
        archived.take(restore.clone());
        assert_eq!(archived.archives(), [archive(1, 4)]);
        assert_eq!(counted(&archived), [(1, 4), (1, 4), (1, 10), (2, 25), (2, 30)]);
        signed.take(restore);
        assert_eq!(counted(&signed), [(1, 10), (2, 25), (2, 30)]);
    }
}
