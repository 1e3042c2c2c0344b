//! A branch as control knows it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::grants::Place;
use crate::failure::Failure;
use crate::tenants::TenantError;
use crate::users::{Faults, UserError};

/// A branch of a tenant.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Its id.
    pub id: Uuid,
    /// Its name; no other branch directly below the same one has it.
    pub name: String,
    /// The branch that it is directly below, if any.
    pub parent: Option<Uuid>,
    /// Its place in the tree.
    pub place: Place,
    /// When it was archived. From then on no user can be added to it.
    pub archived_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A branch to be made.
#[derive(Clone, Debug)]
pub struct NewBranch {
    /// Its name.
    pub name: String,
    /// The branch that it is to be directly below; none for the top.
    pub parent: Option<Uuid>,
}

/// The fields of a change of a branch; absent ones stay.
#[derive(Clone, Debug, Default)]
pub struct BranchChange {
    /// Another name.
    pub name: Option<String>,
    /// Another parent; `Some(None)` moves it to the top.
    pub parent: Option<Option<Uuid>>,
    /// Whether the branch is to be archived: no user can be added to it then.
    pub archived: Option<bool>,
}

/// Why something about a branch was not done.
#[derive(Debug, thiserror::Error)]
pub enum BranchError {
    /// No branch has that id.
    #[error("no such branch")]
    NotFound,
    /// Fields with their messages.
    #[error("fields are not acceptable")]
    Fields(Faults),
    /// The move would give roles permissions over the users of the branch that the actor does not have.
    #[error("the actor's permissions do not allow this")]
    Rank,
    /// It has users or branches, or roles name it.
    #[error("the branch is in use")]
    InUse {
        /// How many users are in it.
        users: i64,
        /// How many branches are directly below it.
        branches: i64,
        /// The roles that name it.
        roles: Vec<String>,
    },
    /// The tenant has as many branches as it may.
    #[error("the tenant has as many branches as it may")]
    Full,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<UserError> for BranchError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Rank | UserError::NotFound | UserError::LastRootAdmin => Self::Rank,
            UserError::Fields(faults) => Self::Fields(faults),
            UserError::Failure(failure) => Self::Failure(failure),
        }
    }
}

impl From<TenantError> for BranchError {
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
