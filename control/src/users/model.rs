//! A user as control knows them.

use chrono::{DateTime, Utc};
use shared::ids::UserId;
use shared::user::UserStatus;
use uuid::Uuid;

use super::fields::{Faults, Profile};
use super::successor::Successor;
use super::visibility::FieldVisibilities;
use crate::audit::Who;
use crate::branches::{Grants, Place};
use crate::crypt::personal::Personal;
use crate::failure::Failure;
use crate::passwords::Hashed;

/// A user.
#[derive(Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// User name as typed.
    pub username: Personal,
    /// Address as typed.
    pub email: Option<Personal>,
    /// First name.
    pub first_name: Personal,
    /// Last name.
    pub last_name: Personal,
    /// Telephone number.
    pub phone: Personal,
    /// The language in which they are written to, as a tag; empty for the tenant's.
    pub language: String,
    /// Their status; never `deleted`, since a deleted user has no row.
    pub status: UserStatus,
    /// Whether the address was verified.
    pub email_verified: bool,
    /// Their roles, highest rank first.
    pub roles: Vec<String>,
    /// The highest rank among all their roles; 0 without a role. Only an actor of a higher rank may act on them.
    pub rank: i32,
    /// The highest rank among their roles that belong to no branch: their rank as an actor, where no role of a branch
    /// gives a higher one.
    pub rank_everywhere: i32,
    /// What their roles permit, and over which users.
    pub grants: Grants,
    /// The place of the branch that they are in, if any.
    pub place: Option<Place>,
    /// Raised by what ends access tokens.
    pub access_epoch: i64,
    /// Raised by what ends sessions.
    pub session_epoch: i64,
    /// The access epoch of the last password change.
    pub password_epoch: i64,
    /// Whether they must choose a new password before there is a session.
    pub must_change_password: bool,
    /// Whether they have an authenticator, so that a sign-in needs a code of it.
    pub mfa_enabled: bool,
    /// How complete their profile is, in percent.
    pub profile_completion: u8,
    /// Their last sign-in, as the edge reported it.
    pub last_login: Option<DateTime<Utc>>,
    /// When they were made.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
    /// Their id at the service that the tenant came from, or the one that it would have given next.
    pub legacy_id: Option<String>,
}

impl User {
    /// The user as an actor in their tenant.
    #[must_use]
    pub fn who(&self) -> Who {
        Who::User { id: self.id, rank: self.rank_everywhere, grants: self.grants.clone() }
    }

    /// The id of the branch that they are in, if any.
    #[must_use]
    pub fn branch(&self) -> Option<Uuid> {
        self.place.as_ref().and_then(Place::id)
    }

    /// The user as an actor on other tenants than the platform's.
    #[must_use]
    pub fn platform(&self) -> Who {
        Who::Platform { id: self.id, rank: self.rank_everywhere, grants: self.grants.clone() }
    }
}

/// A user to be made.
pub struct NewUser {
    /// Names and address.
    pub profile: Profile,
    /// Their status.
    pub status: UserStatus,
    /// Their roles by name.
    pub roles: Vec<String>,
    /// The branch that they are to be in, if any.
    pub branch: Option<Uuid>,
    /// Their password; without one they cannot sign in yet.
    pub password: Option<Hashed>,
    /// Whether they must choose a new password before there is a session.
    pub must_change_password: bool,
    /// Whether the address counts as verified.
    pub email_verified: bool,
}

/// The fields of a change of a user; absent ones stay.
#[derive(Default)]
pub struct Change {
    /// User name.
    pub username: Option<String>,
    /// Address; `Some(None)` takes it away.
    pub email: Option<Option<String>>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// Language; empty for the tenant's.
    pub language: Option<String>,
    /// Status.
    pub status: Option<UserStatus>,
    /// All roles by name.
    pub roles: Option<Vec<String>>,
    /// Another branch; `Some(None)` takes them out of theirs.
    pub branch: Option<Option<Uuid>>,
    /// A new password.
    pub password: Option<Successor>,
    /// Whether they must choose a new password before there is a session.
    pub must_change_password: Option<bool>,
    /// Whether the address counts as verified.
    pub email_verified: Option<bool>,
    /// Which fields of the user the caller sees; absent: all.
    pub seen: Option<FieldVisibilities>,
    /// The user gets no notice: the change was made in the legacy service, and is taken over here.
    pub untold: bool,
}

/// Why something about a user was not done.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No user has that id or name.
    #[error("no such user")]
    NotFound,
    /// Fields with their messages.
    #[error("fields are not acceptable")]
    Fields(Faults),
    /// The actor's rank is not above what this touches, or it gives a permission that the actor does not have.
    #[error("the actor's rank or permissions do not allow this")]
    Rank,
    /// The tenant would have no root-admin left.
    #[error("the last active root-admin cannot go")]
    LastRootAdmin,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Why a list of users was not made.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The search index is being rebuilt.
    #[error("the search index is being rebuilt: ask again in a few seconds")]
    Rebuilding,
    /// More users match than are ordered in memory.
    #[error("{0} orders up to 10,000 people, and more match: narrow the list, or order it otherwise.")]
    TooManyToOrder(String),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<sqlx::Error> for UserError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

/// Reads the stored form of a status.
pub(super) fn parse_status(text: &str) -> Option<UserStatus> {
    [UserStatus::Active, UserStatus::Suspended, UserStatus::Inactive, UserStatus::Pending]
        .into_iter()
        .find(|status| status.as_str() == text)
}

/// Reads the stored form of a status.
///
/// # Errors
/// If the text is no status.
pub fn status(text: &str) -> Result<UserStatus, Failure> {
    parse_status(text).ok_or(Failure::Unreadable("status"))
}
