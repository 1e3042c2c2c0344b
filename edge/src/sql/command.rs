//! Statements of control's commands.

use super::statement::{Sql, statements};

statements! {
    /// Marks and document revisions of several tenants. Of a new history the document arrives first, and the
    /// mark last: (ids).
    MARKS = "
        select json_each.value as tenant, coalesce(m.history, 0) as history, coalesce(m.rev, 0) as rev,
               max(coalesce(m.history, 0), coalesce(t.history, 0)) as highest,
               coalesce(t.rev, 0) as doc_rev, coalesce(t.kv_rev, 0) as kv_rev
        from json_each(?1)
        left join marks m on m.tenant = json_each.value
        left join tenants t on t.id = json_each.value
        where m.tenant is not null
           or t.id is not null";

    /// Facts that wait.
    OUTBOX_SIZE = "
        select (select count(*) from outbox) + (select count(*) from refusals) as waiting";

    /// Gives the database a new incarnation: caches of the former one are dropped.
    RENAME_LIFE = "
        update shard
        set incarnation = lower(hex(randomblob(16)))
        returning incarnation";
}
