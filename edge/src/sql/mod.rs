//! Every statement that is sent to D1, named by intent.
//!
//! Parameters are numbered. A host test prepares each of them against `migrations/edge` in SQLite
//! and runs every conditional one twice: it says by its row count who won. Times are Unix
//! milliseconds and always a parameter.

use shared::needs::UNDERSTOOD;

/// Milliseconds as D1 binds them.
#[must_use]
pub fn millis(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Seconds as milliseconds for D1.
#[must_use]
pub fn secs_as_ms(secs: u64) -> i64 {
    millis(secs.saturating_mul(1000))
}

/// A statement and what is bound to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text, one of [`ALL`].
    pub sql: &'static str,
    /// `?1`, `?2`, ...
    pub params: Vec<Param>,
}

/// A bound value. Integers are below 2^53, since JavaScript carries them.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A text.
    Text(String),
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What this release understands, as statements bind it: see [`shared::needs`].
#[must_use]
pub fn understood() -> Param {
    Param::Text(serde_json::json!(UNDERSTOOD).to_string())
}

/// The text of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sql(pub &'static str);

impl Sql {
    /// Binds `?1`, `?2`, ...
    pub fn bind<const N: usize>(self, params: [Param; N]) -> Statement {
        Statement { sql: self.0, params: params.into() }
    }
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:literal;)*) => {
        $($(#[$doc])* pub const $name: Sql = Sql($sql);)*
        /// All of them by name, for the test that prepares each.
        pub const ALL: &[(&str, Sql)] = &[$((stringify!($name), $name),)*];
    };
}

statements! {
    // ---- What an isolate asks ------------------------------------------------------------------

    /// The shard's life and the head of its feed.
    SHARD = "
        select incarnation, head,
               (select min(seq) from feed) as oldest
        from shard";

    /// Feed rows after a cursor; (cursor, limit).
    FEED_AFTER = "
        select seq, kind, tenant, subject, history, rev, status, access_epoch, password_epoch
        from feed
        where seq > ?1
        order by seq
        limit ?2";

    /// The tenant of a name; its document only if the copy at hand is not this revision:
    /// (name, tenant of the copy, its history, its revision).
    TENANT_BY_NAME = "
        select t.id, n.shard, t.history, t.rev,
               case when t.id = ?2 and t.history = ?3 and t.rev = ?4 then null else t.document end as document
        from names n
        join tenants t on t.id = n.tenant
        where n.name = ?1";

    /// Live denials of the tenant of a name: (name).
    DENIALS_BY_NAME = "
        select f.seq, f.kind, f.tenant, f.subject, f.history, f.rev, f.status, f.access_epoch, f.password_epoch
        from names n
        join feed f on f.tenant = n.tenant
        where n.name = ?1
          and f.kind in ('user', 'family')
        order by f.seq";

    /// A document: (tenant).
    DOCUMENT = "
        select id, 0 as shard, history, rev, document
        from tenants
        where id = ?1";

    /// In place of a feed read: is the tenant as we know it, and is it still called so?
    /// (tenant, name).
    TENANT_STATE = "
        select status, history, rev, needs,
               (select n.tenant from names n where n.name = ?2) as named
        from tenants
        where id = ?1";

    // ---- Sign-in -------------------------------------------------------------------------------

    /// Counts a try unless the window is full: (tenant, name hash, now, window, limit).
    RESERVE_ATTEMPT = "
        insert into attempts (tenant, name_hash, window_start, count)
        values (?1, ?2, ?3, 1)
        on conflict (tenant, name_hash) do update
        set count = case when window_start + ?4 <= ?3 then 1 else count + 1 end,
            window_start = case when window_start + ?4 <= ?3 then ?3 else window_start end
        where count < ?5
           or window_start + ?4 <= ?3
        returning window_start";

    /// The window that a refused try runs into: (tenant, name hash).
    ATTEMPT_WINDOW = "
        select window_start
        from attempts
        where tenant = ?1 and name_hash = ?2";

    /// The user behind an identifier: (tenant, hash).
    USER_BY_IDENTIFIER = "
        select u.id, u.status, u.session_epoch, u.verifier, u.foreign_hash, u.needs
        from identifiers i
        join users u on u.tenant = i.tenant and u.id = i.user
        where i.tenant = ?1 and i.hash = ?2";

    /// A family, if the user is still as before the hash, the tenant is active, and this release
    /// understands what both need:
    /// (sid, tenant, user, now, idle deadline, absolute deadline, session epoch, amr, understood).
    INSERT_FAMILY = "
        insert into families (id, tenant, user, generation, created_at, rotated_at, idle_deadline,
                              absolute_deadline, session_epoch, amr, auth_time)
        select ?1, u.tenant, u.id, 1, ?4, ?4, ?5, ?6, u.session_epoch, ?8, ?4
        from users u
        join tenants t on t.id = u.tenant and t.status = 'active'
        where u.tenant = ?2
          and u.id = ?3
          and u.status = 'active'
          and u.session_epoch = ?7
          and not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?9))
          )";

    /// The fact that the next statement ends one: (event, tenant, now, sid, limit).
    RECORD_EVICTION = "
        insert into outbox (id, tenant, at, kind, user, sid)
        select ?1, tenant, ?3, 'session_evicted', user, id
        from families
        where tenant = ?2
          and user = (select user from families where id = ?4)
          and ended_at is null
          and absolute_deadline > ?3
          and idle_deadline > ?3
        order by id = ?4 desc, rotated_at desc, id
        limit 1 offset ?5";

    /// Ends the least recently rotated living families of a new family's user, above the limit:
    /// (event, tenant, now, sid, limit).
    EVICT_FAMILIES = "
        update families
        set ended_at = ?3, ended_for = 'evicted', ended_by = ?1
        where id in (
            select id
            from families
            where tenant = ?2
              and user = (select user from families where id = ?4)
              and ended_at is null
              and absolute_deadline > ?3
              and idle_deadline > ?3
            order by id = ?4 desc, rotated_at desc, id
            limit -1 offset ?5
          )";

    /// A right password gives its own try back: (tenant, name hash, window, sid).
    RETURN_ATTEMPT = "
        update attempts
        set count = count - 1
        where tenant = ?1
          and name_hash = ?2
          and window_start = ?3
          and count > 0
          and exists (select 1 from families where id = ?4)";

    /// (event, tenant, now, user, sid, network).
    RECORD_SIGN_IN = "
        insert into outbox (id, tenant, at, kind, user, sid, network)
        select ?1, ?2, ?3, 'signed_in', ?4, ?5, ?6
        from families
        where id = ?5";

    /// Counts a refused sign-in under its minute, unless too many facts wait undrained:
    /// (tenant, name hash, network, minute, event, most).
    RECORD_REFUSAL = "
        insert into refusals (tenant, name_hash, network, minute, id, count)
        select ?1, ?2, ?3, ?4, ?5, 1
        where (select count(*) from (select 1 from refusals limit ?6)) < ?6
        on conflict (tenant, name_hash, network, minute) do update
        set count = count + 1";

    // ---- Sessions ------------------------------------------------------------------------------

    /// A family with its user: (sid, tenant).
    FAMILY = "
        select f.user, f.generation, f.rotated_at, f.idle_deadline, f.absolute_deadline,
               f.session_epoch, f.amr, f.auth_time, f.ended_at, f.ended_by,
               u.status, u.access_epoch, u.session_epoch as user_session_epoch, u.password_epoch, u.roles,
               u.legacy_id, u.needs
        from families f
        left join users u on u.tenant = f.tenant and u.id = f.user
        where f.id = ?1
          and f.tenant = ?2";

    /// Ends a family whose presented generation is older than is forgiven, or later than the row's:
    /// (sid, tenant, generation, now, window, event).
    END_STOLEN = "
        update families
        set ended_at = ?4,
            ended_for = case when ?3 > generation then 'storage_rollback' else 'reuse_detected' end,
            ended_by = ?6
        where id = ?1
          and tenant = ?2
          and ended_at is null
          and (?3 > generation
               or generation - ?3 >= 3
               or (generation - ?3 = 2 and (?5 = 0 or ?4 - rotated_at > ?5))
               or (generation - ?3 = 1 and ?5 > 0 and ?4 - rotated_at > ?5))";

    /// Rotates the current generation, if deadlines, user and tenant stand, and this release understands
    /// what both need: (sid, tenant, generation, now, idle, understood).
    ROTATE = "
        update families
        set generation = generation + 1,
            rotated_at = max(rotated_at, ?4),
            idle_deadline = min(?4 + ?5, absolute_deadline)
        where id = ?1
          and tenant = ?2
          and generation = ?3
          and ended_at is null
          and idle_deadline > ?4
          and absolute_deadline > ?4
          and exists (
            select 1
            from users u
            join tenants t on t.id = u.tenant and t.status = 'active'
            where u.tenant = families.tenant
              and u.id = families.user
              and u.status = 'active'
              and u.session_epoch = families.session_epoch
              and not exists (
                select 1
                from (select value from json_each(u.needs) union all select value from json_each(t.needs))
                where value not in (select value from json_each(?6))
              )
          )
        returning generation";

    /// Silent renewal moves the idle deadline of a family in use, if it was not moved lately and user
    /// and tenant stand: (sid, tenant, generation, now, idle, how often, understood).
    KEEP_ALIVE = "
        update families
        set idle_deadline = min(?4 + ?5, absolute_deadline)
        where id = ?1
          and tenant = ?2
          and generation = ?3
          and ended_at is null
          and idle_deadline > ?4
          and absolute_deadline > ?4
          and idle_deadline < absolute_deadline
          and idle_deadline + ?6 <= ?4 + ?5
          and exists (
            select 1
            from users u
            join tenants t on t.id = u.tenant and t.status = 'active'
            where u.tenant = families.tenant
              and u.id = families.user
              and u.status = 'active'
              and u.session_epoch = families.session_epoch
              and not exists (
                select 1
                from (select value from json_each(u.needs) union all select value from json_each(t.needs))
                where value not in (select value from json_each(?7))
              )
          )
        returning idle_deadline";

    /// The fact that a family was ended by this call, and for what: (event, now, sid).
    RECORD_END = "
        insert into outbox (id, tenant, at, kind, user, sid)
        select ?1, tenant, ?2, ended_for, user, id
        from families
        where id = ?3
          and ended_by = ?1";

    /// Ends one living family: (sid, tenant, now, event, cause).
    END_FAMILY = "
        update families
        set ended_at = ?3, ended_for = ?5, ended_by = ?4
        where id = ?1
          and tenant = ?2
          and ended_at is null
        returning id";

    /// Ends every living family of a user: (tenant, user, now, event).
    END_FAMILIES = "
        update families
        set ended_at = ?3, ended_for = 'signed_out_everywhere', ended_by = ?4
        where tenant = ?1
          and user = ?2
          and ended_at is null
        returning id";

    /// (event, tenant, now, user, sid).
    RECORD_SIGN_OUT_EVERYWHERE = "
        insert into outbox (id, tenant, at, kind, user, sid, count)
        select ?1, ?2, ?3, 'signed_out_everywhere', ?4, ?5, count(*)
        from families
        where tenant = ?2
          and user = ?4
          and ended_by = ?1
        having count(*) > 0";

    // ---- Legacy tokens -------------------------------------------------------------------------

    /// The user of a legacy token, whether the token is on the list (if only that can tell), and when
    /// its session ended: (tenant, user hash, token hash or null, sid).
    LEGACY_USER = "
        select u.id, u.status, u.access_epoch, u.session_epoch, u.password_epoch, u.roles, u.legacy_id,
               u.legacy_over, u.needs,
               ?3 is null or exists (
                 select 1 from identifiers l where l.tenant = ?1 and l.hash = ?3 and l.user = u.id
               ) as listed,
               (select f.ended_at from families f where f.id = ?4 and f.tenant = ?1) as ended_at
        from identifiers i
        join users u on u.tenant = i.tenant and u.id = i.user
        where i.tenant = ?1 and i.hash = ?2";

    /// The family of a legacy token at generation 0, unless it has one, if its user is as they were
    /// imported and the document that vouches for the token is not outdated. Whoever presents it next
    /// finds this row, so it is exchanged once. A condition on what an account owes belongs here:
    /// (sid, tenant, user hash, token hash or null, now, idle deadline, absolute deadline, expiry, event,
    /// history, rev, understood or null: whatever it is).
    INSERT_LEGACY_FAMILY = "
        insert into families (id, tenant, user, generation, created_at, rotated_at, idle_deadline,
                              absolute_deadline, session_epoch, amr, auth_time, kept_until, made_by)
        select ?1, u.tenant, u.id, 0, ?5, ?5, ?6, ?7, u.session_epoch, '[\"pwd\"]', 0, ?8, ?9
        from identifiers i
        join users u on u.tenant = i.tenant and u.id = i.user
        join tenants t on t.id = u.tenant and t.status = 'active' and (t.history, t.rev) <= (?10, ?11)
        where i.tenant = ?2
          and i.hash = ?3
          and u.status = 'active'
          and u.session_epoch = 0
          and u.legacy_over = 0
          and (?12 is null or not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?12))
          ))
          and (?4 is null or exists (
            select 1 from identifiers l where l.tenant = ?2 and l.hash = ?4 and l.user = u.id
          ))
        on conflict (id) do nothing";

    /// The fact that this call made a family of a legacy token: (event, now, sid).
    RECORD_EXCHANGE = "
        insert into outbox (id, tenant, at, kind, user, sid)
        select ?1, tenant, ?2, 'legacy_exchanged', user, id
        from families
        where id = ?3
          and made_by = ?1";

    /// A user signs out everywhere: no legacy token of theirs is good any more: (tenant, user, now).
    END_LEGACY = "
        update users
        set legacy_over = 1, changed_at = ?3
        where tenant = ?1 and id = ?2 and legacy_over = 0";

    /// The living families of a user: (tenant, user, now).
    LIVING_FAMILIES = "
        select id, created_at, rotated_at, min(idle_deadline, absolute_deadline) as expires_at
        from families
        where tenant = ?1
          and user = ?2
          and ended_at is null
          and idle_deadline > ?3
          and absolute_deadline > ?3
        order by created_at desc";

    // ---- Push ----------------------------------------------------------------------------------

    /// Aborts the batch unless the push follows the mark: (tenant, history, from or null).
    FOLLOW_MARK = "
        insert into pushes (tenant, history, from_rev)
        values (?1, ?2, ?3)";

    /// (tenant, status, history, rev, document, now).
    PUT_DOCUMENT = "
        insert into tenants (id, status, history, rev, document, needs, changed_at)
        values (?1, ?2, ?3, ?4, ?5, nullif(?5 -> 'needs', '[]'), ?6)
        on conflict (id) do update
        set status = excluded.status,
            history = excluded.history,
            rev = excluded.rev,
            document = excluded.document,
            needs = excluded.needs,
            changed_at = excluded.changed_at
        where (excluded.history, excluded.rev) > (tenants.history, tenants.rev)";

    /// (history, rows, now).
    PUT_NAMES = "
        insert into names (name, tenant, shard, history, rev, changed_at)
        select value ->> 'name', value ->> 'tenant', value ->> 'shard', ?1, value ->> 'rev', ?3
        from json_each(?2)
        where true
        on conflict (name) do update
        set tenant = excluded.tenant,
            shard = excluded.shard,
            history = excluded.history,
            rev = excluded.rev,
            changed_at = excluded.changed_at
        where (excluded.history, excluded.rev) > (names.history, names.rev)";

    /// (tenant, history, rows, now).
    PUT_USERS = "
        insert into users (tenant, id, history, rev, status, access_epoch, session_epoch,
                           password_epoch, roles, verifier, foreign_hash, legacy_id, needs, more, changed_at)
        select ?1, value ->> 'id', ?2, value ->> 'rev', value ->> 'status', value ->> 'access_epoch',
               value ->> 'session_epoch', value ->> 'password_epoch', value -> 'roles',
               value ->> 'verifier', coalesce(value ->> 'foreign', 0), value ->> 'legacy_id',
               nullif(value -> 'needs', '[]'),
               nullif(json_remove(value, '$.id', '$.rev', '$.status', '$.access_epoch', '$.session_epoch',
                                  '$.password_epoch', '$.roles', '$.verifier', '$.foreign', '$.legacy_id',
                                  '$.needs'), '{}'),
               ?4
        from json_each(?3)
        where true
        on conflict (tenant, id) do update
        set history = excluded.history,
            rev = excluded.rev,
            status = excluded.status,
            access_epoch = excluded.access_epoch,
            session_epoch = excluded.session_epoch,
            password_epoch = excluded.password_epoch,
            roles = excluded.roles,
            verifier = excluded.verifier,
            foreign_hash = excluded.foreign_hash,
            legacy_id = excluded.legacy_id,
            needs = excluded.needs,
            more = excluded.more,
            changed_at = excluded.changed_at
        where (excluded.history, excluded.rev) > (users.history, users.rev)";

    /// (tenant, history, rows, now).
    PUT_IDENTIFIERS = "
        insert into identifiers (tenant, hash, user, history, rev, changed_at)
        select ?1, value ->> 'hash', value ->> 'user', ?2, value ->> 'rev', ?4
        from json_each(?3)
        where true
        on conflict (tenant, hash) do update
        set user = excluded.user,
            history = excluded.history,
            rev = excluded.rev,
            changed_at = excluded.changed_at
        where (excluded.history, excluded.rev) > (identifiers.history, identifiers.rev)";

    /// Ends pushed sessions: (tenant, ids, now).
    END_PUSHED_SESSIONS = "
        update families
        set ended_at = ?3, ended_for = 'session_ended'
        where tenant = ?1
          and ended_at is null
          and id in (select value from json_each(?2))";

    /// Marks rows as named by a snapshot: (rows, stamp). Stamps only ever grow: a page of an older
    /// snapshot that arrives late must not take a row from the newer one, which would sweep it.
    STAMP_NAMES = "
        update names
        set stamp = ?2
        where name in (select value ->> 'name' from json_each(?1))
          and (stamp is null or stamp < ?2)";

    /// (tenant, rows, stamp).
    STAMP_USERS = "
        update users
        set stamp = ?3
        where tenant = ?1
          and id in (select value ->> 'id' from json_each(?2))
          and (stamp is null or stamp < ?3)";

    /// (tenant, rows, stamp).
    STAMP_IDENTIFIERS = "
        update identifiers
        set stamp = ?3
        where tenant = ?1
          and hash in (select value ->> 'hash' from json_each(?2))
          and (stamp is null or stamp < ?3)";

    /// Names that no page of the snapshot named become tombstones: (history, to, stamp, now, most).
    SWEEP_NAMES = "
        update names
        set tenant = null, history = ?1, rev = ?2, changed_at = ?4, stamp = ?3
        where name in (
            select name
            from names
            where (stamp is null or stamp < ?3)
              and (history, rev) <= (?1, ?2)
              and tenant is not null
            limit ?5
          )
        returning name";

    /// (tenant, history, to, stamp, now, most).
    SWEEP_USERS = "
        update users
        set status = 'deleted', verifier = null, foreign_hash = 0, roles = '[]', needs = null, more = null,
            history = ?2, rev = ?3, changed_at = ?5, stamp = ?4
        where tenant = ?1
          and id in (
            select id
            from users
            where tenant = ?1
              and (stamp is null or stamp < ?4)
              and (history, rev) <= (?2, ?3)
              and status <> 'deleted'
            limit ?6
          )
        returning id";

    /// (tenant, history, to, stamp, now, most).
    SWEEP_IDENTIFIERS = "
        update identifiers
        set user = null, history = ?2, rev = ?3, changed_at = ?5, stamp = ?4
        where tenant = ?1
          and hash in (
            select hash
            from identifiers
            where tenant = ?1
              and (stamp is null or stamp < ?4)
              and (history, rev) <= (?2, ?3)
              and user is not null
            limit ?6
          )
        returning hash";

    /// Moves the mark forward, never back: (tenant, history, to).
    MOVE_MARK = "
        insert into marks (tenant, history, rev)
        values (?1, ?2, ?3)
        on conflict (tenant) do update
        set history = excluded.history,
            rev = excluded.rev
        where (excluded.history, excluded.rev) > (marks.history, marks.rev)";

    /// (tenant).
    MARK = "
        select history, rev
        from marks
        where tenant = ?1";

    /// Marks and document revisions of several tenants: (ids).
    MARKS = "
        select m.tenant, m.history, m.rev, coalesce(t.rev, 0) as doc_rev, coalesce(t.kv_rev, 0) as kv_rev
        from marks m
        left join tenants t on t.id = m.tenant
        where m.tenant in (select value from json_each(?1))";

    /// Facts that wait.
    OUTBOX_SIZE = "
        select (select count(*) from outbox) + (select count(*) from refusals) as waiting";

    // ---- KV copies -----------------------------------------------------------------------------

    /// Documents whose copy is behind: (most).
    KV_BEHIND = "
        select id, history, rev, document
        from tenants
        where history > kv_history or (history = kv_history and rev > kv_rev)
        limit ?1";

    /// The copy was put: (tenant, history, rev).
    KV_PUT = "
        update tenants
        set kv_history = ?2, kv_rev = ?3
        where id = ?1
          and (?2, ?3) > (kv_history, kv_rev)";

    // ---- Drain ---------------------------------------------------------------------------------

    /// Refusals whose minute is over become facts, unless a whole answer of facts waits already: a
    /// drain that is lost again and again must not move them all: (minute, most).
    CLOSE_MINUTES = "
        insert into outbox (id, tenant, at, kind, network, name_hash, count)
        select id, tenant, minute, 'sign_in_refused', network, name_hash, count
        from refusals
        where minute < ?1
          and (select count(*) from (select 1 from outbox limit ?2)) < ?2
        order by minute, id
        limit ?2
        on conflict (id) do nothing";

    /// And leave: those that are in the outbox.
    FORGET_CLOSED_MINUTES = "
        delete from refusals
        where id in (select id from outbox)";

    /// Committed facts leave, if this is the database they came from: (seq, incarnation).
    ACKNOWLEDGE = "
        delete from outbox
        where seq <= ?1
          and exists (select 1 from shard where incarnation = ?2)";

    /// (most).
    OUTBOX = "
        select seq, id, tenant, at, kind, user, sid, network, name_hash, count
        from outbox
        order by seq
        limit ?1";

    // ---- Cleaning ------------------------------------------------------------------------------

    /// Feed rows that no living token can need: (before, most).
    CLEAN_FEED = "
        delete from feed
        where seq <= (
            select max(seq)
            from (select seq, at from feed order by seq limit ?2)
            where at < ?1
          )
        returning 1 as swept";

    /// Windows that are over: (before, most).
    CLEAN_ATTEMPTS = "
        delete from attempts
        where (tenant, name_hash) in (
            select tenant, name_hash from attempts where window_start < ?1 limit ?2
          )
        returning 1 as swept";

    /// Families that ended long ago: (before, most).
    CLEAN_ENDED = "
        delete from families
        where id in (
            select id
            from families
            where ended_at is not null and max(ended_at, kept_until) < ?1
            limit ?2
          )
        returning 1 as swept";

    /// Families past their absolute deadline: (before, most).
    CLEAN_FINISHED = "
        delete from families
        where id in (select id from families where max(absolute_deadline, kept_until) < ?1 limit ?2)
        returning 1 as swept";

    /// Families past their idle deadline, which no index knows: those of the next stretch of the
    /// table, (before, most).
    CLEAN_IDLE = "
        delete from families
        where id in (
            select id
            from (
                select id, max(idle_deadline, kept_until) as over_at
                from families
                where id > (select clean_cursor from shard)
                order by id
                limit ?2
              )
            where over_at < ?1
          )";

    /// The stretch after that one, from the start again at the end: (most).
    CLEAN_NEXT = "
        update shard
        set clean_cursor = coalesce(
            (
              select max(id)
              from (select id from families where id > clean_cursor order by id limit ?1)
            ), '')";

    /// Tombstones of users: (before, most).
    CLEAN_USERS = "
        delete from users
        where (tenant, id) in (
            select tenant, id from users where status = 'deleted' and changed_at < ?1 limit ?2
          )";

    /// Tombstones of identifiers: (before, most).
    CLEAN_IDENTIFIERS = "
        delete from identifiers
        where (tenant, hash) in (
            select tenant, hash from identifiers where user is null and changed_at < ?1 limit ?2
          )";

    /// Tombstones of names: (before, most).
    CLEAN_NAMES = "
        delete from names
        where name in (select name from names where tenant is null and changed_at < ?1 limit ?2)";
}
