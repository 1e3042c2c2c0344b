//! Facts for control.

use super::statement::{Sql, statements};

statements! {
    /// Turns counted refusals of past minutes into facts, unless enough facts for one answer wait already, because
    /// drains that are lost repeatedly must not move all of them: (minute, limit).
    CLOSE_MINUTES = "
        insert into outbox (id, tenant, at, kind, network, name_hash, count)
        select id, tenant, minute, iif(name_hash = '', 'network_refused', 'sign_in_refused'), network,
               nullif(name_hash, ''), count
        from refusals
        where minute < ?1
          and (select count(*) from (select 1 from outbox limit ?2)) < ?2
        order by minute, id
        limit ?2
        on conflict (id) do nothing";

    /// Deletes the counted refusals that are in the outbox now: (minute, limit).
    FORGET_CLOSED_MINUTES = "
        delete from refusals
        where (tenant, name_hash, network, minute) in (
            select tenant, name_hash, network, minute
            from refusals
            where minute < ?1
            order by minute, id
            limit ?2
          )
          and exists (select 1 from outbox where outbox.id = refusals.id)";

    /// Turns refusals that were counted without rows into one fact per tenant: (minute, limit).
    CLOSE_DROPPED = "
        insert into outbox (id, tenant, at, kind, count)
        select id, tenant, minute, 'refusals_dropped', count
        from refusals_dropped
        where minute < ?1
          and (select count(*) from (select 1 from outbox limit ?2)) < ?2
        order by minute, id
        limit ?2
        on conflict (id) do nothing";

    /// Deletes these counters.
    FORGET_CLOSED_DROPPED = "
        delete from refusals_dropped
        where exists (select 1 from outbox where outbox.id = refusals_dropped.id)";

    /// The outbox's data about an acknowledged position: whether it belongs to this incarnation of the database,
    /// whether it is beyond every assigned position, and the fact there, if it still exists: (seq, incarnation).
    ACKNOWLEDGED = "
        select incarnation = ?2 as ours,
               ?1 > coalesce((select seq from sqlite_sequence where name = 'outbox'), 0) as beyond,
               (select id from outbox where seq = ?1) as id
        from shard";

    /// Committed facts leave, if this is the database they came from: the position must be one that was
    /// given, and of the fact that control read there: (seq, incarnation, event or null).
    ACKNOWLEDGE = "
        delete from outbox
        where seq <= ?1
          and exists (select 1 from shard where incarnation = ?2)
          and ?1 <= (select seq from sqlite_sequence where name = 'outbox')
          and (?3 is null or exists (select 1 from outbox where seq = ?1 and id = ?3))";

    /// (most).
    OUTBOX = "
        select seq, id, tenant, at, kind, user, sid, network, name_hash, count, more
        from outbox
        order by seq
        limit ?1";
}
