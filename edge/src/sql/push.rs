//! Rows from control: put where they are newer, stamped and swept by a snapshot.

use super::statement::{Sql, statements};

statements! {
    /// Aborts the batch unless the push follows the mark: (tenant, history, from or null).
    FOLLOW_MARK = "
        insert into pushes (tenant, history, from_rev)
        values (?1, ?2, ?3)";

    /// (tenant, history, rev, document, now, digest, timeouts of roles or null).
    PUT_DOCUMENT = "
        insert into tenants (id, status, history, rev, document, digest, needs, factor_roles, factor_from,
                             device_days, role_timeouts, changed_at)
        values (?1, ?4 ->> 'status', ?2, ?3, ?4, ?6, nullif(?4 -> 'needs', '[]'),
                nullif(?4 -> '$.settings.second_factor_roles', '[]'),
                unixepoch(?4 ->> '$.settings.second_factor_from') * 1000,
                coalesce(?4 ->> '$.settings.remember_device_days', 0), ?7, ?5)
        on conflict (id) do update
        set status = excluded.status,
            history = excluded.history,
            rev = excluded.rev,
            document = excluded.document,
            digest = excluded.digest,
            needs = excluded.needs,
            factor_roles = excluded.factor_roles,
            factor_from = excluded.factor_from,
            device_days = excluded.device_days,
            role_timeouts = excluded.role_timeouts,
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
                           password_epoch, roles, verifier, foreign_hash, legacy_id, password_due,
                           password_changed_at, password_valid_until, recovery_key, needs, more, changed_at)
        select ?1, value ->> 'id', ?2, value ->> 'rev', value ->> 'status', value ->> 'access_epoch',
               value ->> 'session_epoch', value ->> 'password_epoch', value -> 'roles',
               value ->> 'verifier', coalesce(value ->> 'foreign', 0), value ->> 'legacy_id',
               value ->> 'password_due', value ->> 'password_changed_at', value ->> 'password_valid_until',
               value ->> '$.recovery.key', nullif(value -> 'needs', '[]'),
               nullif(json_remove(value, '$.id', '$.rev', '$.status', '$.access_epoch', '$.session_epoch',
                                  '$.password_epoch', '$.roles', '$.verifier', '$.foreign', '$.legacy_id',
                                  '$.password_due', '$.password_changed_at', '$.password_valid_until',
                                  '$.kept_session', '$.authenticators', '$.recovery', '$.needs'), '{}'),
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
            password_due = excluded.password_due,
            password_changed_at = excluded.password_changed_at,
            password_valid_until = excluded.password_valid_until,
            recovery_key = excluded.recovery_key,
            needs = excluded.needs,
            more = excluded.more,
            changed_at = excluded.changed_at
        where (excluded.history, excluded.rev) > (users.history, users.rev)";

    /// Deletes authenticators that their users' rows do not name, if these rows were written: (tenant, history,
    /// rows).
    DROP_AUTHENTICATORS = "
        delete from authenticators
        where tenant = ?1
          and user in (
            select u.id
            from json_each(?3) p
            cross join users u
              on u.tenant = ?1 and u.id = p.value ->> 'id' and u.history = ?2 and u.rev = p.value ->> 'rev'
          )
          and (user, id) not in (
            select p.value ->> 'id', a.value ->> 'id'
            from json_each(?3) p, json_each(p.value, '$.authenticators') a
          )";

    /// Writes the others. The last used step is the greater of the stored and the pushed one: (tenant, history,
    /// rows).
    PUT_AUTHENTICATORS = "
        insert into authenticators (tenant, user, id, seed, last_step)
        select ?1, u.id, a.value ->> 'id', a.value ->> 'seed', a.value ->> 'last_step'
        from json_each(?3) p
        cross join users u
          on u.tenant = ?1 and u.id = p.value ->> 'id' and u.history = ?2 and u.rev = p.value ->> 'rev'
        cross join json_each(p.value, '$.authenticators') a
        where u.status <> 'deleted'
        on conflict (tenant, user, id) do update
        set seed = excluded.seed,
            last_step = max(authenticators.last_step, excluded.last_step)
        where excluded.seed <> authenticators.seed
           or excluded.last_step > authenticators.last_step";

    /// Deletes recovery codes that their users' rows do not name, if these rows were written: (tenant, history,
    /// rows).
    DROP_RECOVERY_CODES = "
        delete from recovery_codes
        where tenant = ?1
          and user in (
            select u.id
            from json_each(?3) p
            cross join users u
              on u.tenant = ?1 and u.id = p.value ->> 'id' and u.history = ?2 and u.rev = p.value ->> 'rev'
          )
          and (user, hash) not in (
            select p.value ->> 'id', c.value ->> 'hash'
            from json_each(?3) p, json_each(p.value, '$.recovery.codes') c
          )";

    /// Writes the others. A used code stays used: (tenant, history, rows).
    PUT_RECOVERY_CODES = "
        insert into recovery_codes (tenant, user, hash, used_at)
        select ?1, u.id, c.value ->> 'hash', c.value ->> 'used_at'
        from json_each(?3) p
        cross join users u
          on u.tenant = ?1 and u.id = p.value ->> 'id' and u.history = ?2 and u.rev = p.value ->> 'rev'
        cross join json_each(p.value, '$.recovery.codes') c
        where u.status <> 'deleted'
        on conflict (tenant, user, hash) do update
        set used_at = excluded.used_at
        where recovery_codes.used_at is null
          and excluded.used_at is not null";

    /// Raises the epoch of kept sessions to the session epoch of their users' rows. A session with an epoch below
    /// `from` has ended, and a raised one is not below any more, so order, repeats and replay are harmless. 1048576
    /// is LEAP of shared::epochs: (tenant, history, rows).
    LIFT_KEPT_SESSIONS = "
        update families
        set session_epoch = kept.floor + kept.session_epoch
        from (
            select value ->> 'id' as user, value ->> '$.kept_session.sid' as sid,
                   value ->> '$.kept_session.from' as lowest, value ->> 'session_epoch' as session_epoch,
                   (?2 - 1) * 1048576 as floor
            from json_each(?3)
            where value ->> '$.kept_session.sid' is not null
          ) as kept
        where families.id = kept.sid
          and families.tenant = ?1
          and families.user = kept.user
          and families.ended_at is null
          and families.session_epoch >= kept.floor + kept.lowest
          and families.session_epoch < kept.floor + kept.session_epoch";

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

    /// Ends pushed sessions, each if it is its owner's, where that is named: (tenant, ids, now, owners by id).
    END_PUSHED_SESSIONS = "
        update families
        set ended_at = ?3, ended_for = 'session_ended'
        where tenant = ?1
          and ended_at is null
          and id in (select value from json_each(?2))
          and coalesce((select value from json_each(?4) where key = families.id), user) = user";

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
        set status = 'deleted', verifier = null, foreign_hash = 0, roles = '[]', password_due = null,
            password_changed_at = null, password_valid_until = null, recovery_key = null, needs = null,
            more = null, history = ?2, rev = ?3, changed_at = ?5, stamp = ?4
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
}
