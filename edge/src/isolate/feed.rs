//! Rows of the change feed, as storage gives them.

use serde::Deserialize;
use shared::user::UserStatus;

/// A feed row.
#[derive(Clone, Debug, Deserialize)]
pub struct FeedRow {
    /// The position in the feed.
    pub seq: i64,
    /// The kind of change.
    pub kind: Kind,
    /// The tenant, empty for the tombstone of a name.
    pub tenant: String,
    /// The changed object: a name, a user, a family or the tenant.
    pub subject: String,
    /// Only of a document.
    pub history: Option<i64>,
    /// Only of a document.
    pub rev: Option<i64>,
    /// Only of a user.
    pub status: Option<UserStatus>,
    /// Only of a user.
    pub access_epoch: Option<i64>,
    /// Only of a user.
    pub password_epoch: Option<i64>,
}

/// The result of a feed read.
#[derive(Clone, Copy, Debug)]
pub struct FeedRead<'a> {
    /// The shard.
    pub shard: &'a ShardRow,
    /// The rows after the cursor, up to the limit of one read.
    pub rows: &'a [FeedRow],
    /// The tenants and names that later rows concern, at most [`super::shard_cache::BEYOND`].
    pub beyond: &'a [BeyondRow],
}

/// A tenant or names that unread feed rows concern.
#[derive(Clone, Debug, Deserialize)]
pub struct BeyondRow {
    /// The tenant; empty for names.
    pub tenant: String,
}

/// The denials of one tenant, read when an isolate loads it.
#[derive(Clone, Copy, Debug)]
pub struct Denials<'a> {
    /// The rows of the feed.
    pub rows: &'a [DenialRow],
    /// Whether the tenant is crowded: then the feed does not list its changes, and there are no denials here.
    pub crowded: bool,
}

/// A row of the feed about a user or a family of one tenant.
#[derive(Clone, Debug, Deserialize)]
pub struct DenialRow {
    /// User or family.
    pub kind: Kind,
    /// The user or session.
    pub subject: String,
    /// Only of a user.
    pub status: Option<UserStatus>,
    /// Only of a user.
    pub access_epoch: Option<i64>,
    /// Only of a user.
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
    /// The tenant is crowded from here on: the feed does not list its users and sessions.
    Crowd,
    /// It is no longer crowded: unlisted changes concern no unexpired token.
    Calm,
    /// A kind of a later release. Features that must not be ignored have a word in `needs`, which the statements
    /// check.
    #[serde(other)]
    Later,
}

/// The shard's row.
#[derive(Clone, Debug, Deserialize)]
pub struct ShardRow {
    /// The random id of the database.
    pub incarnation: String,
    /// Position of the newest feed row there ever was.
    pub head: i64,
    /// Position of the oldest that is kept.
    pub oldest: Option<i64>,
}
