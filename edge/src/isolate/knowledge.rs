//! What an isolate knows of a shard, and how old that knowledge is. Pure: rows come in, answers go
//! out.
//!
//! Below a second it serves; above, it serves and one request refreshes in the background; above
//! three seconds, also after sleeping, a request reads before it answers.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde::Deserialize;
use shared::contract::limits::{FEED_SECS, FRESH_MS, STALE_MS};
use shared::contract::refusal::TokenFault;
use shared::epochs;
use shared::ids::{SessionId, TenantId, UserId};
use shared::user::UserStatus;

use crate::isolate::opened::OpenedTenant;

/// How long a background refresh may hold its lease before another request starts one: a cancelled
/// refresher must not wedge the isolate.
const LEASE_MS: u64 = 1000;
/// Tenants that an isolate remembers; the least recently used one goes first.
const TENANTS: usize = 512;
/// Tenants that unread rows of the feed may concern before it is cheaper to forget all of them.
pub const BEYOND: usize = TENANTS + 1;
/// Names that an isolate remembers, unknown ones included.
const NAMES: usize = 10_000;

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
    /// What the rows after those concern, [`BEYOND`] of them at most.
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

/// What an isolate's knowledge says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing is denied.
    Good,
    /// It is denied.
    Denied(TokenFault),
    /// The tenant is crowded: the rows of its user and its session say.
    AskStorage,
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

/// What is denied of a user's tokens: the epochs are the user's own counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Denial {
    status: UserStatus,
    access_epoch: i64,
    password_epoch: i64,
}

/// A tenant that this isolate has met.
struct TenantMemory {
    known: Rc<OpenedTenant>,
    /// The newest revision of the document that the feed has told of.
    revision: (i64, i64),
    users: HashMap<UserId, Denial>,
    ended: HashSet<SessionId>,
    /// Whether the feed is silent about users and sessions.
    crowded: bool,
    used_at: u64,
    unknown_kid_at: u64,
}

/// How the age of what is known decides a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Serve.
    Fresh,
    /// Serve; this request holds the lease and refreshes afterwards.
    RefreshAfter,
    /// Read first.
    ReadFirst,
}

/// What an isolate knows of one shard.
#[derive(Default)]
pub struct Knowledge {
    incarnation: String,
    cursor: i64,
    /// The start of the read that told it; 0 if there was none.
    as_of: u64,
    lease_until: u64,
    pruned_at: u64,
    names: HashMap<String, Option<TenantId>>,
    met: HashMap<TenantId, TenantMemory>,
}

