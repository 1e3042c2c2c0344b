//! Second factors: attempts are counted, codes are used once, challenges are issued and used up.
//!
//! The statements of a batch share an event id. The attempt is counted with it (`counted_by`), a code is claimed with
//! it if the attempt was counted (`claimed_by`), and later statements require the claim. So of simultaneous calls
//! with the same code only one finds its event, and a call whose attempt was not counted claims no code.

use super::statement::{Sql, statements};

statements! {
    /// Counts the attempt of a code unless the limit is reached, for an unchanged user with a second factor. At a
    /// challenge, the challenge's own attempt was counted with the same event: (tenant, user, now, event, window,
    /// limit, session counter, understood, digest or null).
    RESERVE_CODE_TRY = "
        insert into code_tries (tenant, user, window_start, count, counted_by)
        select u.tenant, u.id, ?3, 1, ?4
        from subjects u
        join tenants t on t.id = u.tenant and t.status = 'active'
        where u.tenant = ?1
          and u.id = ?2
          and u.status = 'active'
          and u.session_counter = ?7
          and u.has_factor
          and not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?8))
          )
          and (?9 is null or exists (
            select 1 from challenges where tenant = ?1 and digest = ?9 and user = ?2 and counted_by = ?4
          ))
        on conflict (tenant, user) do update
        set count = case when window_start + ?5 <= ?3 then 1 else count + 1 end,
            window_start = case when window_start + ?5 <= ?3 then ?3 else window_start end,
            counted_by = excluded.counted_by
        where count < ?6
           or window_start + ?5 <= ?3
        returning window_start";

    /// The window, if it is full: (tenant, user, now, window, limit).
    FULL_CODE_WINDOW = "
        select window_start
        from code_tries
        where tenant = ?1
          and user = ?2
          and count >= ?5
          and window_start + ?4 > ?3";

    /// Uses the code of a step, if neither it nor a later one was used: (tenant, user, authenticator, step, event).
    CLAIM_STEP = "
        update authenticators
        set last_step = ?4, claimed_by = ?5
        where tenant = ?1
          and user = ?2
          and id = ?3
          and last_step < ?4
          and exists (select 1 from code_tries where tenant = ?1 and user = ?2 and counted_by = ?5)
        returning id";

    /// Uses a recovery code, once, if the user has an authenticator: (tenant, user, hash, now, event).
    CLAIM_RECOVERY_CODE = "
        update recovery_codes
        set used_at = ?4, claimed_by = ?5
        where tenant = ?1
          and user = ?2
          and hash = ?3
          and used_at is null
          and exists (select 1 from authenticators where tenant = ?1 and user = ?2)
          and exists (select 1 from code_tries where tenant = ?1 and user = ?2 and counted_by = ?5)
        returning hash";

    /// Takes the attempt of a correct code back: (tenant, user, event).
    RETURN_CODE_TRY = "
        update code_tries
        set count = count - 1
        where tenant = ?1
          and user = ?2
          and counted_by = ?3
          and count > 0
          and exists (select 1 from claims where tenant = ?1 and user = ?2 and event = ?3)";

    /// The fact that this call used a recovery code: (event, tenant, now, user, sid, network).
    RECORD_RECOVERY_CODE = "
        insert into outbox (id, tenant, at, kind, user, sid, network, more)
        select ?1, tenant, ?3, 'recovery_code_used', user, ?5, ?6, json_object('hash', hash)
        from recovery_codes
        where tenant = ?2
          and user = ?4
          and claimed_by = ?1";

    /// The fact of a wrong code: (event, tenant, now, user, sid or null, network, more).
    RECORD_CODE_REFUSED = "
        insert into outbox (id, tenant, at, kind, user, sid, network, more)
        select ?1, tenant, ?3, 'second_factor_refused', user, ?5, ?6, ?7
        from code_tries
        where tenant = ?2
          and user = ?4
          and counted_by = ?1
          and not exists (select 1 from claims where tenant = ?2 and user = ?4 and event = ?1)";

    /// Issues a challenge in place of a family, under the same conditions, for a user with a second factor; it
    /// replaces an older one: (tenant, user, digest, expiry, session counter, understood).
    INSERT_CHALLENGE = "
        insert into challenges (tenant, user, digest, session_epoch, expires_at)
        select u.tenant, u.id, ?3, u.session_epoch, ?4
        from subjects u
        join tenants t on t.id = u.tenant and t.status = 'active'
        where u.tenant = ?1
          and u.id = ?2
          and u.status = 'active'
          and u.session_counter = ?5
          and u.has_factor
          and not exists (
            select 1
            from (select value from json_each(u.needs) union all select value from json_each(t.needs))
            where value not in (select value from json_each(?6))
          )
        on conflict (tenant, user) do update
        set digest = excluded.digest,
            session_epoch = excluded.session_epoch,
            expires_at = excluded.expires_at,
            tries = 0,
            counted_by = null,
            used_at = null
        returning digest";

    /// The user of a challenge, valid or not: (tenant, digest).
    USER_BY_CHALLENGE = "
        select u.id, u.status, u.session_counter, u.verifier, u.foreign_hash, u.needs, u.password_due,
               u.password_changed_at, u.password_valid_until, u.has_factor, u.authenticators,
               u.recovery_key, u.factor_from
        from challenges c
        join subjects u on u.tenant = c.tenant and u.id = c.user
        where c.tenant = ?1
          and c.digest = ?2";

    /// Counts an attempt at a valid challenge: not expired, not used up, with attempts left, of an active user with
    /// the session epoch of its issue: (tenant, digest, now, event, limit).
    COUNT_CHALLENGE_TRY = "
        update challenges
        set tries = tries + 1, counted_by = ?4
        where tenant = ?1
          and digest = ?2
          and tries < ?5
          and used_at is null
          and expires_at > ?3
          and exists (
            select 1
            from subjects u
            where u.tenant = challenges.tenant
              and u.id = challenges.user
              and u.status = 'active'
              and u.session_epoch = challenges.session_epoch
          )
        returning tries";

    /// Uses up the challenge of a correct code: (tenant, digest, now, event).
    USE_UP_CHALLENGE = "
        update challenges
        set used_at = ?3
        where tenant = ?1
          and digest = ?2
          and counted_by = ?4
          and used_at is null
          and exists (select 1 from claims where tenant = ?1 and user = challenges.user and event = ?4)";
}
