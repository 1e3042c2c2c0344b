//! Step-up: re-authentication within a session.

use super::statement::{Sql, statements};

statements! {
    /// The user of a session: (tenant, user, sid).
    USER_BY_SESSION = "
        select u.id, u.status, u.session_counter, u.verifier, u.foreign_hash, u.needs, u.password_due,
               u.password_changed_at, u.password_valid_until, u.has_factor, u.authenticators,
               u.recovery_key, u.factor_from
        from families f
        join subjects u on u.tenant = f.tenant and u.id = f.user
        where f.tenant = ?1
          and f.user = ?2
          and f.id = ?3";

    /// Sets a new `auth_time` and `amr` of an active session, if user and tenant allow it, with an event that used a
    /// second factor, or without one for a user who has none: (sid, tenant, now, amr, understood, event or null,
    /// event of the step-up).
    STEP_UP = "
        update families
        set amr = ?4, auth_time = ?3, stepped_by = ?7
        where id = ?1
          and tenant = ?2
          and ended_at is null
          and idle_deadline > ?3
          and absolute_deadline > ?3
          and exists (
            select 1
            from subjects u
            join tenants t on t.id = u.tenant and t.status = 'active'
            where u.tenant = families.tenant
              and u.id = families.user
              and u.status = 'active'
              and u.session_epoch = families.session_epoch
              and (u.idle_cap is null or families.used_at + u.idle_cap > ?3)
              and (u.absolute_cap is null or families.created_at + u.absolute_cap > ?3)
              and not exists (
                select 1
                from (select value from json_each(u.needs) union all select value from json_each(t.needs))
                where value not in (select value from json_each(?5))
              )
              and case
                when ?6 is null then not u.has_factor
                else exists (select 1 from claims where tenant = ?2 and user = u.id and event = ?6)
              end
          )
        returning id";

    /// The fact that a session was stepped up by this call: (event, tenant, now, sid, network, more).
    RECORD_STEP_UP = "
        insert into outbox (id, tenant, at, kind, user, sid, network, more)
        select ?1, tenant, ?3, 'stepped_up', user, id, ?5, ?6
        from families
        where id = ?4
          and tenant = ?2
          and stepped_by = ?1";

    /// The fact that a password was wrong: (event, tenant, now, user, sid, network).
    RECORD_PASSWORD_REFUSED = "
        insert into outbox (id, tenant, at, kind, user, sid, network, more)
        values (?1, ?2, ?3, 'second_factor_refused', ?4, ?5, ?6, json_object('method', 'password'))";
}
