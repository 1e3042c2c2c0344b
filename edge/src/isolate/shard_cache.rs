//! The cached state of a shard, and its age. Pure: takes rows, returns decisions.
//!
//! Up to one second old it is used; above, it is used and one request refreshes it after its answer; above three
//! seconds, also after the isolate was idle, a request reads before it answers.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use shared::contract::limits::{FEED_SECS, FRESH_MS, STALE_MS};
use shared::ids::{SessionId, TenantId, UserId};

use crate::isolate::feed::{BeyondRow, Denials, FeedRead, FeedRow, Kind, ShardRow};
use crate::isolate::memory::{Judgement, TenantMemory};
use crate::isolate::opened::OpenedTenant;

/// How long a background refresh holds its lease before another request starts one, so that a cancelled refresh does
/// not block the isolate.
const LEASE_MS: u64 = 1000;
/// The greatest number of cached tenants; the least recently used one is removed first.
const TENANTS: usize = 512;
/// From this many tenants with unread rows of the feed on, the whole cache is dropped.
pub const BEYOND: usize = TENANTS + 1;
/// Names that an isolate remembers, unknown ones included.
const NAMES: usize = 10_000;

/// The cached state of one shard.
#[derive(Default)]
pub struct ShardCache {
    incarnation: String,
    cursor: i64,
    /// The start of the latest read; 0 before the first.
    as_of: u64,
    /// A request was served from data older than a second.
    refresh_due: bool,
    lease_until: u64,
    pruned_at: u64,
    names: HashMap<String, Option<TenantId>>,
    tenants: HashMap<TenantId, TenantMemory>,
}

