//! Rows of `lookup_rotations`, and what else a rotation reads.

use chrono::{DateTime, Utc};

use crate::crypt::lookup::Stage;
use crate::db::TenantTx;
use crate::failure::Failure;

/// A rotation that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    /// Of the root that comes in.
    pub version: i32,
    pub stage: Stage,
    pub began_at: DateTime<Utc>,
    /// The revision that the edge must have confirmed before the new root is used.
    pub rev: Option<i64>,
    pub switched_at: Option<DateTime<Utc>>,
    /// When the edge had confirmed that.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Whether values that cannot be hashed again were given up.
    pub forget: bool,
    pub due_at: DateTime<Utc>,
}

/// The rotation of the tenant, if one is under way.
pub(super) async fn find(tx: &mut TenantTx) -> Result<Option<Rotation>, Failure> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        "select version, stage, began_at, rev, switched_at, confirmed_at, forget, due_at
         from platform.lookup_rotations
         where tenant_id = $1",
        tenant.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Rotation {
        version: row.version,
        stage: Stage::parse(&row.stage)?,
        began_at: row.began_at,
        rev: row.rev,
        switched_at: row.switched_at,
        confirmed_at: row.confirmed_at,
        forget: row.forget,
        due_at: row.due_at,
    }))
}

/// Begins a rotation, unless one is under way.
pub(super) async fn insert(tx: &mut TenantTx, version: i32, now: DateTime<Utc>) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let inserted = sqlx::query!(
        "insert into platform.lookup_rotations (tenant_id, version, stage, began_at, due_at)
         values ($1, $2, 'adding', $3, $3)
         on conflict (tenant_id) do nothing",
        tenant.uuid(),
        version,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes what a step left of a rotation.
pub(super) async fn save(tx: &mut TenantTx, rotation: &Rotation) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "update platform.lookup_rotations
         set stage = $2, rev = $3, switched_at = $4, confirmed_at = $5, forget = $6, due_at = $7
         where tenant_id = $1",
        tenant.uuid(),
        rotation.stage.as_str(),
        rotation.rev,
        rotation.switched_at,
        rotation.confirmed_at,
        rotation.forget,
        rotation.due_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The rotation has ended.
pub(super) async fn delete(tx: &mut TenantTx) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!("delete from platform.lookup_rotations where tenant_id = $1", tenant.uuid())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The state that is read before each piece of work.
pub(super) struct Standing {
    /// Whether the tenant is in use.
    pub lives: bool,
    /// Whether the edge is ahead of us, so that nothing may be written.
    pub halted: bool,
    /// Whether no other run is at work, as long as the transaction lasts.
    pub alone: bool,
}

pub(super) async fn standing(tx: &mut TenantTx) -> Result<Standing, Failure> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        r#"select t.status in ('active', 'suspended') as "lives!", r.halted_at is not null as "halted!",
            pg_try_advisory_xact_lock(hashtextextended('wardgate/lookup/run/' || t.id, 0)) as "alone!"
         from platform.tenants t
         join platform.revisions r on r.tenant_id = t.id
         where t.id = $1"#,
        tenant.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Standing { lives: row.lives, halted: row.halted, alone: row.alone })
}

/// The tenant's counter: whatever was committed before this statement is at or below it.
pub(super) async fn rev(tx: &mut TenantTx) -> Result<i64, Failure> {
    let tenant = tx.tenant();
    let rev = sqlx::query_scalar!("select rev from platform.revisions where tenant_id = $1", tenant.uuid());
    Ok(rev.fetch_one(&mut **tx).await?)
}

/// Whether the edge has confirmed everything up to `rev` in the present history.
pub(super) async fn is_confirmed(tx: &mut TenantTx, rev: i64) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let confirmed = sqlx::query_scalar!(
        r#"select mark_history = history and mark >= $2 as "confirmed!"
         from platform.revisions
         where tenant_id = $1"#,
        tenant.uuid(),
        rev,
    );
    Ok(confirmed.fetch_one(&mut **tx).await?)
}

/// Whether the edge has confirmed the tenant's document as it is now.
pub(super) async fn is_document_confirmed(tx: &mut TenantTx) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let rev = sqlx::query_scalar!(
        "select rev from platform.edge_rows where tenant_id = $1 and kind = 'document'",
        tenant.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    match rev {
        Some(rev) => is_confirmed(tx, rev).await,
        None => Ok(false),
    }
}
