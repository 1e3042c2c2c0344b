//! A role as control knows it.

use chrono::{DateTime, Utc};
use shared::contract::permissions::{self, Permission, Permissions, REGISTRATION_RANK};
use uuid::Uuid;

use crate::branches::{BranchRole, Grants, Place};
use crate::failure::Failure;
use crate::tenants::TenantError;
use crate::users::{Faults, UserError};

/// A role of a tenant.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name, which tokens carry. It never changes.
    pub name: String,
    /// A title for people; may be empty.
    pub title: String,
    /// A description for people; may be empty.
    pub description: String,
    /// Its rank.
    pub rank: i32,
    /// Whether every tenant has it. It cannot be changed then.
    pub predefined: bool,
    /// The branch over whose users, and over those of the branches below it, the permissions hold. `None`: over all users.
    pub branch: Option<Uuid>,
    /// The ids of the branches from the top down to that one.
    pub path: Option<Vec<Uuid>>,
    /// Its permissions by name, as they are stored. Empty for a predefined role: see [`Role::permissions`].
    pub stored: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Role {
    /// The row of a predefined role.
    #[must_use]
    pub fn predefined(name: &str, rank: i32, now: DateTime<Utc>) -> Self {
        Self {
            name: name.to_owned(),
            title: String::new(),
            description: String::new(),
            rank,
            predefined: true,
            branch: None,
            path: None,
            stored: Vec::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// Its permissions, and over which users they hold.
    #[must_use]
    pub fn grants(&self) -> Grants {
        let permissions = match self.release() {
            Some(role) => role.grants(),
            None => Permissions::named(&self.stored),
        };
        self.grants_of(permissions)
    }

    /// These permissions, over the users of the role's branch.
    #[must_use]
    pub fn grants_of(&self, permissions: Permissions) -> Grants {
        match &self.path {
            None => Grants::everywhere(permissions),
            Some(path) => {
                let (name, place) = (self.name.clone(), Place::new(path.clone()));
                Grants::within(BranchRole { name, place, rank: self.rank, permissions })
            }
        }
    }

    /// The names of its permissions, sorted. A predefined role has `platform.*` only at the platform tenant.
    #[must_use]
    pub fn permissions(&self, at_platform: bool) -> Vec<String> {
        let Some(role) = self.release() else { return self.stored.clone() };
        let here = role.permissions.iter().filter(|permission| permission.exists(at_platform));
        let mut names: Vec<_> = here.map(|permission| permission.as_str().to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Whether users who register themselves may have it: below `staff`, and without permissions.
    #[must_use]
    pub fn is_for_registration(&self) -> bool {
        self.rank <= REGISTRATION_RANK && self.grants().is_empty()
    }

    /// The role as this release defines it, if it is predefined.
    fn release(&self) -> Option<&'static permissions::Role> {
        if self.predefined { permissions::Role::predefined(&self.name) } else { None }
    }
}

/// A role to be made.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    /// A title; may be empty.
    pub title: String,
    /// A description; may be empty.
    pub description: String,
    /// Its rank.
    pub rank: i32,
    /// Its permissions by name.
    pub permissions: Vec<String>,
    /// The branch over whose users they hold; none: over all users.
    pub branch: Option<Uuid>,
}

/// The fields of a change of a role; absent ones stay.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// Its name, if the request has one: another one is refused.
    pub name: Option<String>,
    /// Another title.
    pub title: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Another rank.
    pub rank: Option<i32>,
    /// All permissions by name.
    pub permissions: Option<Vec<String>>,
    /// Another branch; `Some(None)` makes the permissions hold over all users.
    pub branch: Option<Option<Uuid>>,
}

/// Why something about a role was not done.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// No role has that name.
    #[error("no such role")]
    NotFound,
    /// Fields with their messages.
    #[error("fields are not acceptable")]
    Fields(Faults),
    /// The role is at or above the actor's rank, or gives a permission that the actor does not have.
    #[error("the actor's rank or permissions do not allow this")]
    Rank,
    /// A predefined role.
    #[error("a predefined role cannot be changed or deleted")]
    Predefined,
    /// Users have the role, or settings name it.
    #[error("the role is in use")]
    InUse {
        /// How many users have it.
        users: i64,
        /// The settings of the tenant that name it.
        settings: Vec<&'static str>,
    },
    /// The tenant has as many custom roles as it may.
    #[error("the tenant has as many custom roles as it may")]
    Full,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<sqlx::Error> for RoleError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<UserError> for RoleError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Rank | UserError::NotFound | UserError::LastRootAdmin => Self::Rank,
            UserError::Fields(faults) => Self::Fields(faults),
            UserError::Failure(failure) => Self::Failure(failure),
        }
    }
}

impl From<TenantError> for RoleError {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Failure(failure) => Self::Failure(failure),
            TenantError::NotFound
            | TenantError::Fields(_)
            | TenantError::IsPlatform
            | TenantError::WrongState
            | TenantError::CellsExhausted => Self::NotFound,
        }
    }
}

/// Whether `name` is a permission that a role of such a tenant can have.
pub(super) fn permission_exists(name: &str, at_platform: bool) -> bool {
    Permission::parse(name).is_some_and(|permission| permission.exists(at_platform))
}

/// Whether `name` is a permission that a role of a branch can have.
pub(super) fn exists_in_branches(name: &str) -> bool {
    Permission::parse(name).is_some_and(Permission::exists_in_branches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, predefined: bool, rank: i32, stored: &[&str]) -> Role {
        Role {
            name: name.to_owned(),
            title: String::new(),
            description: String::new(),
            rank,
            predefined,
            branch: None,
            path: None,
            stored: stored.iter().map(|name| (*name).to_owned()).collect(),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_predefined_role_has_the_permissions_of_the_release() {
        let root = role("root-admin", true, 100, &[]);
        assert_eq!(root.grants(), Grants::everywhere(Permissions::EVERY));
        assert!(root.permissions(true).contains(&"platform.jobs_read".to_owned()));
        assert!(root.permissions(false).iter().all(|name| !name.starts_with("platform.")));
        assert!(root.permissions(false).is_sorted());
        // The name alone gives nothing.
        let named_like_one = role("root-admin", false, 50, &["users.read"]);
        let reads = Permissions::of(&[Permission::UsersRead]);
        assert_eq!(named_like_one.grants(), Grants::everywhere(reads));
        assert_eq!(named_like_one.permissions(true), ["users.read"]);
    }

    #[test]
    fn a_role_for_registration_is_low_and_empty() {
        assert!(role("client", true, 10, &[]).is_for_registration());
        assert!(role("member", false, 39, &[]).is_for_registration());
        assert!(!role("member", false, 40, &[]).is_for_registration());
        assert!(!role("member", false, 5, &["users.read"]).is_for_registration());
        assert!(!role("staff", true, 40, &[]).is_for_registration());
    }

    #[test]
    fn permissions_of_the_platform_exist_there_alone() {
        assert!(permission_exists("users.read", false) && permission_exists("platform.jobs_read", true));
        for (name, at_platform) in
            [("platform.jobs_read", false), ("users.raed", true), ("", true), ("*", true)]
        {
            assert!(!permission_exists(name, at_platform), "{name}");
        }
    }
}
