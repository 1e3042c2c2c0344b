//! Copies in KV that are behind.

use super::statement::{Sql, statements};

statements! {
    /// Documents with an outdated copy in KV: (limit).
    KV_BEHIND = "
        select id, history, rev, document
        from tenants
        where history > kv_history or (history = kv_history and rev > kv_rev)
        limit ?1";

    /// The copy was put: (tenant, history, rev).
    KV_PUT = "
        update tenants
        set kv_history = ?2, kv_rev = ?3
        where id = ?1
          and (?2, ?3) > (kv_history, kv_rev)";
}
