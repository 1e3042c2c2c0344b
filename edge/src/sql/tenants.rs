//! What an isolate reads of a shard: names, documents, and the feed of changes.

use super::statement::{Sql, statements};

statements! {
    /// The shard's life and the head of its feed.
    SHARD = "
        select incarnation, head,
               (select min(seq) from feed) as oldest
        from shard";

    /// Feed rows after a cursor; (cursor, limit).
    FEED_AFTER = "
        select seq, kind, tenant, subject, history, rev, status, access_epoch, password_epoch
        from feed
        where seq > ?1
        order by seq
        limit ?2";

    /// The tenant of a name; its document only if the copy at hand has other bytes: (name, digest of the
    /// copy).
    TENANT_BY_NAME = "
        select t.id, n.shard, t.history, t.rev,
               case when t.digest = ?2 then null else t.document end as document
        from names n
        join tenants t on t.id = n.tenant
        where n.name = ?1";

    /// Live denials of the tenant of a name: (name).
    DENIALS_BY_NAME = "
        select f.seq, f.kind, f.tenant, f.subject, f.history, f.rev, f.status, f.access_epoch, f.password_epoch
        from names n
        join feed f on f.tenant = n.tenant
        where n.name = ?1
          and f.kind in ('user', 'family')
        order by f.seq";

    /// A document: (tenant).
    DOCUMENT = "
        select id, 0 as shard, history, rev, document
        from tenants
        where id = ?1";

    /// In place of a feed read: is the tenant as we know it, and is it still called so?
    /// (tenant, name).
    TENANT_STATE = "
        select status, history, rev, needs,
               (select n.tenant from names n where n.name = ?2) as named
        from tenants
        where id = ?1";
}
