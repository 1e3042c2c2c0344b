//! The rows of a log in the database.

use sqlx::FromRow;

use crate::db::TenantTx;
use crate::db::body::BodyKeys;
use crate::db::chain::{Hash, Link};
use crate::failure::Failure;

use super::walk::{Fault, Finding};

/// How many positions are read at a time.
pub(super) const CHUNK: i64 = 1_000;

/// An entry with its stored hash.
#[derive(FromRow)]
pub(super) struct Stored {
    #[sqlx(flatten)]
    pub link: Link,
    pub client_key: Option<String>,
    pub hash: Vec<u8>,
}

/// Where a log ends.
pub(super) struct Head {
    pub position: i64,
    pub hash: Vec<u8>,
}

/// The keys that open the bodies of these entries.
pub(super) async fn body_keys(tx: &mut TenantTx, rows: &[Stored]) -> Result<BodyKeys, Failure> {
    let (tenant, bodies) = (tx.keep_keys(), rows.iter().map(|stored| &stored.link.body[..]));
    BodyKeys::for_stored(tx, &tenant, bodies).await
}

pub(super) async fn head(tx: &mut TenantTx) -> Result<Head, Failure> {
    let tenant = tx.tenant().uuid();
    let head = sqlx::query_as!(
        Head,
        "select position, hash from platform.audit_heads where tenant_id = $1",
        tenant,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(head)
}

/// The first entry that the database has; the one behind the end where it has none.
pub(super) async fn first(tx: &mut TenantTx) -> Result<i64, Failure> {
    let tenant = tx.tenant().uuid();
    let first = sqlx::query_scalar!(
        r#"select coalesce(
            (select min(position) from audit_entries where tenant_id = $1 and position > 0),
            (select position + 1 from platform.audit_heads where tenant_id = $1)
        ) as "first!""#,
        tenant,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(first)
}

/// The stored hash of an entry.
pub(super) async fn hash_of(tx: &mut TenantTx, position: i64) -> Result<Option<Hash>, Failure> {
    let tenant = tx.tenant().uuid();
    let hash = sqlx::query_scalar!(
        "select hash from audit_entries where tenant_id = $1 and position = $2",
        tenant,
        position,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(hash.and_then(|hash| hash.try_into().ok()))
}

pub(super) async fn chunk(tx: &mut TenantTx, after: i64, end: i64) -> Result<Vec<Stored>, Failure> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as(
        "select tenant_id, position, recorded_at, id, at, actor_kind, actor, action, outcome, target, event_id,
            request_id, body, client_key, hash
         from audit_entries
         where tenant_id = $1 and position > $2 and position <= $3
         order by position",
    )
    .bind(tenant)
    .bind(after)
    .bind(end)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

/// An entry at an impossible position. One statement, because writers continue meanwhile.
pub(super) async fn outside(tx: &mut TenantTx) -> Result<Option<Finding>, Failure> {
    let tenant = tx.tenant().uuid();
    let position = sqlx::query_scalar!(
        "select e.position
         from audit_entries e
         join platform.audit_heads h on h.tenant_id = e.tenant_id
         where e.tenant_id = $1 and (e.position < 1 or e.position > h.position)
         order by e.position
         limit 1",
        tenant,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let fault = |position| if position < 1 { Fault::Inserted } else { Fault::Beyond };
    Ok(position.map(|position| Finding::new(fault(position), position)))
}
