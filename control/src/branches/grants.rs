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

/// What several roles together give over the same users.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// The highest rank among them; `None` without a role.
    pub rank: Option<i32>,
    /// Their permissions.
    pub permissions: Permissions,
}

/// What a role gives over the users of a branch and of those below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchRole {
    /// The name of the role.
    pub name: String,
    /// The branch.
    pub place: Place,
    /// The rank of the role, which counts there alone.
    pub rank: i32,
    /// Its permissions.
    pub permissions: Permissions,
}

/// The permissions of a user or a role: over all users of the tenant, and over those of branches and of the branches
/// below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    everywhere: Permissions,
    within: Vec<BranchRole>,
}

impl Grants {
    /// Permissions over all users.
    #[must_use]
    pub fn everywhere(permissions: Permissions) -> Self {
        Self { everywhere: permissions, within: Vec::new() }
    }

    /// What a role of a branch gives.
    #[must_use]
    pub fn within(role: BranchRole) -> Self {
        Self { everywhere: Permissions::NONE, within: vec![role] }
    }

    /// Whether there is no permission at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.within.iter().all(|role| role.permissions.is_empty())
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

    /// The users over whom it has `permission`; `None` if it does not have that permission over any user.
    #[must_use]
    pub fn scope(&self, permission: Permission) -> Option<Scope> {
        if self.holds(permission) {
            return Some(Scope::Everyone);
        }
        let roles = self.within.iter().filter(|role| role.permissions.holds(permission));
        let branches: Vec<Uuid> = roles.filter_map(|role| role.place.id()).collect();
        if branches.is_empty() { None } else { Some(Scope::Within(branches)) }
    }

    /// The permissions over users at a place, or, for `None`, over users in no branch.
    #[must_use]
    pub fn at(&self, place: Option<&Place>) -> Permissions {
        self.covering(place).fold(self.everywhere, |all, role| all.with(role.permissions))
    }

    /// The highest rank among the roles of branches that cover a place; 0 without one.
    #[must_use]
    pub fn rank_at(&self, place: Option<&Place>) -> i32 {
        self.covering(place).map(|role| role.rank).max().unwrap_or(0)
    }

    /// The roles of branches that cover a place.
    fn covering<'a>(&'a self, place: Option<&'a Place>) -> impl Iterator<Item = &'a BranchRole> {
        self.within.iter().filter(move |role| place.is_some_and(|place| place.is_within(&role.place)))
    }

    /// Whether it has every permission of `other`, over every user over whom `other` has it.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let within = |role: &BranchRole| self.at(Some(&role.place)).includes(role.permissions);
        self.everywhere.includes(other.everywhere) && other.within.iter().all(within)
    }

    /// Whether it has, with the rank `everywhere`, no lower rank than `other` at any branch of a role of `other`.
    #[must_use]
    pub fn is_nowhere_below(&self, everywhere: i32, other: &Self) -> bool {
        other.within.iter().all(|role| everywhere.max(self.rank_at(Some(&role.place))) >= role.rank)
    }

    /// The roles of branches.
    #[must_use]
    pub fn branch_roles(&self) -> &[BranchRole] {
        &self.within
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

    fn within(ids: &[u128], names: &[&str]) -> Grants {
        let (place, permissions) = (place(ids), of(names));
        Grants::within(BranchRole { name: String::from("role"), place, rank: 30, permissions })
    }

    #[test]
    fn a_permission_within_a_branch_covers_those_below_it_alone() {
        let grants = within(&[1, 2], &["users.read"]);
        assert!(!grants.holds(Permission::UsersRead), "not over all users");
        for (at, covered) in [
            (Some(place(&[1, 2])), true),
            (Some(place(&[1, 2, 3])), true),
            (Some(place(&[1])), false),
            (Some(place(&[1, 3])), false),
            (None, false),
        ] {
            assert_eq!(grants.at(at.as_ref()).holds(Permission::UsersRead), covered, "{at:?}");
            assert_eq!(grants.rank_at(at.as_ref()), if covered { 30 } else { 0 }, "{at:?}");
        }
    }

    #[test]
    fn a_scope_is_everyone_or_the_branches_of_the_permission() {
        let grants = Grants::everywhere(of(&["users.read"]))
            .with(within(&[1, 2], &["users.write"]))
            .with(within(&[3], &["users.read", "users.write"]));
        assert_eq!(grants.scope(Permission::UsersRead), Some(Scope::Everyone));
        let both = vec![Uuid::from_u128(2), Uuid::from_u128(3)];
        assert_eq!(grants.scope(Permission::UsersWrite), Some(Scope::Within(both)));
        assert_eq!(grants.scope(Permission::AuditRead), None);
    }

    #[test]
    fn grants_do_not_include_what_reaches_further() {
        let write = of(&["users.write"]);
        let [all, top, low, other] = [
            Grants::everywhere(write),
            within(&[1], &["users.write"]),
            within(&[1, 2], &["users.write"]),
            within(&[3], &["users.write"]),
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
        let reads = within(&[1], &["users.read"]).with(low);
        assert!(reads.includes(&within(&[1, 2], &["users.read", "users.write"])));
        assert!(!reads.includes(&within(&[1], &["users.read", "users.write"])));
    }
}
