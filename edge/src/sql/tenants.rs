//! The reads of an isolate: names, documents, and the change feed.

use super::statement::{Sql, statements};

statements! {
    /// The random id of the shard's database and the head of its feed.
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

    /// The tenants that later feed rows concern, if there are more rows than one read returns; names count as an
    /// empty tenant: (cursor, rows of one read, limit).
    FEED_BEYOND = "
        select distinct iif(kind = 'name', '', tenant) as tenant
        from feed
        where seq > (select max(seq) from (select seq from feed where seq > ?1 order by seq limit ?2))
        limit ?3";

    /// The tenant of a name; its document only if the copy from KV has another digest: (name, digest of the copy).
    TENANT_BY_NAME = "
        select t.id, n.shard, t.history, t.rev,
               case when t.digest = ?2 then null else t.document end as document
        from names n
        join tenants t on t.id = n.tenant
        where n.name = ?1";

    /// Live denials of the tenant of a name, as many as the feed has of one tenant at most; none of a crowded
    /// one: (name).
    DENIALS_BY_NAME = "
        select f.kind, f.subject, f.status, f.access_epoch, f.password_epoch
        from names n
        join feed f on f.tenant = n.tenant
        where n.name = ?1
          and f.kind in ('user', 'family')
          and not exists (select 1 from crowds c where c.tenant = n.tenant and c.at is not null)
        order by f.seq";

    /// A row if the tenant of a name is crowded: (name).
    CROWDED_BY_NAME = "
        select 1 as crowded
        from names n
        join crowds c on c.tenant = n.tenant and c.at is not null
        where n.name = ?1";

    /// The user and the session of a token, of a tenant that is crowded: (tenant, user, sid).
    STANDING = "
        select t.history, u.status, u.access_epoch, u.password_epoch,
               (select f.ended_at from families f where f.id = ?3 and f.tenant = ?1) as ended_at
        from tenants t
        left join users u on u.tenant = t.id and u.id = ?2
        where t.id = ?1";

    /// A document: (tenant).
    DOCUMENT = "
        select id, 0 as shard, history, rev, document
        from tenants
        where id = ?1";

    /// In place of a feed read: the tenant's state and revision, and whether it still has the name: (tenant, name).
    TENANT_STATE = "
        select status, history, rev, needs,
               (select n.tenant from names n where n.name = ?2) as named
        from tenants
        where id = ?1";
}
