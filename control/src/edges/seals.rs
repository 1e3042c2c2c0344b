//! Which key-encryption key of the edge seals what it has.
//!
//! Each row that the edge holds says under which key its revision is sealed ([`crate::db::changes`] writes it), and no
//! revision is ever sent under two keys: the edge takes none twice, so after a lost answer it would be unknown which
//! one's it has. [`super::reseal`] moves everything to another key.

use serde::Serialize;
use shared::ids::TenantId;
use sqlx::PgConnection;

use super::message::Changed;
use crate::control::Control;
use crate::db::changes::CHANNEL;
use crate::failure::Failure;

/// How much is sealed under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seal {
    /// The key's id.
    pub key: String,
    /// Whether this control seals with it.
    pub current: bool,
    /// Tenants that have anything under it.
    pub tenants: i64,
    /// Documents and users under it.
    pub rows: i64,
    /// Those of them that the edge has not confirmed.
    pub unconfirmed: i64,
}

/// How much is sealed under each key.
///
/// # Errors
/// Errors of the database.
pub async fn all(control: &Control) -> Result<Vec<Seal>, Failure> {
    let rows = sqlx::query!(
        r#"select e.sealed_by as "key!", count(*) as "rows!", count(distinct e.tenant_id) as "tenants!",
            count(*) filter (where r.mark_history <> r.history or e.rev > r.mark) as "unconfirmed!"
        from platform.edge_rows e
        join platform.revisions r on r.tenant_id = e.tenant_id
        where e.sealed_by is not null
        group by e.sealed_by
        order by e.sealed_by"#
    )
    .fetch_all(control.db.relay())
    .await?;
    let current = own_key(control);
    let seal = rows.into_iter().map(|row| Seal {
        current: row.key == current,
        key: row.key,
        tenants: row.tenants,
        rows: row.rows,
        unconfirmed: row.unconfirmed,
    });
    Ok(seal.collect())
}

/// Whether all that the edge has is under the key that control seals with, so that no other is needed.
#[must_use]
pub fn is_done(seals: &[Seal]) -> bool {
    seals.iter().all(|seal| seal.current && seal.unconfirmed == 0)
}

/// Whether a page has rows whose revision another key than this control's seals. They get another revision before they
/// are sent.
pub(super) fn has_others(control: &Control, page: &[Changed]) -> bool {
    page.iter().any(|row| is_others(row, own_key(control)))
}

fn is_others(row: &Changed, key: &str) -> bool {
    row.sealed_by.as_deref().is_some_and(|by| by != key)
}

/// Gives those rows of a page new revisions. The page has to be read again.
pub(super) async fn reseal_page(
    control: &Control,
    tenant: TenantId,
    page: &[Changed],
) -> Result<(), Failure> {
    let key = own_key(control);
    let chosen = page.iter().filter(|row| is_others(row, key)).map(|row| row.subject.clone());
    let chosen: Vec<_> = chosen.collect();
    let mut tx = control.db.relay().begin().await?;
    if let Some(rev) = lock(&mut tx, tenant).await? {
        stamp(&mut tx, tenant, rev, &chosen, key).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The id of the key that this control seals with.
pub(super) fn own_key(control: &Control) -> &str {
    control.settings.edge.kek.0.id()
}

/// Locks a tenant's counter, as everything does that gives revisions, and returns it; `None` where nothing may be
/// written.
pub(super) async fn lock(tx: &mut PgConnection, tenant: TenantId) -> Result<Option<i64>, Failure> {
    let rev = sqlx::query_scalar!(
        "select rev from platform.revisions where tenant_id = $1 and halted_at is null for update",
        tenant.uuid(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(rev)
}

/// Gives rows new revisions above `rev`, in their order, under `key`. Tombstones have no sealed values.
pub(super) async fn stamp(
    tx: &mut PgConnection,
    tenant: TenantId,
    rev: i64,
    chosen: &[String],
    key: &str,
) -> Result<u64, Failure> {
    let stamped = sqlx::query!(
        "update platform.edge_rows e
         set rev = $2 + c.place, sealed_by = $4
         from unnest($3::text[]) with ordinality as c (subject, place)
         where e.tenant_id = $1 and e.subject = c.subject and e.sealed_by <> $4",
        tenant.uuid(),
        rev,
        chosen,
        key,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    sqlx::query!(
        "with raised as (
            update platform.revisions set rev = rev + $2 where tenant_id = $1 returning tenant_id
         )
         select pg_notify($3, tenant_id::text) from raised",
        tenant.uuid(),
        i64::try_from(chosen.len()).unwrap_or(0),
        CHANNEL,
    )
    .execute(&mut *tx)
    .await?;
    Ok(stamped)
}
