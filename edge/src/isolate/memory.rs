//! What an isolate remembers of one tenant: its document, and what the feed denies of its tokens.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use shared::contract::refusal::TokenFault;
use shared::epochs;
use shared::ids::{SessionId, UserId};
use shared::user::UserStatus;

use crate::isolate::feed::{DenialRow, FeedRow, Kind};
use crate::isolate::opened::OpenedTenant;

/// A tenant in the cache of this isolate.
pub(super) struct TenantMemory {
    pub opened: Rc<OpenedTenant>,
    /// The newest revision of the document in the feed.
    pub revision: (i64, i64),
    pub users: HashMap<UserId, Denial>,
    pub ended: HashSet<SessionId>,
    /// Whether the tenant is crowded: so many of its users changed that the feed no longer lists users and sessions one
    /// by one, and the rows in D1 decide.
    pub crowded: bool,
    pub used_at: u64,
    pub unknown_kid_at: u64,
}

/// The denied tokens of a user: the epochs are the user's own counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    status: UserStatus,
    access_epoch: i64,
    password_epoch: i64,
}

/// The result of checking a token against an isolate's cached data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing is denied.
    Good,
    /// It is denied.
    Denied(TokenFault),
    /// The tenant is crowded: the rows of its user and its session say.
    AskStorage,
}

impl TenantMemory {
    pub fn judge(&self, user: UserId, sid: SessionId, epoch: i64) -> Judgement {
        match self.denied(user, sid, epoch) {
            Err(fault) => Judgement::Denied(fault),
            Ok(()) if self.crowded => Judgement::AskStorage,
            Ok(()) => Judgement::Good,
        }
    }

    fn denied(&self, user: UserId, sid: SessionId, epoch: i64) -> Result<(), TokenFault> {
        // The newest history in the feed: a reseed counts before its document is read.
        let counter = epoch.saturating_sub(epochs::floor(self.revision.0));
        if let Some(denial) = self.users.get(&user) {
            denial.judge(counter)?;
        }
        if counter < 0 || self.ended.contains(&sid) { Err(TokenFault::Blacklisted) } else { Ok(()) }
    }

    pub fn apply_row(&mut self, row: &FeedRow) {
        match row.kind {
            Kind::Name | Kind::Later => {}
            Kind::Document => {
                self.revision = self.revision.max((row.history.unwrap_or(0), row.rev.unwrap_or(0)));
            }
            Kind::Crowd | Kind::Calm => {
                self.crowded = row.kind == Kind::Crowd;
                (self.users, self.ended) = Default::default();
            }
            Kind::Family | Kind::User => self.deny(&DenialRow {
                kind: row.kind,
                subject: row.subject.clone(),
                status: row.status,
                access_epoch: row.access_epoch,
                password_epoch: row.password_epoch,
            }),
        }
    }

    pub fn deny(&mut self, row: &DenialRow) {
        match row.kind {
            Kind::Name | Kind::Later | Kind::Document | Kind::Crowd | Kind::Calm => {}
            Kind::Family => {
                if let Ok(sid) = SessionId::parse(&row.subject) {
                    self.ended.insert(sid);
                }
            }
            Kind::User => {
                if let (Ok(user), Some(denial)) = (UserId::parse(&row.subject), Denial::of(row)) {
                    self.users.insert(user, denial);
                }
            }
        }
    }
}

impl Denial {
    fn of(row: &DenialRow) -> Option<Self> {
        Some(Self {
            status: row.status?,
            access_epoch: row.access_epoch?,
            password_epoch: row.password_epoch?,
        })
    }

    /// Judges a token by its counter: its epoch above the floor, below zero for one of an earlier history.
    fn judge(self, counter: i64) -> Result<(), TokenFault> {
        // Every entry of the feed raised the counter, and only active users get a token: one with a later counter was
        // issued after it, by what has not reached this isolate yet. A deletion is for good, and its tombstone has no
        // epochs.
        if counter > self.access_epoch && self.status != UserStatus::Deleted {
            return Ok(());
        }
        match self.status {
            UserStatus::Deleted => Err(TokenFault::UserNotFound),
            UserStatus::Suspended | UserStatus::Inactive | UserStatus::Pending => {
                Err(TokenFault::UserInactive)
            }
            UserStatus::Active if counter < 0 => Err(TokenFault::Blacklisted),
            UserStatus::Active if counter < self.password_epoch => Err(TokenFault::PasswordChanged),
            UserStatus::Active if counter < self.access_epoch => Err(TokenFault::Blacklisted),
            UserStatus::Active => Ok(()),
        }
    }
}
