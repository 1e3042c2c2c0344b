//! Rows of roles.

use chrono::{DateTime, Utc};

use super::model::{NewRole, Role};
use crate::db::TenantTx;
use crate::failure::Failure;

/// All roles of the tenant, highest rank first.
///
/// # Errors
/// Errors of the database.
pub async fn all(tx: &mut TenantTx) -> Result<Vec<Role>, Failure> {
    let tenant = tx.tenant();
    let roles = sqlx::query_as!(
        Role,
        r#"select r.name, r.title, r.description, r.rank, r.predefined, r.permissions as stored, r.branch,
            b.path as "path?", r.created_at, r.updated_at
        from roles r
        left join branches b on b.tenant_id = r.tenant_id and b.id = r.branch
        where r.tenant_id = $1
        order by r.rank desc, r.name"#,
        tenant.uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(roles)
}

/// The roles of these names, in no order, locked against changes until the transaction ends.
///
/// # Errors
/// Errors of the database.
pub async fn hold(tx: &mut TenantTx, names: &[String]) -> Result<Vec<Role>, Failure> {
    let tenant = tx.tenant();
    // Read after the lock: a statement that waited for it would have the branch of before.
    sqlx::query!(
        "select name from roles where tenant_id = $1 and name = any ($2) order by name for share",
        tenant.uuid(),
        names,
    )
    .fetch_all(&mut **tx)
    .await?;
    let roles = sqlx::query_as!(
        Role,
        r#"select r.name, r.title, r.description, r.rank, r.predefined, r.permissions as stored, r.branch,
            b.path as "path?", r.created_at, r.updated_at
        from roles r
        left join branches b on b.tenant_id = r.tenant_id and b.id = r.branch
        where r.tenant_id = $1 and r.name = any ($2)"#,
        tenant.uuid(),
        names,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(roles)
}

/// The role of a name.
///
/// # Errors
/// Errors of the database.
pub async fn find(tx: &mut TenantTx, name: &str) -> Result<Option<Role>, Failure> {
    let tenant = tx.tenant();
    let role = sqlx::query_as!(
        Role,
        r#"select r.name, r.title, r.description, r.rank, r.predefined, r.permissions as stored, r.branch,
            b.path as "path?", r.created_at, r.updated_at
        from roles r
        left join branches b on b.tenant_id = r.tenant_id and b.id = r.branch
        where r.tenant_id = $1 and r.name = $2"#,
        tenant.uuid(),
        name,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(role)
}

/// The same, locked until the transaction ends.
pub(super) async fn lock(tx: &mut TenantTx, name: &str) -> Result<Option<Role>, Failure> {
    let tenant = tx.tenant();
    sqlx::query!("select name from roles where tenant_id = $1 and name = $2 for update", tenant.uuid(), name)
        .fetch_optional(&mut **tx)
        .await?;
    find(tx, name).await
}

/// How many custom roles the tenant has.
pub(super) async fn custom(tx: &mut TenantTx) -> Result<i64, Failure> {
    let tenant = tx.tenant();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from roles where tenant_id = $1 and not predefined"#,
        tenant.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// Writes a predefined role, unless the tenant has it.
///
/// # Errors
/// Errors of the database.
pub async fn seed(tx: &mut TenantTx, name: &str, rank: i32, now: DateTime<Utc>) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "insert into roles (tenant_id, name, rank, predefined, created_at, updated_at)
         values ($1, $2, $3, true, $4, $4)
         on conflict (tenant_id, name) do nothing",
        tenant.uuid(),
        name,
        rank,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a custom role; false if the name is taken.
pub(super) async fn insert(
    tx: &mut TenantTx,
    new: &NewRole,
    permissions: &[String],
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let inserted = sqlx::query!(
        "insert into roles
            (tenant_id, name, rank, predefined, title, description, permissions, branch, created_at, updated_at)
         values ($1, $2, $3, false, $4, $5, $6, $8, $7, $7)
         on conflict (tenant_id, name) do nothing",
        tenant.uuid(),
        new.name,
        new.rank,
        new.title,
        new.description,
        permissions,
        now,
        new.branch,
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes a custom role after a change.
pub(super) async fn update(tx: &mut TenantTx, role: &Role) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "update roles
         set rank = $3, title = $4, description = $5, permissions = $6, updated_at = $7, branch = $8
         where tenant_id = $1 and name = $2 and not predefined",
        tenant.uuid(),
        role.name,
        role.rank,
        role.title,
        role.description,
        &role.stored,
        role.updated_at,
        role.branch,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes a custom role.
pub(super) async fn delete(tx: &mut TenantTx, name: &str) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "delete from roles where tenant_id = $1 and name = $2 and not predefined",
        tenant.uuid(),
        name,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many users have a role.
pub(super) async fn users(tx: &mut TenantTx, name: &str) -> Result<i64, Failure> {
    let tenant = tx.tenant();
    let users = sqlx::query_scalar!(
        r#"select count(*) as "count!" from user_roles where tenant_id = $1 and role = $2"#,
        tenant.uuid(),
        name,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(users)
}
