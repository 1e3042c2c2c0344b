//! Tombstones are kept until they are a day old and the edge has confirmed them, then leave.

use chrono::TimeDelta;
use shared::contract::limits::TOMBSTONE_SECS;

use crate::control::Control;
use crate::failure::Failure;

/// How many leave at once.
const CHUNK: i64 = 1000;

/// Deletes tombstones that are old and confirmed, and notes up to which revision: an edge whose
/// mark is below that needs a snapshot.
///
/// # Errors
/// Errors of the database.
pub async fn tombstones(control: &Control) -> Result<u64, Failure> {
    let old = control.clock.now() - TimeDelta::seconds(i64::try_from(TOMBSTONE_SECS).unwrap_or(86_400));
    let swept = sqlx::query_scalar!(
        r#"with gone as (
            delete from platform.edge_rows e
            using (
                select e.tenant_id, e.kind, e.subject
                from platform.edge_rows e
                join platform.revisions r on r.tenant_id = e.tenant_id
                where e.deleted_at < $1 and e.rev <= r.mark and r.history = r.mark_history
                limit $2
                for update of e skip locked
            ) old
            where e.tenant_id = old.tenant_id and e.kind = old.kind and e.subject = old.subject
            returning e.tenant_id, e.rev
        ),
        noted as (
            update platform.revisions r
            set swept = greatest(r.swept, g.rev)
            from (select tenant_id, max(rev) as rev from gone group by tenant_id) g
            where r.tenant_id = g.tenant_id
        )
        select count(*) as "count!" from gone"#,
        old,
        CHUNK,
    )
    .fetch_one(control.db.relay())
    .await?;
    Ok(u64::try_from(swept).unwrap_or(0))
}