impl ShardCache {
    /// Milliseconds since the start of the latest read; `None` before the first.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        (self.as_of > 0).then(|| now_ms.saturating_sub(self.as_of))
    }

    /// Whether the cached data may be used without a read. If it is older than a second, a refresh is due after the
    /// answer.
    pub fn may_serve(&mut self, now_ms: u64) -> bool {
        let Some(age) = self.age_ms(now_ms) else { return false };
        self.refresh_due |= (FRESH_MS..=STALE_MS).contains(&age);
        age <= STALE_MS
    }

    /// Records that a request is answered from cached data of any age: above a second, a refresh is due after the
    /// answer.
    pub fn refresh_later(&mut self, now_ms: u64) {
        self.refresh_due |= self.age_ms(now_ms).is_some_and(|age| age >= FRESH_MS);
    }

    /// Whether the present request must refresh after its answer: a refresh is due, and no other request holds the
    /// lease. Takes the lease.
    pub fn take_refresh(&mut self, now_ms: u64) -> bool {
        let takes = self.refresh_due && now_ms >= self.lease_until;
        if takes {
            self.lease_until = now_ms.saturating_add(LEASE_MS);
        }
        takes
    }

    /// The cursor of the next feed read.
    #[must_use]
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Applies a feed read that began at `read_at`.
    ///
    /// If the feed had more rows than one read returns, the tenants of the other rows are removed from the cache, and
    /// loaded again on demand; all others stay.
    ///
    /// Reads of several requests may end in another order than they began: a read that began before the latest
    /// applied one does not lower the age, and rows are not applied twice.
    pub fn apply(&mut self, read_at: u64, FeedRead { shard, rows, beyond }: FeedRead<'_>) {
        if read_at < self.as_of || (read_at == self.as_of && shard.head < self.cursor) {
            return;
        }
        let reborn = self.incarnation != shard.incarnation || shard.head < self.cursor;
        let missed = shard.head > self.cursor && shard.oldest.is_none_or(|oldest| oldest > self.cursor + 1);
        if reborn || missed || beyond.len() >= BEYOND {
            self.reset(shard);
        } else {
            let cursor = self.cursor;
            for row in rows.iter().filter(|row| row.seq > cursor) {
                self.apply_row(row);
            }
            beyond.iter().for_each(|row| self.remove_missed(row));
            self.cursor = shard.head.max(rows.last().map_or(0, |last| last.seq));
        }
        self.as_of = read_at;
        self.refresh_due = false;
        self.lease_until = 0;
        self.prune(read_at);
    }

    /// Drops the cache: the database has a new incarnation, or rows were missed.
    fn reset(&mut self, shard: &ShardRow) {
        self.names.clear();
        self.tenants.clear();
        self.incarnation.clone_from(&shard.incarnation);
        self.cursor = shard.head;
    }

    /// Rows about this tenant, or about names, were not read.
    fn remove_missed(&mut self, row: &BeyondRow) {
        if row.tenant.is_empty() {
            self.names.clear();
        } else if let Ok(tenant) = TenantId::parse(&row.tenant) {
            self.tenants.remove(&tenant);
        }
    }

    fn apply_row(&mut self, row: &FeedRow) {
        if row.kind == Kind::Name {
            self.names.remove(&row.subject);
            return;
        }
        let Ok(tenant) = TenantId::parse(&row.tenant) else { return };
        if let Some(memory) = self.tenants.get_mut(&tenant) {
            memory.apply_row(row);
        }
    }

    /// Adds a tenant to the cache: its document and its present denials. The first one also sets the position in the
    /// feed.
    ///
    /// False if a feed read was applied since the query began: it may have skipped denials of this tenant, which was
    /// not cached then, so the query must be repeated.
    #[must_use]
    pub fn add_tenant(
        &mut self,
        read_at: u64,
        shard: &ShardRow,
        opened: Rc<OpenedTenant>,
        denials: Denials<'_>,
    ) -> bool {
        if self.as_of == 0 || (self.incarnation != shard.incarnation && read_at >= self.as_of) {
            self.reset(shard);
            self.as_of = read_at;
        }
        if self.incarnation != shard.incarnation || shard.head < self.cursor {
            return false;
        }
        self.make_room();
        let revision = opened.tenant.revision();
        let id = opened.tenant.id;
        let mut memory = TenantMemory {
            opened,
            revision,
            users: HashMap::new(),
            ended: HashSet::new(),
            crowded: denials.crowded,
            used_at: read_at,
            unknown_kid_at: 0,
        };
        for row in denials.rows {
            memory.deny(row);
        }
        self.tenants.insert(id, memory);
        true
    }

    fn make_room(&mut self) {
        if self.tenants.len() >= TENANTS {
            let oldest = self.tenants.iter().min_by_key(|(_, memory)| memory.used_at).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.tenants.remove(&id);
            }
        }
    }

    /// Caches the tenant of a name.
    pub fn set_name(&mut self, name: &str, tenant: Option<TenantId>) {
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        self.names.insert(name.to_owned(), tenant);
    }

    /// Caches that a name is unknown, unless a feed read was applied since the query began.
    pub fn set_unknown_name(&mut self, name: &str, shard: &ShardRow) {
        if self.incarnation == shard.incarnation && shard.head >= self.cursor {
            self.set_name(name, None);
        }
    }

    /// Removes a name from the cache.
    pub fn forget_name(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// The tenant of a name: `None` if it is not cached, `Some(None)` if no tenant has the name.
    #[must_use]
    pub fn tenant_named(&self, name: &str) -> Option<Option<TenantId>> {
        self.names.get(name).copied()
    }

    /// The cached tenant, and whether the feed has listed a newer document.
    pub fn tenant(&mut self, id: TenantId, now_ms: u64) -> Option<(Rc<OpenedTenant>, bool)> {
        let memory = self.tenants.get_mut(&id)?;
        memory.used_at = now_ms;
        Some((memory.opened.clone(), memory.opened.tenant.revision() < memory.revision))
    }

    /// Replaces the document of a cached tenant by a newer one; an older one is ignored.
    pub fn replace_document(&mut self, opened: Rc<OpenedTenant>) {
        if let Some(memory) = self.tenants.get_mut(&opened.tenant.id) {
            memory.revision = memory.revision.max(opened.tenant.revision());
            if opened.tenant.revision() >= memory.opened.tenant.revision() {
                memory.opened = opened;
            }
        }
    }

    /// The verdict of the feed on a token with this user, session and epoch. `None` if the tenant is not cached: it
    /// may have been removed while the request waited.
    #[must_use]
    pub fn judge(&self, tenant: TenantId, user: UserId, sid: SessionId, epoch: i64) -> Option<Judgement> {
        self.tenants.get(&tenant).map(|memory| memory.judge(user, sid, epoch))
    }

    /// Whether the feed has listed a change of this user. For a legacy token, only the user's row decides then.
    #[must_use]
    pub fn lists_user(&self, tenant: TenantId, user: UserId) -> bool {
        self.tenants.get(&tenant).is_some_and(|memory| memory.users.contains_key(&user))
    }

    /// Whether the tenant is crowded: so many of its users changed that the feed no longer lists them one by one.
    #[must_use]
    pub fn is_crowded(&self, tenant: TenantId) -> bool {
        self.tenants.get(&tenant).is_some_and(|memory| memory.crowded)
    }

    /// Records a session that this isolate has ended, before the feed lists it.
    pub fn end(&mut self, tenant: TenantId, sid: SessionId) {
        if let Some(memory) = self.tenants.get_mut(&tenant) {
            memory.ended.insert(sid);
        }
    }

    /// Makes the cache outdated after this isolate has written rows that the feed lists: the next request reads the
    /// feed before it answers.
    pub fn outdate(&mut self, shard: &ShardRow, now_ms: u64) {
        if self.as_of > 0 && (self.incarnation != shard.incarnation || shard.head > self.cursor) {
            self.as_of = self.as_of.min(now_ms.saturating_sub(STALE_MS + 1)).max(1);
        }
    }

    /// Whether an unknown `kid` or issuer of this tenant may cause a read now; uses up the turn.
    pub fn may_ask_for_kid(&mut self, tenant: TenantId, now_ms: u64, every_ms: u64) -> bool {
        let Some(memory) = self.tenants.get_mut(&tenant) else { return false };
        let due = now_ms >= memory.unknown_kid_at.saturating_add(every_ms);
        if due {
            memory.unknown_kid_at = now_ms;
        }
        due
    }

    /// From time to time removes tenants whose denials may be older than every unexpired token: loading them again
    /// costs one query, storing the time of each denial would cost memory for all.
    fn prune(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.pruned_at) > FEED_SECS * 1000 {
            if self.pruned_at > 0 {
                self.tenants.retain(|_, memory| memory.users.is_empty() && memory.ended.is_empty());
            }
            self.pruned_at = now_ms;
        }
    }
}

#[cfg(test)]
mod tests;