impl Knowledge {
    /// Milliseconds since the read that told what is known; `None` before the first.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        (self.as_of > 0).then(|| now_ms.saturating_sub(self.as_of))
    }

    /// Decides by age, and takes the lease where a refresh is due.
    pub fn freshness(&mut self, now_ms: u64) -> Freshness {
        match self.age_ms(now_ms) {
            Some(age) if age < FRESH_MS => Freshness::Fresh,
            Some(age) if age <= STALE_MS => {
                if now_ms < self.lease_until {
                    return Freshness::Fresh;
                }
                self.lease_until = now_ms.saturating_add(LEASE_MS);
                Freshness::RefreshAfter
            }
            _ => Freshness::ReadFirst,
        }
    }

    /// Where the next feed read begins.
    #[must_use]
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Takes in a feed read that began at `read_at`.
    ///
    /// Where the feed had more rows than one read takes, the tenants that the rest concerns are forgotten, and
    /// met again when they are asked for; all others are untouched.
    ///
    /// Reads of several requests may end in another order than they began: one that is overtaken
    /// by a younger one tells nothing, and rows that are known already are not applied again.
    pub fn apply(&mut self, read_at: u64, FeedRead { shard, rows, beyond }: FeedRead<'_>) {
        if read_at < self.as_of || (read_at == self.as_of && shard.head < self.cursor) {
            return;
        }
        let reborn = self.incarnation != shard.incarnation || shard.head < self.cursor;
        let missed = shard.head > self.cursor && shard.oldest.is_none_or(|oldest| oldest > self.cursor + 1);
        if reborn || missed || beyond.len() >= BEYOND {
            self.forget(shard);
        } else {
            let cursor = self.cursor;
            for row in rows.iter().filter(|row| row.seq > cursor) {
                self.apply_row(row);
            }
            beyond.iter().for_each(|row| self.forget_one(row));
            self.cursor = shard.head.max(rows.last().map_or(0, |last| last.seq));
        }
        self.as_of = read_at;
        self.lease_until = 0;
        self.prune(read_at);
    }

    /// Another life of the database, or rows that were missed: nothing that was known counts.
    fn forget(&mut self, shard: &ShardRow) {
        self.names.clear();
        self.met.clear();
        self.incarnation.clone_from(&shard.incarnation);
        self.cursor = shard.head;
    }

    /// Rows about this tenant, or about names, were not read.
    fn forget_one(&mut self, row: &BeyondRow) {
        if row.tenant.is_empty() {
            self.names.clear();
        } else if let Ok(tenant) = TenantId::parse(&row.tenant) {
            self.met.remove(&tenant);
        }
    }

    fn apply_row(&mut self, row: &FeedRow) {
        if row.kind == Kind::Name {
            self.names.remove(&row.subject);
            return;
        }
        let Ok(tenant) = TenantId::parse(&row.tenant) else { return };
        if let Some(met) = self.met.get_mut(&tenant) {
            met.apply_row(row);
        }
    }

    /// Meets a tenant: its document, and the denials that live. The first meeting of all also
    /// says where the feed is.
    ///
    /// False if a feed read has overtaken the question: it may have passed over denials of this
    /// tenant, which was not met then, so the question has to be asked again.
    #[must_use]
    pub fn meet(
        &mut self,
        read_at: u64,
        shard: &ShardRow,
        known: Rc<OpenedTenant>,
        denials: Denials<'_>,
    ) -> bool {
        if self.as_of == 0 || (self.incarnation != shard.incarnation && read_at >= self.as_of) {
            self.forget(shard);
            self.as_of = read_at;
        }
        if self.incarnation != shard.incarnation || shard.head < self.cursor {
            return false;
        }
        self.make_room();
        let revision = known.tenant.revision();
        let id = known.tenant.id;
        let mut met = TenantMemory {
            known,
            revision,
            users: HashMap::new(),
            ended: HashSet::new(),
            crowded: denials.crowded,
            used_at: read_at,
            unknown_kid_at: 0,
        };
        for row in denials.rows {
            met.deny(row);
        }
        self.met.insert(id, met);
        true
    }

    fn make_room(&mut self) {
        if self.met.len() >= TENANTS {
            let oldest = self.met.iter().min_by_key(|(_, met)| met.used_at).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.met.remove(&id);
            }
        }
    }

    /// Remembers whose a name is.
    pub fn name(&mut self, name: &str, tenant: Option<TenantId>) {
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        self.names.insert(name.to_owned(), tenant);
    }

    /// Remembers that a name was nobody's, unless a feed read has overtaken the question.
    pub fn nobody(&mut self, name: &str, shard: &ShardRow) {
        if self.incarnation == shard.incarnation && shard.head >= self.cursor {
            self.name(name, None);
        }
    }

    /// Forgets whose a name is.
    pub fn forget_name(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Whose a name is: `None` if this isolate does not know, `Some(None)` if nobody's.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Option<TenantId>> {
        self.names.get(name).copied()
    }

    /// What is known of a tenant, and whether the feed has told of a newer document.
    pub fn known(&mut self, tenant: TenantId, now_ms: u64) -> Option<(Rc<OpenedTenant>, bool)> {
        let met = self.met.get_mut(&tenant)?;
        met.used_at = now_ms;
        Some((met.known.clone(), met.known.tenant.revision() < met.revision))
    }

    /// Takes in a newer document of a tenant that is met; an older one is left.
    pub fn renew(&mut self, known: Rc<OpenedTenant>) {
        if let Some(met) = self.met.get_mut(&known.tenant.id) {
            met.revision = met.revision.max(known.tenant.revision());
            if known.tenant.revision() >= met.known.tenant.revision() {
                met.known = known;
            }
        }
    }

    /// What the feed says of a token of this user, session and epoch. `None` while the tenant is not
    /// met: a request that found it may have waited while it was forgotten, and then nothing is known.
    #[must_use]
    pub fn judge(&self, tenant: TenantId, user: UserId, sid: SessionId, epoch: i64) -> Option<Judgement> {
        self.met.get(&tenant).map(|met| met.judge(user, sid, epoch))
    }

    /// Whether the feed has told of this user: of what counts against a legacy token of theirs, only their
    /// row knows.
    #[must_use]
    pub fn told_of(&self, tenant: TenantId, user: UserId) -> bool {
        self.met.get(&tenant).is_some_and(|met| met.users.contains_key(&user))
    }

    /// Whether the feed is silent about this tenant's users.
    #[must_use]
    pub fn is_crowded(&self, tenant: TenantId) -> bool {
        self.met.get(&tenant).is_some_and(|met| met.crowded)
    }

    /// A session that this isolate itself has ended, ahead of the feed.
    pub fn end(&mut self, tenant: TenantId, sid: SessionId) {
        if let Some(met) = self.met.get_mut(&tenant) {
            met.ended.insert(sid);
        }
    }

    /// Whether an unknown `kid` or issuer of this tenant may cost a read now; takes the turn.
    pub fn may_ask_for_kid(&mut self, tenant: TenantId, now_ms: u64, every_ms: u64) -> bool {
        let Some(met) = self.met.get_mut(&tenant) else { return false };
        let due = now_ms >= met.unknown_kid_at.saturating_add(every_ms);
        if due {
            met.unknown_kid_at = now_ms;
        }
        due
    }

    /// Now and then drops the tenants whose denials may have outlived every token: meeting them
    /// anew costs one question, remembering each denial's time would cost memory for all.
    fn prune(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.pruned_at) > FEED_SECS * 1000 {
            if self.pruned_at > 0 {
                self.met.retain(|_, met| met.users.is_empty() && met.ended.is_empty());
            }
            self.pruned_at = now_ms;
        }
    }
}

