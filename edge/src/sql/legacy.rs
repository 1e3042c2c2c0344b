//! Tokens of the service that a tenant came from.

use super::statement::{Sql, statements};

statements! {
    /// The user of a legacy token, whether the token is on the list (if that is required), and when its session
    /// ended: (tenant, user hash, token hash or null, sid; user hash and token hash under the former lookup root, or
    /// null).
    LEGACY_USER = "
        select u.id, u.status, u.access_epoch, u.session_epoch, u.password_counter, u.roles, u.legacy_id,
               u.legacy_over, u.needs, u.password_due, u.password_changed_at, u.has_factor, u.factor_from,
               ?3 is null or exists (
                 select 1 from identifiers l where l.tenant = ?1 and l.hash in (?3, ?6) and l.user = u.id
               ) as listed,
               (select f.ended_at from families f where f.id = ?4 and f.tenant = ?1) as ended_at
        from identifiers i
        join subjects u on u.tenant = i.tenant and u.id = i.user
        where i.tenant = ?1 and i.hash in (?2, ?5)
        order by i.hash = ?2 desc
        limit 1";

    /// Creates the family of a legacy token at generation 0, if it does not exist, its user is as imported (no reseed
    /// since), and the document that the token was verified with is current. Later presentations find this row, so
    /// the token is exchanged once. A user who must change the password, has a second factor or must have one cannot
    /// exchange: (sid, tenant, user hash, token hash or null, now, idle deadline, absolute deadline, expiry, event,
    /// history, rev, amr, understood, or null to ignore these conditions; user hash and token hash under the former
    /// lookup root, or null; the time up to which a password is too old, or null).
    INSERT_LEGACY_FAMILY = "
        insert into families (id, tenant, user, generation, created_at, rotated_at, idle_deadline,
                              absolute_deadline, session_epoch, amr, auth_time, used_at, kept_until, made_by)
        select ?1, u.tenant, u.id, 0, ?5, ?5, ?6, ?7, u.session_epoch, ?12, 0, ?5, ?8, ?9
        from identifiers i
        join subjects u on u.tenant = i.tenant and u.id = i.user
        join tenants t on t.id = u.tenant and t.status = 'active' and (t.history, t.rev) <= (?10, ?11)
        where i.tenant = ?2
          and i.hash in (?3, ?14)
          and u.status = 'active'
          and u.session_epoch = 0
          and u.legacy_over = 0
          and (?13 is null or (
            not exists (
              select 1
              from (select value from json_each(u.needs) union all select value from json_each(t.needs))
              where value not in (select value from json_each(?13))
            )
            and u.password_due is null
            and (?16 is null or coalesce(u.password_changed_at, 0) > ?16)
            and not u.has_factor
            and (u.factor_from is null or u.factor_from > ?5)
          ))
          and (?4 is null or exists (
            select 1 from identifiers l where l.tenant = ?2 and l.hash in (?4, ?15) and l.user = u.id
          ))
        on conflict (id) do nothing";

    /// The fact that this call exchanged a legacy token: (event, now, sid).
    RECORD_EXCHANGE = "
        insert into outbox (id, tenant, at, kind, user, sid)
        select ?1, tenant, ?2, 'legacy_exchanged', user, id
        from families
        where id = ?3
          and made_by = ?1";

    /// Makes all legacy tokens of a user invalid, when the user signs out everywhere: (tenant, user, now).
    END_LEGACY = "
        update users
        set legacy_over = 1, changed_at = ?3
        where tenant = ?1 and id = ?2 and legacy_over = 0";
}
