//! Numeric ids of the legacy service: new users get the next numbers.

use crate::db::TenantTx;
use crate::failure::Failure;

/// Lets the numbers of the legacy service continue after `greatest`, for users who are made here later.
///
/// # Errors
/// Errors of the database.
pub async fn continue_after(tx: &mut TenantTx, greatest: i64) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "insert into legacy_ids as l (tenant_id, next) values ($1, $2)
         on conflict (tenant_id) do update
         set next = greatest(l.next, excluded.next)",
        tenant.uuid(),
        greatest.saturating_add(1),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The next number of the legacy service, where it had numbers. The counter's row stays locked until the
/// transaction ends.
///
/// # Errors
/// Errors of the database.
pub async fn next_legacy_id(tx: &mut TenantTx) -> Result<Option<String>, Failure> {
    let tenant = tx.tenant();
    let next = sqlx::query_scalar!(
        r#"update legacy_ids set next = next + 1 where tenant_id = $1 returning next - 1 as "id!""#,
        tenant.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(next.map(|id| id.to_string()))
}
