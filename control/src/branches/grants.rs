//! What a user's roles permit, and over which users. Pure.

use shared::contract::permissions::{Permission, Permissions};
use uuid::Uuid;

use crate::db::Scope;

/// The place of a branch in the tree: the ids of the branches from the top down to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(pub(super) Vec<Uuid>);

impl Place {
    /// The place of these ids, from the top down.
    #[must_use]
    pub fn new(path: Vec<Uuid>) -> Self {
        Self(path)
    }

    /// Whether this is `other` or below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.id().is_some_and(|id| self.0.contains(&id))
    }

    /// The branches of this place that are not in `other`.
    #[must_use]
    pub fn without(&self, other: Option<&Self>) -> Vec<Uuid> {
        self.0.iter().copied().filter(|id| other.is_none_or(|other| !other.0.contains(id))).collect()
    }

    /// The ids of the branches from the top down to it.
    #[must_use]
    pub fn ids(self) -> Vec<Uuid> {
        self.0
    }

    /// The id of the branch.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        self.0.last().copied()
    }
}

/// The permissions of a user or a role: over all users of the tenant, and over those of branches and of the branches
/// below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    everywhere: Permissions,
    within: Vec<(Place, Permissions)>,
}

impl Grants {
    /// Permissions over all users.
    #[must_use]
    pub fn everywhere(permissions: Permissions) -> Self {
        Self { everywhere: permissions, within: Vec::new() }
    }

    /// Permissions over the users of a branch and of those below it.
    #[must_use]
    pub fn within(place: Place, permissions: Permissions) -> Self {
        Self { everywhere: Permissions::NONE, within: vec![(place, permissions)] }
    }

    /// Whether there is no permission at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.within.iter().all(|(_, permissions)| permissions.is_empty())
    }

    /// The permissions of both.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.everywhere = self.everywhere.with(other.everywhere);
        self.within.extend(other.within);
        self
    }

    /// Whether it has `permission` over all users.
    #[must_use]
    pub fn holds(&self, permission: Permission) -> bool {
        self.everywhere.holds(permission)
    }

    /// The users over whom it has `permission`; `None` if it has it over nobody.
    #[must_use]
    pub fn scope(&self, permission: Permission) -> Option<Scope> {
        if self.holds(permission) {
            return Some(Scope::Everyone);
        }
        let places = self.within.iter().filter(|(_, permissions)| permissions.holds(permission));
        let branches: Vec<Uuid> = places.filter_map(|(place, _)| place.id()).collect();
        if branches.is_empty() { None } else { Some(Scope::Within(branches)) }
    }

    /// The permissions over users at a place, or, for `None`, over users in no branch.
    #[must_use]
    pub fn at(&self, place: Option<&Place>) -> Permissions {
        let covering =
            self.within.iter().filter(|(root, _)| place.is_some_and(|place| place.is_within(root)));
        covering.fold(self.everywhere, |all, (_, permissions)| all.with(*permissions))
    }

    /// Whether it has every permission of `other`, over every user over whom `other` has it.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let everywhere = self.everywhere.includes(other.everywhere);
        everywhere
            && other.within.iter().all(|(place, permissions)| self.at(Some(place)).includes(*permissions))
    }

    /// The permissions that it has in branches only: the id of each branch, with names of permissions.
    pub fn in_branches(&self) -> impl Iterator<Item = (Uuid, Permissions)> {
        self.within.iter().filter_map(|(place, permissions)| Some((place.id()?, *permissions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ids: &[u128]) -> Place {
        Place::new(ids.iter().map(|id| Uuid::from_u128(*id)).collect())
    }

    fn of(names: &[&str]) -> Permissions {
        Permissions::named(names)
    }

    #[test]
    fn a_permission_within_a_branch_covers_those_below_it_alone() {
        let grants = Grants::within(place(&[1, 2]), of(&["users.read"]));
        assert!(!grants.holds(Permission::UsersRead), "not over all users");
        for (at, covered) in [
            (Some(place(&[1, 2])), true),
            (Some(place(&[1, 2, 3])), true),
            (Some(place(&[1])), false),
            (Some(place(&[1, 3])), false),
            (None, false),
        ] {
            assert_eq!(grants.at(at.as_ref()).holds(Permission::UsersRead), covered, "{at:?}");
        }
    }

    #[test]
    fn a_scope_is_everyone_or_the_branches_of_the_permission() {
        let grants = Grants::everywhere(of(&["users.read"]))
            .with(Grants::within(place(&[1, 2]), of(&["users.write"])))
            .with(Grants::within(place(&[3]), of(&["users.read", "users.write"])));
        assert_eq!(grants.scope(Permission::UsersRead), Some(Scope::Everyone));
        let both = vec![Uuid::from_u128(2), Uuid::from_u128(3)];
        assert_eq!(grants.scope(Permission::UsersWrite), Some(Scope::Within(both)));
        assert_eq!(grants.scope(Permission::AuditRead), None);
    }

    #[test]
    fn nobody_includes_what_reaches_further() {
        let write = of(&["users.write"]);
        let [all, top, low, other] = [
            Grants::everywhere(write),
            Grants::within(place(&[1]), write),
            Grants::within(place(&[1, 2]), write),
            Grants::within(place(&[3]), write),
        ];
        for (have, give, may) in [
            (&all, &all, true),
            (&all, &low, true),
            (&top, &all, false),
            (&top, &low, true),
            (&low, &top, false),
            (&top, &other, false),
            (&low, &Grants::default(), true),
        ] {
            assert_eq!(have.includes(give), may, "{have:?} {give:?}");
        }
        let two = low.clone().with(other.clone());
        assert!(two.includes(&low) && two.includes(&other) && !low.includes(&two));
        // Two roles of different branches add up where both reach.
        let reads = Grants::within(place(&[1]), of(&["users.read"])).with(low);
        assert!(reads.includes(&Grants::within(place(&[1, 2]), of(&["users.read", "users.write"]))));
        assert!(!reads.includes(&Grants::within(place(&[1]), of(&["users.read", "users.write"]))));
    }
}
