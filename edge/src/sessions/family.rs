//! The outcome of a presented refresh token, from the row after the batch. Pure.
//!
//! SQL decides about rotation and end; this function derives the outcome. A property test compares both with one
//! table.

use serde::Deserialize;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::{SessionId, UserId};
use shared::tokens::Refresh;
use shared::tokens::claims::{UserIdClaim, UserIdForm};
use shared::user::UserStatus;
use shared::wire::needs::Needs;

use crate::tokens::amr::{Amr, Method};

/// A family with its user, as [`crate::sql::FAMILY`] selects them. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FamilyRow {
    /// The user.
    pub user: UserId,
    /// The current generation.
    pub generation: i64,
    /// When it was created.
    pub rotated_at: i64,
    /// When the family ends if it is not used.
    pub idle_deadline: i64,
    /// When it ends at the latest.
    pub absolute_deadline: i64,
    /// The session epoch it was born under.
    pub session_epoch: i64,
    /// How the user signed in, as JSON.
    pub amr: String,
    /// When the user signed in.
    pub auth_time: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// The event of the call that ended it.
    pub ended_by: Option<String>,
    /// The user's status; `None` if there is no such user.
    pub status: Option<UserStatus>,
    /// The user's access epoch.
    pub access_epoch: Option<i64>,
    /// The user's session epoch.
    pub user_session_epoch: Option<i64>,
    /// The user's role names, as JSON.
    pub roles: Option<String>,
    /// The id that the old service gave the user.
    pub legacy_id: Option<String>,
    /// The features that a release must know to sign the user in, as JSON.
    pub needs: Option<String>,
    /// Since when the tenant demands a second factor of the user.
    pub factor_from: Option<i64>,
    /// When the user signed in.
    pub created_at: i64,
    /// When it was last rotated or renewed.
    pub used_at: i64,
    /// The tightest idle timeout of the user's roles, in milliseconds.
    pub idle_cap: Option<i64>,
    /// The tightest absolute one.
    pub absolute_cap: Option<i64>,
}

/// A presented refresh token, and what this call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshAttempt {
    /// The generation that the token names.
    pub generation: i64,
    /// Whether this call rotated the family.
    pub rotated: bool,
    /// Whether this call ended the family.
    pub ended: bool,
    /// The time of the call, Unix milliseconds.
    pub now: i64,
    /// The tenant's retry window in milliseconds.
    pub window: i64,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The family's current generation is the answer.
    Successor,
    /// One or two generations behind, within the window of the last rotation: refused; the family does not end.
    Behind,
    /// Too far behind: this call ended the family.
    Stolen,
    /// Ahead of the row: the database was restored, and this call ended the family.
    RolledBack,
    /// Past a deadline.
    Expired,
    /// The family ended, or its user's sessions did.
    Ended,
    /// The user is not active, or gone.
    Inactive,
    /// The tenant demands a second factor of the user, and the session showed none.
    FactorDue,
    /// The user's row needs a feature that this release does not know: nothing was changed.
    NotUnderstood,
}

impl FamilyRow {
    fn expired(&self, now: i64) -> bool {
        // By the present roles and settings, which may have changed since the deadlines were written.
        let over = |since: i64, cap: Option<i64>| cap.is_some_and(|cap| now >= since.saturating_add(cap));
        now >= self.idle_deadline
            || now >= self.absolute_deadline
            || over(self.used_at, self.idle_cap)
            || over(self.created_at, self.absolute_cap)
    }

    fn active(&self) -> bool {
        self.status == Some(UserStatus::Active)
    }

    /// Whether the family is active.
    fn living(&self) -> bool {
        self.ended_at.is_none() && self.user_session_epoch == Some(self.session_epoch)
    }

    /// Whether this release knows the features that the user's row needs.
    #[must_use]
    pub fn is_understood(&self) -> bool {
        Needs::column_is_met(self.needs.as_deref())
    }

    /// Whether the tenant requires a second factor of the user and the session used none.
    #[must_use]
    pub fn lacks_factor(&self, now: i64) -> bool {
        let demanded = self.factor_from.is_some_and(|from| from <= now);
        demanded && !Amr::from_column(&self.amr).has(Method::Mfa)
    }

    /// Whether the session is over for every token.
    #[must_use]
    pub fn is_over(&self, now: i64) -> bool {
        self.expired(now) || !self.active() || !self.living() || self.lacks_factor(now)
    }

    /// Milliseconds since the last rotation; never negative, even if clocks differ.
    fn elapsed(&self, now: i64) -> i64 {
        now.saturating_sub(self.rotated_at).max(0)
    }

    /// The user's id as the tenant's `user_id` claim has it.
    #[must_use]
    pub fn user_id(&self, form: UserIdForm) -> UserIdClaim {
        UserIdClaim::of(self.user, self.legacy_id.as_deref(), form)
    }

    /// The claims of the current generation's refresh token.
    #[must_use]
    pub fn refresh(&self, sid: SessionId, form: UserIdForm) -> Refresh {
        Refresh {
            sid,
            generation: self.generation,
            user: self.user,
            user_id: self.user_id(form),
            issued_at: self.rotated_at.div_euclid(1000),
            expires_at: self.idle_deadline.min(self.absolute_deadline).div_euclid(1000),
        }
    }
}

/// The outcome from the row after a refresh.
#[must_use]
pub fn outcome(row: &FamilyRow, presented: RefreshAttempt) -> Outcome {
    if presented.rotated {
        return Outcome::Successor;
    }
    let behind = row.generation.saturating_sub(presented.generation);
    if presented.ended {
        return if behind < 0 { Outcome::RolledBack } else { Outcome::Stolen };
    }
    if row.expired(presented.now) {
        return Outcome::Expired;
    }
    if !row.active() {
        return Outcome::Inactive;
    }
    if !row.living() {
        return Outcome::Ended;
    }
    if row.lacks_factor(presented.now) {
        return Outcome::FactorDue;
    }
    if !row.is_understood() {
        return Outcome::NotUnderstood;
    }
    if behind <= 0 {
        return Outcome::Ended;
    }
    let within = presented.window > 0 && row.elapsed(presented.now) <= presented.window;
    if behind == 1 && within { Outcome::Successor } else { Outcome::Behind }
}

impl Outcome {
    /// The refusal of an outcome; `None` for a successor.
    #[must_use]
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Successor => None,
            Self::Expired => Some(TokenFault::Expired.at_refresh()),
            Self::Inactive => Some(TokenFault::UserInactive.at_refresh()),
            Self::Behind | Self::Stolen | Self::RolledBack | Self::Ended | Self::FactorDue => {
                Some(TokenFault::Blacklisted.at_refresh())
            }
            Self::NotUnderstood => Some(Refusal::unavailable()),
        }
    }
}

/// The outcome of `verify` for a refresh token: changes nothing, and treats a generation inside its window like the
/// current one.
///
/// # Errors
/// Why the token is not valid.
pub fn verify(row: &FamilyRow, generation: i64, now: i64, window: i64) -> Result<(), TokenFault> {
    let behind = row.generation.saturating_sub(generation);
    let within = window > 0 && row.elapsed(now) <= window;
    if row.expired(now) {
        Err(TokenFault::Expired)
    } else if !row.active() {
        Err(TokenFault::UserInactive)
    } else if row.living() && !row.lacks_factor(now) && (behind == 0 || (behind == 1 && within)) {
        Ok(())
    } else {
        Err(TokenFault::Blacklisted)
    }
}
