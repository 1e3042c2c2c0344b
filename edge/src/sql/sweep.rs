//! What the cron deletes, in chunks.

use super::statement::{Sql, statements};

statements! {
    /// Feed rows that concern no unexpired token: (before, limit).
    CLEAN_FEED = "
        delete from feed
        where seq <= (
            select max(seq)
            from (select seq, at from feed order by seq limit ?2)
            where at < ?1
          )
        returning 1 as swept";

    /// Tenants that are no longer crowded, because their unlisted changes concern no unexpired token. A feed row says
    /// so: (before, limit, now).
    TELL_UNCROWDED = "
        insert into feed (at, kind, tenant, subject)
        select ?3, 'calm', tenant, tenant
        from (select tenant from crowds where at < ?1 order by at, tenant limit ?2)";

    /// Deletes their mark: (before, limit).
    CLEAR_CROWDED_MARKS = "
        update crowds
        set at = null
        where tenant in (select tenant from crowds where at < ?1 order by at, tenant limit ?2)";

    /// Tenants without rows in the feed: (limit).
    CLEAN_UNUSED_CROWDS = "
        delete from crowds
        where tenant in (select tenant from crowds where told = 0 and at is null limit ?1)";

    /// Windows of passwords that are over, and the waits of their last tries: (before, most).
    CLEAN_ATTEMPTS = "
        delete from attempts
        where (tenant, account, network) in (
            select tenant, account, network from attempts where ends < ?1 limit ?2
          )
          and open_at < ?1
        returning 1 as swept";

    /// Known networks that have expired: (before, limit).
    CLEAN_NETWORKS = "
        delete from networks
        where (tenant, user, network) in (
            select tenant, user, network from networks where until < ?1 limit ?2
          )
        returning 1 as swept";

    /// Tickets that are expired: (before, most).
    CLEAN_TICKETS = "
        delete from tickets
        where (tenant, user, purpose) in (
            select tenant, user, purpose from tickets where expires_at < ?1 limit ?2
          )
        returning 1 as swept";

    /// Windows of one-time codes that are over: (before, most).
    CLEAN_CODE_TRIES = "
        delete from code_tries
        where (tenant, user) in (
            select tenant, user from code_tries where window_start < ?1 limit ?2
          )
        returning 1 as swept";

    /// Challenges that are expired: (before, most).
    CLEAN_CHALLENGES = "
        delete from challenges
        where (tenant, user) in (
            select tenant, user from challenges where expires_at < ?1 limit ?2
          )
        returning 1 as swept";

    /// Remembered devices that are expired: (before, most).
    CLEAN_DEVICES = "
        delete from devices
        where (tenant, user, digest) in (
            select tenant, user, digest from devices where expires_at < ?1 limit ?2
          )
        returning 1 as swept";

    /// Families that ended long ago: (before, most).
    CLEAN_ENDED_FAMILIES = "
        delete from families
        where id in (
            select id
            from families
            where ended_at is not null and max(ended_at, kept_until) < ?1
            limit ?2
          )
        returning 1 as swept";

    /// Families past their absolute deadline: (before, most).
    CLEAN_EXPIRED_FAMILIES = "
        delete from families
        where id in (select id from families where max(absolute_deadline, kept_until) < ?1 limit ?2)
        returning 1 as swept";

    /// Families past their idle deadline, which is not indexed: those in the next part of the table, (before, limit).
    CLEAN_IDLE_FAMILIES = "
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
    ADVANCE_IDLE_CURSOR = "
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
