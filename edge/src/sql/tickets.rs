//! Tickets: issued for a correct password, looked up, and not consumed here: control's write raises the epochs that
//! they are bound to.

use super::statement::{Sql, statements};

statements! {
    /// Issues a ticket in place of a family, under the same conditions; it replaces an older one of the user and
    /// purpose. A ticket for enrolling needs a user without a second factor: (tenant, user, purpose, digest, expiry,
    /// session counter, understood).
    INSERT_TICKET = "
        insert into tickets (tenant, user, purpose, digest, password_epoch, access_epoch, expires_at)
        select u.tenant, u.id, ?3, ?4, u.password_counter, u.access_epoch, ?5
        from subjects u
        join tenants t on t.id = u.tenant and t.status = 'active'
        where u.tenant = ?1
          and u.id = ?2
          and u.status = 'active'
          and u.session_counter = ?6
          and (?3 <> 'mfa_enrollment' or not u.has_factor)
          and not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?7))
          )
        on conflict (tenant, user, purpose) do update
        set digest = excluded.digest,
            password_epoch = excluded.password_epoch,
            access_epoch = excluded.access_epoch,
            expires_at = excluded.expires_at
        returning digest";

    /// (event, tenant, now, user, digest, network, kind).
    RECORD_TICKET = "
        insert into outbox (id, tenant, at, kind, user, network)
        select ?1, ?2, ?3, ?7, ?4, ?6
        from tickets
        where tenant = ?2
          and digest = ?5";

    /// A valid ticket: of this purpose, not expired, of an active user with the epochs of its issue: (tenant, digest,
    /// purpose, now).
    TICKET = "
        select k.user, k.password_epoch, k.access_epoch
        from tickets k
        join subjects u on u.tenant = k.tenant and u.id = k.user
        where k.tenant = ?1
          and k.digest = ?2
          and k.purpose = ?3
          and k.expires_at > ?4
          and u.status = 'active'
          and u.password_counter = k.password_epoch
          and u.access_epoch = k.access_epoch
          and (k.purpose <> 'mfa_enrollment' or not u.has_factor)";
}
