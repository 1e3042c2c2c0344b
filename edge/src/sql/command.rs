//! What control asks of this edge's state.

use super::statement::{Sql, statements};

statements! {
    /// Marks and document revisions of several tenants: (ids).
    MARKS = "
        select m.tenant, m.history, m.rev, coalesce(t.rev, 0) as doc_rev, coalesce(t.kv_rev, 0) as kv_rev
        from marks m
        left join tenants t on t.id = m.tenant
        where m.tenant in (select value from json_each(?1))";

    /// Facts that wait.
    OUTBOX_SIZE = "
        select (select count(*) from outbox) + (select count(*) from refusals) as waiting";

    /// Begins another life of the database: whatever was known of the one before counts no more.
    RENAME_LIFE = "
        update shard
        set incarnation = lower(hex(randomblob(16)))
        returning incarnation";
}
