//! What an isolate knows of a shard, and how old that knowledge is. Pure: rows come in, answers go
//! out.
//!
//! Below a second it serves; above, it serves and one request refreshes after its answer; above three seconds,
//! also after sleeping, a request reads before it answers.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use shared::contract::limits::{FEED_SECS, FRESH_MS, STALE_MS};
use shared::ids::{SessionId, TenantId, UserId};

use crate::isolate::feed::{BeyondRow, Denials, FeedRead, FeedRow, Kind, ShardRow};
use crate::isolate::memory::{Judgement, TenantMemory};
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

/// What an isolate knows of one shard.
#[derive(Default)]
pub struct Knowledge {
    incarnation: String,
    cursor: i64,
    /// The start of the read that told it; 0 if there was none.
    as_of: u64,
    /// A request was served from what is no longer young.
    refresh_due: bool,
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

    /// Whether what is known is young enough to be served as it is. Above a second, a refresh is due after an
    /// answer.
    pub fn may_serve(&mut self, now_ms: u64) -> bool {
        let Some(age) = self.age_ms(now_ms) else { return false };
        self.refresh_due |= (FRESH_MS..=STALE_MS).contains(&age);
        age <= STALE_MS
    }

    /// Whether the request that is answered now refreshes afterwards: a refresh is due, and no other request
    /// holds the lease. Takes the lease.
    pub fn take_refresh(&mut self, now_ms: u64) -> bool {
        let takes = self.refresh_due && now_ms >= self.lease_until;
        if takes {
            self.lease_until = now_ms.saturating_add(LEASE_MS);
        }
        takes
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
        self.refresh_due = false;
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

    /// This isolate has written what the feed tells of and it has not read: the next request reads it before it answers,
    /// as if this isolate had slept.
    pub fn outdate(&mut self, shard: &ShardRow, now_ms: u64) {
        if self.as_of > 0 && (self.incarnation != shard.incarnation || shard.head > self.cursor) {
            self.as_of = self.as_of.min(now_ms.saturating_sub(STALE_MS + 1)).max(1);
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

#[cfg(test)]
mod tests;
