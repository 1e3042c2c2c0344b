//! Rows of the change feed, as storage gives them.

use serde::Deserialize;
use shared::user::UserStatus;

/// A feed row.
#[derive(Clone, Debug, Deserialize)]
pub struct FeedRow {
    /// Its position.
    pub seq: i64,
    /// What changed.
    pub kind: Kind,
    /// The tenant, empty for the tombstone of a name.
    pub tenant: String,
    /// Which one: a name, a user, a family, the tenant.
    pub subject: String,
    /// Of a document.
    pub history: Option<i64>,
    /// Of a document.
    pub rev: Option<i64>,
    /// Of a user.
    pub status: Option<UserStatus>,
    /// Of a user.
    pub access_epoch: Option<i64>,
    /// Of a user.
    pub password_epoch: Option<i64>,
}

/// What a feed read found.
#[derive(Clone, Copy, Debug)]
pub struct FeedRead<'a> {
    /// The shard.
    pub shard: &'a ShardRow,
    /// The rows after the cursor, as many as one read takes.
    pub rows: &'a [FeedRow],
    /// What the rows after those concern, [`super::knowledge::BEYOND`] of them at most.
    pub beyond: &'a [BeyondRow],
}

/// What feed rows concern that were not read.
#[derive(Clone, Debug, Deserialize)]
pub struct BeyondRow {
    /// The tenant; empty for names.
    pub tenant: String,
}

/// What is denied at one tenant, when an isolate meets it.
#[derive(Clone, Copy, Debug)]
pub struct Denials<'a> {
    /// The rows of the feed.
    pub rows: &'a [DenialRow],
    /// Whether the tenant is crowded: then the feed does not tell, and there are none.
    pub crowded: bool,
}

/// A row of the feed about a user or a family of one tenant.
#[derive(Clone, Debug, Deserialize)]
pub struct DenialRow {
    /// User or family.
    pub kind: Kind,
    /// Which one.
    pub subject: String,
    /// Of a user.
    pub status: Option<UserStatus>,
    /// Of a user.
    pub access_epoch: Option<i64>,
    /// Of a user.
    pub password_epoch: Option<i64>,
}

/// Kinds of feed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A tenant's document has a new revision.
    Document,
    /// A host or slug names another tenant, or none.
    Name,
    /// A user's status or epochs changed.
    User,
    /// A session ended.
    Family,
    /// A tenant is crowded from here on: its users and sessions are not told of.
    Crowd,
    /// It is crowded no more: what was not told of concerns no living token.
    Calm,
    /// A kind of a later release. What must not be ignored comes with a need, which storage checks.
    #[serde(other)]
    Later,
}

/// The shard's row.
#[derive(Clone, Debug, Deserialize)]
pub struct ShardRow {
    /// This life of the database.
    pub incarnation: String,
    /// Position of the newest feed row there ever was.
    pub head: i64,
    /// Position of the oldest that is kept.
    pub oldest: Option<i64>,
}
