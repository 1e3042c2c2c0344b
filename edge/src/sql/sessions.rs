//! Refresh families: rotated, kept alive, ended.

use super::statement::{Sql, statements};

statements! {
    /// A family with its user: (sid, tenant).
    FAMILY = "
        select f.user, f.generation, f.rotated_at, f.idle_deadline, f.absolute_deadline,
               f.session_epoch, f.amr, f.auth_time, f.ended_at, f.ended_by,
               u.status, u.access_epoch, u.session_epoch as user_session_epoch, u.roles,
               u.legacy_id, u.needs, u.factor_from, f.created_at, f.used_at, u.idle_cap, u.absolute_cap
        from families f
        left join subjects u on u.tenant = f.tenant and u.id = f.user
        where f.id = ?1
          and f.tenant = ?2";

    /// Ends a family if the presented generation is too old, or later than the row's: (sid, tenant, generation, now,
    /// window, event).
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

    /// Rotates the current generation, if the deadlines (also those of the user's roles), the user and the tenant
    /// allow it, this release knows the features that both need, and the session used the second factor that the
    /// tenant requires: (sid, tenant, generation, now, idle, understood).
    ROTATE = "
        update families
        set generation = generation + 1,
            rotated_at = max(rotated_at, ?4),
            used_at = max(used_at, ?4),
            idle_deadline = min(?4 + ?5, absolute_deadline, coalesce(?4 + u.idle_cap, absolute_deadline),
                                coalesce(created_at + u.absolute_cap, absolute_deadline))
        from subjects u
        join tenants t on t.id = u.tenant and t.status = 'active'
        where families.id = ?1
          and families.tenant = ?2
          and generation = ?3
          and ended_at is null
          and idle_deadline > ?4
          and absolute_deadline > ?4
          and u.tenant = families.tenant
          and u.id = families.user
          and u.status = 'active'
          and u.session_epoch = families.session_epoch
          and (u.idle_cap is null or used_at + u.idle_cap > ?4)
          and (u.absolute_cap is null or created_at + u.absolute_cap > ?4)
          and (
            u.factor_from is null
            or u.factor_from > ?4
            or exists (select 1 from json_each(families.amr) where value = 'mfa')
          )
          and not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?6))
          )
        returning generation";

    /// Moves the idle deadline of a family at a silent renewal, if it was not moved recently, under the conditions of
    /// a rotation: (sid, tenant, generation, now, idle, interval, understood).
    KEEP_ALIVE = "
        update families
        set used_at = max(used_at, ?4),
            idle_deadline = min(?4 + ?5, absolute_deadline, coalesce(?4 + u.idle_cap, absolute_deadline),
                                coalesce(created_at + u.absolute_cap, absolute_deadline))
        from subjects u
        join tenants t on t.id = u.tenant and t.status = 'active'
        where families.id = ?1
          and families.tenant = ?2
          and generation = ?3
          and ended_at is null
          and idle_deadline > ?4
          and absolute_deadline > ?4
          and idle_deadline < min(absolute_deadline, coalesce(created_at + u.absolute_cap, absolute_deadline))
          and idle_deadline + min(?6, coalesce(u.idle_cap / 2, ?6)) <= ?4 + min(?5, coalesce(u.idle_cap, ?5))
          and u.tenant = families.tenant
          and u.id = families.user
          and u.status = 'active'
          and u.session_epoch = families.session_epoch
          and (u.idle_cap is null or used_at + u.idle_cap > ?4)
          and (u.absolute_cap is null or created_at + u.absolute_cap > ?4)
          and (
            u.factor_from is null
            or u.factor_from > ?4
            or exists (select 1 from json_each(families.amr) where value = 'mfa')
          )
          and not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?7))
          )
        returning idle_deadline";

    /// The fact that this call ended a family, with the cause: (event, now, sid).
    RECORD_END = "
        insert into outbox (id, tenant, at, kind, user, sid)
        select ?1, tenant, ?2, ended_for, user, id
        from families
        where id = ?3
          and ended_by = ?1";

    /// Ends one active family: (sid, tenant, now, event, cause).
    END_FAMILY = "
        update families
        set ended_at = ?3, ended_for = ?5, ended_by = ?4
        where id = ?1
          and tenant = ?2
          and ended_at is null
        returning id";

    /// Ends every active family of a user: (tenant, user, now, event).
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

    /// The active families of a user that used the second factor which the tenant requires: (tenant, user, now).
    LIVING_FAMILIES = "
        select f.id, f.created_at, f.rotated_at, f.used_at, f.amr, f.auth_time, f.client,
               min(f.absolute_deadline, coalesce(f.created_at + u.absolute_cap, f.absolute_deadline))
                 as absolute_deadline,
               min(f.idle_deadline, f.absolute_deadline, coalesce(f.used_at + u.idle_cap, f.absolute_deadline),
                   coalesce(f.created_at + u.absolute_cap, f.absolute_deadline)) as expires_at
        from families f
        join subjects u on u.tenant = f.tenant and u.id = f.user and u.session_epoch = f.session_epoch
        where f.tenant = ?1
          and f.user = ?2
          and f.ended_at is null
          and f.idle_deadline > ?3
          and f.absolute_deadline > ?3
          and (u.idle_cap is null or f.used_at + u.idle_cap > ?3)
          and (u.absolute_cap is null or f.created_at + u.absolute_cap > ?3)
          and (
            u.factor_from is null
            or u.factor_from > ?3
            or exists (select 1 from json_each(f.amr) where value = 'mfa')
          )
        order by f.created_at desc, f.id";

    /// The fact that the next statement ends some, and how many; it names one of them: (event, tenant, now, sid, limit).
    RECORD_EVICTION = "
        insert into outbox (id, tenant, at, kind, user, sid, count)
        select ?1, tenant, ?3, 'session_evicted', user, id, count(*) over ()
        from (
            select tenant, user, id
            from families
            where tenant = ?2
              and user = (select user from families where id = ?4)
              and ended_at is null
              and absolute_deadline > ?3
              and idle_deadline > ?3
            order by id = ?4 desc, used_at desc, id
            limit -1 offset ?5
          )
        limit 1";

    /// Ends the least recently used active families of a new family's user above the limit: (event, tenant, now, sid,
    /// limit).
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
            order by id = ?4 desc, used_at desc, id
            limit -1 offset ?5
          )";
}
