//! What a bucket's listing of versions says of each name: which one was first, and what was done to it since. Pure.

use std::collections::BTreeMap;

use super::object::{Disturbance, First, Found};

/// The versions of a listing, by name. S3 lists the newest version of each name first.
#[derive(Default)]
pub(super) struct Versions(BTreeMap<String, Seen>);

#[derive(Default)]
struct Seen {
    versions: usize,
    /// The last one that was listed: the oldest.
    oldest: Option<String>,
    deleted: bool,
}

impl Versions {
    pub(super) fn version(&mut self, name: &str, id: Option<String>) {
        let seen = self.0.entry(name.to_owned()).or_default();
        seen.versions += 1;
        seen.oldest = id;
    }

    pub(super) fn deletion(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default().deleted = true;
    }

    pub(super) fn into_found(self) -> Vec<Found> {
        let found = self.0.into_iter().map(|(name, seen)| Found {
            name,
            disturbed: match seen {
                Seen { deleted: true, .. } => Some(Disturbance::Deleted),
                Seen { versions: 2.., .. } => Some(Disturbance::Overwritten),
                Seen { .. } => None,
            },
            first: match (seen.versions, seen.oldest) {
                (0, _) => First::Nothing,
                (_, Some(id)) => First::Version(id),
                (_, None) => First::Itself,
            },
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_first_is_read_and_what_came_later_is_told() {
        let mut versions = Versions::default();
        for (name, id) in [("a", "1"), ("b", "3"), ("b", "2"), ("c", "5"), ("d", "7"), ("d", "6")] {
            versions.version(name, Some(id.to_owned()));
        }
        versions.version("e", None);
        for name in ["c", "d", "f"] {
            versions.deletion(name);
        }
        let found: Vec<_> =
            versions.into_found().into_iter().map(|it| (it.name, it.disturbed, it.first)).collect();
        let version = |id: &str| First::Version(id.to_owned());
        let (over, deleted) = (Some(Disturbance::Overwritten), Some(Disturbance::Deleted));
        let expected = [
            ("a", None, version("1")),
            ("b", over, version("2")),
            ("c", deleted, version("5")),
            ("d", deleted, version("6")),
            ("e", None, First::Itself),
            ("f", deleted, First::Nothing),
        ];
        assert_eq!(found, expected.map(|(name, disturbed, first)| (name.to_owned(), disturbed, first)));
    }
}