impl TenantMemory {
    fn judge(&self, user: UserId, sid: SessionId, epoch: i64) -> Judgement {
        match self.denied(user, sid, epoch) {
            Err(fault) => Judgement::Denied(fault),
            Ok(()) if self.crowded => Judgement::AskStorage,
            Ok(()) => Judgement::Good,
        }
    }

    fn denied(&self, user: UserId, sid: SessionId, epoch: i64) -> Result<(), TokenFault> {
        // The newest history that the feed has told of: a reseed counts before its document is read.
        let counter = epoch.saturating_sub(epochs::floor(self.revision.0));
        if let Some(denial) = self.users.get(&user) {
            denial.judge(counter)?;
        }
        if counter < 0 || self.ended.contains(&sid) { Err(TokenFault::Blacklisted) } else { Ok(()) }
    }

    fn apply_row(&mut self, row: &FeedRow) {
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

    fn deny(&mut self, row: &DenialRow) {
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
        // Whatever is told here raised the counter, and only somebody active is given a token: one with a
        // later counter was issued after it, by what has not reached this isolate yet. A deletion is for
        // good, and its tombstone has no epochs.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolate::opened::tests::known;

    const NONE: Denials<'_> = Denials { rows: &[], crowded: false };

    fn read<'a>(shard: &'a ShardRow, rows: &'a [FeedRow]) -> FeedRead<'a> {
        FeedRead { shard, rows, beyond: &[] }
    }

    fn shard(incarnation: &str, head: i64, oldest: Option<i64>) -> ShardRow {
        ShardRow { incarnation: incarnation.into(), head, oldest }
    }

    fn user_row(
        seq: i64,
        known: &OpenedTenant,
        user: UserId,
        status: &str,
        access: i64,
        password: i64,
    ) -> FeedRow {
        FeedRow {
            seq,
            kind: Kind::User,
            tenant: known.tenant.id.to_string(),
            subject: user.to_string(),
            history: None,
            rev: None,
            status: serde_json::from_value(status.into()).unwrap(),
            access_epoch: Some(access),
            password_epoch: Some(password),
        }
    }

    fn met() -> (Knowledge, Rc<OpenedTenant>) {
        let known = Rc::new(known());
        let mut knowledge = Knowledge::default();
        assert!(knowledge.meet(10_000, &shard("a", 5, Some(1)), known.clone(), NONE));
        (knowledge, known)
    }

    #[test]
    fn ages_decide() {
        let (mut knowledge, _) = met();
        assert_eq!(Knowledge::default().freshness(10_000), Freshness::ReadFirst);
        assert_eq!(knowledge.freshness(10_999), Freshness::Fresh);
        assert_eq!(knowledge.freshness(11_000), Freshness::RefreshAfter);
        assert_eq!(knowledge.freshness(11_001), Freshness::Fresh, "another request holds the lease");
        assert_eq!(knowledge.freshness(12_000), Freshness::RefreshAfter, "the lease ran out");
        assert_eq!(knowledge.freshness(12_999), Freshness::Fresh);
        assert_eq!(knowledge.freshness(13_001), Freshness::ReadFirst);
    }

    #[test]
    fn denials_choose_the_recorded_words() {
        let (mut knowledge, known) = met();
        let (user, sid) = (UserId::new(1, [1; 10]), SessionId::new(0, [1; 16]));
        let mut judge = |status: &str, access, password, epoch| {
            let rows = [user_row(6, &known, user, status, access, password)];
            knowledge.apply(10_500, read(&shard("a", 6, Some(1)), &rows));
            knowledge.cursor = 5;
            match knowledge.judge(known.tenant.id, user, sid, epoch).unwrap() {
                Judgement::Good => Ok(()),
                Judgement::Denied(fault) => Err(fault),
                Judgement::AskStorage => panic!("the tenant is not crowded"),
            }
        };
        assert_eq!(judge("active", 3, 0, 3), Ok(()));
        assert_eq!(judge("active", 3, 0, 2), Err(TokenFault::Blacklisted));
        assert_eq!(judge("active", 3, 3, 2), Err(TokenFault::PasswordChanged));
        assert_eq!(judge("active", 4, 3, 3), Err(TokenFault::Blacklisted));
        assert_eq!(judge("suspended", 4, 0, 4), Err(TokenFault::UserInactive));
        assert_eq!(judge("pending", 4, 0, 4), Err(TokenFault::UserInactive));
        assert_eq!(judge("a later release's word", 4, 0, 4), Err(TokenFault::UserInactive));
        assert_eq!(judge("deleted", 4, 0, 4), Err(TokenFault::UserNotFound));
        assert_eq!(judge("suspended", 4, 0, 5), Ok(()), "let in again since");
        assert_eq!(judge("deleted", 0, 0, 5), Err(TokenFault::UserNotFound), "a tombstone has no epochs");
    }

    #[test]
    fn another_life_or_missed_rows_forget_everything() {
        for (row, reads) in [
            (shard("b", 5, Some(1)), "another incarnation"),
            (shard("a", 4, Some(1)), "a head below the cursor"),
            (shard("a", 9, Some(7)), "an oldest row above the cursor"),
            (shard("a", 9, None), "rows that were swept"),
        ] {
            let (mut knowledge, known) = met();
            knowledge.apply(10_500, read(&row, &[]));
            assert!(knowledge.known(known.tenant.id, 0).is_none(), "{reads}");
            assert_eq!(knowledge.cursor(), row.head);
        }
        let (mut knowledge, known) = met();
        knowledge.apply(10_500, read(&shard("a", 5, None), &[]));
        assert!(knowledge.known(known.tenant.id, 0).is_some(), "nothing was missed");
    }

    #[test]
    fn a_read_that_was_overtaken_weakens_nothing() {
        let (mut knowledge, known) = met();
        let (user, sid) = (UserId::new(1, [1; 10]), SessionId::new(0, [1; 16]));
        let (first, second) =
            (user_row(6, &known, user, "active", 1, 0), user_row(7, &known, user, "active", 2, 0));
        knowledge.apply(10_600, read(&shard("a", 7, Some(1)), &[first.clone(), second]));
        for read_at in [10_500, 10_600] {
            knowledge.apply(read_at, read(&shard("a", 6, Some(1)), std::slice::from_ref(&first)));
            let judged = knowledge.judge(known.tenant.id, user, sid, 1);
            assert_eq!(judged, Some(Judgement::Denied(TokenFault::Blacklisted)));
            assert_eq!(knowledge.cursor(), 7);
        }
    }

    #[test]
    fn a_meeting_that_a_feed_read_overtook_is_held_again() {
        let (mut knowledge, known) = met();
        knowledge.apply(10_600, read(&shard("a", 6, Some(1)), &[]));
        assert!(!knowledge.meet(10_500, &shard("a", 5, Some(1)), known.clone(), NONE));
        assert!(knowledge.meet(10_700, &shard("a", 6, Some(1)), known, NONE));
    }

    #[test]
    fn of_a_feed_longer_than_a_read_only_what_the_rest_concerns_is_forgotten() {
        let (mut knowledge, known) = met();
        knowledge.name("slug:acme", Some(known.tenant.id));
        let row = user_row(6, &known, UserId::new(1, [1; 10]), "active", 1, 0);
        let beyond = |tenant: String| vec![BeyondRow { tenant }];
        let other = beyond(TenantId::new(9, [9; 10]).to_string());
        let head = shard("a", 8, Some(1));
        knowledge.apply(10_500, FeedRead { shard: &head, rows: &[row], beyond: &other });
        assert!(knowledge.known(known.tenant.id, 0).is_some());
        assert_eq!(knowledge.cursor(), 8);
        let head = shard("a", 9, Some(1));
        knowledge.apply(10_600, FeedRead { shard: &head, rows: &[], beyond: &beyond(String::new()) });
        assert_eq!(knowledge.named("slug:acme"), None);
        assert!(knowledge.known(known.tenant.id, 0).is_some());
        let head = shard("a", 10, Some(1));
        let ours = beyond(known.tenant.id.to_string());
        knowledge.apply(10_700, FeedRead { shard: &head, rows: &[], beyond: &ours });
        assert!(knowledge.known(known.tenant.id, 0).is_none());
    }

    #[test]
    fn a_crowd_is_asked_about_until_it_is_over() {
        let (mut knowledge, known) = met();
        let (user, sid) = (UserId::new(1, [1; 10]), SessionId::new(0, [1; 16]));
        let of = |seq, kind| FeedRow { kind, ..user_row(seq, &known, user, "active", 0, 0) };
        let mut judge_after = |row: FeedRow| {
            let head = shard("a", row.seq, Some(1));
            knowledge.apply(10_500, read(&head, std::slice::from_ref(&row)));
            knowledge.judge(known.tenant.id, user, sid, 0).unwrap()
        };
        let denied = user_row(6, &known, user, "suspended", 1, 0);
        assert_eq!(judge_after(denied), Judgement::Denied(TokenFault::UserInactive));
        assert_eq!(judge_after(of(7, Kind::Crowd)), Judgement::AskStorage);
        assert_eq!(judge_after(of(8, Kind::Document)), Judgement::AskStorage);
        assert_eq!(judge_after(of(9, Kind::Calm)), Judgement::Good);
    }

    #[test]
    fn a_newer_document_is_told_and_an_older_one_is_left() {
        let (mut knowledge, known) = met();
        let mut row = user_row(6, &known, UserId::new(1, [1; 10]), "active", 0, 0);
        (row.kind, row.history, row.rev) =
            (Kind::Document, Some(known.tenant.history), Some(known.tenant.doc_rev + 1));
        knowledge.apply(10_500, read(&shard("a", 6, Some(1)), &[row]));
        assert!(knowledge.known(known.tenant.id, 0).unwrap().1);
        knowledge.renew(known.clone());
        assert!(knowledge.known(known.tenant.id, 0).unwrap().1, "still behind");
    }

    #[test]
    fn the_memory_of_tenants_and_names_is_bounded() {
        let mut knowledge = Knowledge::default();
        for index in 0..NAMES * 2 {
            knowledge.name(&index.to_string(), None);
        }
        assert!(knowledge.names.len() <= NAMES);
    }
}
