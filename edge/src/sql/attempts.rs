//! Password attempts: counted before the hash in one statement, taken back by a correct password.
//!
//! An attempt is counted in several rows of `attempts`, by rules that the caller binds (`sign_in::attempts`). From a
//! network that is known to the account it is counted in one row only, which other networks do not affect.

use super::statement::{Sql, statements};

/// The rows in which an attempt counts, with it included: `(tenant, now, event, network, name's account, the same
/// under the former lookup root or null, identifier hash, the same under the former root or null, rules)`.
macro_rules! tries {
    () => {
        "
        with who (account, former, known) as (
            select coalesce(found.user, ?5),
                   case when found.user is null then ?6 end,
                   exists (
                     select 1
                     from networks
                     where tenant = ?1 and user = found.user and network = ?4 and until > ?2
                   )
            from (select 1)
            left join (
                select user
                from identifiers
                where tenant = ?1 and hash in (?7, ?8) and user is not null
                order by hash = ?7 desc
                limit 1
              ) found
          ),
          scopes as (
            select case when json_extract(value, '$.by_account') then account else '' end as account,
                   case when json_extract(value, '$.by_account') then former end as former,
                   case when json_extract(value, '$.by_network') then ?4 else '' end as network,
                   json_extract(value, '$.free') as free,
                   json_extract(value, '$.most') as most,
                   json_extract(value, '$.delay') as delay,
                   json_extract(value, '$.longest') as longest,
                   json_extract(value, '$.window') as window
            from who
            cross join json_each(?9)
            where not known
               or (json_extract(value, '$.by_account') and json_extract(value, '$.by_network'))
          ),
          tries as (
            select s.account, s.network, s.free, s.most, s.delay, s.longest,
                   iif(coalesce(a.ends, f.ends) > ?2, coalesce(a.ends, f.ends), ?2 + s.window) as ends,
                   iif(coalesce(a.ends, f.ends) > ?2, coalesce(a.count, f.count), 0) + 1 as count,
                   coalesce(a.open_at, f.open_at, 0) as open_at
            from scopes s
            left join attempts a
              on a.tenant = ?1 and a.account = s.account and a.network = s.network
            left join attempts f
              on f.tenant = ?1 and f.account = s.former and f.network = s.network
          )"
    };
}

/// Takes an attempt back in the rows in which it was counted, if their windows are not over: `(tenant, event, rows)`.
macro_rules! give_back {
    () => {
        "
        update attempts
        set count = count - 1,
            open_at = case when counted_by = ?2 then 0 else open_at end
        where (tenant, account, network) in (
            select ?1, json_extract(value, '$.account'), json_extract(value, '$.network') from json_each(?3)
          )
          and ends in (select json_extract(value, '$.ends') from json_each(?3))
          and count > 0"
    };
}

statements! {
    /// Counts a try in every row that it counts in, or in none where one of them is closed: parameters as above.
    /// A row closes with its last free try for a time that doubles, and with its last one until its window is over.
    RESERVE_ATTEMPT = concat!(tries!(), "
        insert into attempts (tenant, account, network, ends, count, open_at, counted_by)
        select ?1, account, network, ends, count,
               case
                 when count >= most then ends
                 when count >= free then ?2 + min(longest, delay << min(count - free, 20))
                 else 0
               end,
               ?3
        from tries
        where not exists (select 1 from tries where open_at > ?2)
        on conflict (tenant, account, network) do update
        set ends = excluded.ends,
            count = excluded.count,
            open_at = excluded.open_at,
            counted_by = excluded.counted_by
        returning account, network, ends, count");

    /// The time when a refused attempt would be accepted: parameters as above.
    ATTEMPT_WAIT = concat!(tries!(), "
        select max(open_at) as open_at
        from tries
        where open_at > ?2");

    /// Takes back an attempt that was counted under a root that is no longer in force, to count it again: (tenant,
    /// event, rows).
    TAKE_BACK_ATTEMPT = give_back!();

    /// A right password gives its own try back: (tenant, event, rows, sid).
    RETURN_ATTEMPT = concat!(give_back!(), "
          and exists (select 1 from families where id = ?4)");

    /// Takes an attempt back if a ticket was issued in place of a session: (tenant, event, rows, digest).
    RETURN_ATTEMPT_FOR_TICKET = concat!(give_back!(), "
          and exists (select 1 from tickets where tenant = ?1 and digest = ?4)");

    /// Takes an attempt back if a challenge was issued: (tenant, event, rows, digest).
    RETURN_ATTEMPT_FOR_CHALLENGE = concat!(give_back!(), "
          and exists (select 1 from challenges where tenant = ?1 and digest = ?4)");

    /// Takes an attempt back before a code is checked, whether the code is correct or not: (tenant, event, rows,
    /// user, event of the code's try).
    RETURN_ATTEMPT_FOR_CODE = concat!(give_back!(), "
          and exists (select 1 from code_tries where tenant = ?1 and user = ?4 and counted_by = ?5)");

    /// The fact that unknown networks are refused from now on, by the try that was wrong and the last one:
    /// (event of the fact, tenant, now, event of the try, network, user or null, name hash or null, account, most).
    RECORD_NETWORKS_REFUSED = "
        insert into outbox (id, tenant, at, kind, user, network, name_hash)
        select ?1, tenant, ?3, 'networks_refused', ?6, ?5, ?7
        from attempts
        where tenant = ?2
          and account = ?8
          and network = ''
          and counted_by = ?4
          and count >= ?9";

    /// Makes the network of a new session known to its user: (sid, network, until).
    KNOW_NETWORK = "
        insert into networks (tenant, user, network, until)
        select tenant, user, ?2, ?3
        from families
        where id = ?1
        on conflict (tenant, user, network) do update
        set until = max(until, excluded.until)";

    /// Deletes the oldest known networks of a user above a limit: (tenant, user, most).
    FORGET_NETWORKS = "
        delete from networks
        where (tenant, user, network) in (
            select tenant, user, network
            from networks
            where tenant = ?1 and user = ?2
            order by until desc
            limit -1 offset ?3
          )";

    /// Makes a confirmed network known to an active user until a time: (tenant, user, network, until).
    CONFIRM_NETWORK = "
        insert into networks (tenant, user, network, until)
        select tenant, id, ?3, ?4
        from users
        where tenant = ?1
          and id = ?2
          and status = 'active'
        on conflict (tenant, user, network) do update
        set until = max(until, excluded.until)
        returning user";

    /// Lifts every count of wrong passwords of an account: (tenant, user).
    LIFT_ATTEMPTS = "
        delete from attempts
        where tenant = ?1
          and account = ?2
        returning network";
}
