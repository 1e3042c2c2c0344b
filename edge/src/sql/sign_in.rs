//! Sign-in: count the attempt, find the user, create the family.

use super::statement::{Sql, statements};

statements! {
    /// The user of an identifier: (tenant, hash, hash under the former lookup root or null).
    USER_BY_IDENTIFIER = "
        select u.id, u.status, u.session_counter, u.verifier, u.foreign_hash, u.needs, u.password_due,
               u.password_changed_at, u.password_valid_until, u.has_factor, u.authenticators,
               u.recovery_key, u.factor_from
        from identifiers i
        join subjects u on u.tenant = i.tenant and u.id = i.user
        where i.tenant = ?1 and i.hash in (?2, ?3)
        order by i.hash = ?2 desc
        limit 1";

    /// Creates a family, if the user is unchanged since before the hash, the tenant is active, and this release knows
    /// the features that both need. The user's own counter is compared, so that a reseed meanwhile, which does not
    /// change passwords, refuses no sign-in. A user who has or must have a second factor gets a family only with an
    /// event that used one. The deadlines are the given ones, or the shorter ones of the user's roles: (sid, tenant,
    /// user, now, idle deadline, absolute deadline, session counter, amr, understood, event or null, sealed client or
    /// null).
    INSERT_FAMILY = "
        insert into families (id, tenant, user, generation, created_at, rotated_at, idle_deadline,
                              absolute_deadline, session_epoch, amr, auth_time, used_at, client)
        select ?1, u.tenant, u.id, 1, ?4, ?4,
               min(?5, coalesce(?4 + u.idle_cap, ?5), coalesce(?4 + u.absolute_cap, ?5)),
               min(?6, coalesce(?4 + u.absolute_cap, ?6)), u.session_epoch, ?8, ?4, ?4, ?11
        from subjects u
        join tenants t on t.id = u.tenant and t.status = 'active'
        where u.tenant = ?2
          and u.id = ?3
          and u.status = 'active'
          and u.session_counter = ?7
          and not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?9))
          )
          and case
            when ?10 is null then not u.has_factor and (u.factor_from is null or u.factor_from > ?4)
            else exists (select 1 from claims where tenant = ?2 and user = ?3 and event = ?10)
          end";

    /// (event, tenant, now, user, sid, network, more).
    RECORD_SIGN_IN = "
        insert into outbox (id, tenant, at, kind, user, sid, network, more)
        select ?1, ?2, ?3, 'signed_in', ?4, ?5, ?6, ?7
        from families
        where id = ?5";

    /// Counts a refused sign-in in its minute's row. A new row is created only below the limits of the tenant and of
    /// the shard: (tenant, name hash, network, minute, event, limit of a tenant, limit of the shard).
    RECORD_REFUSAL = "
        insert into refusals (tenant, name_hash, network, minute, id, count)
        select ?1, ?2, ?3, ?4, ?5, 1
        where exists (
            select 1
            from refusals
            where tenant = ?1 and name_hash = ?2 and network = ?3 and minute = ?4
          )
           or not exists (
            select 1
            from refusals_waiting
            where (tenant = ?1 and count >= ?6) or (tenant = '' and count >= ?7)
          )
        on conflict (tenant, name_hash, network, minute) do update
        set count = count + 1";

    /// Counts the refused sign-in that the statement before found no room for:
    /// (tenant, name hash, network, minute, event).
    COUNT_DROPPED_REFUSAL = "
        insert into refusals_dropped (tenant, minute, id, count)
        select ?1, ?4, ?5, 1
        where not exists (
            select 1
            from refusals
            where tenant = ?1 and name_hash = ?2 and network = ?3 and minute = ?4
          )
        on conflict (tenant) do update
        set count = count + 1";
}
