//! Rows of branches.

use chrono::{DateTime, Utc};
use shared::contract::permissions::Permissions;
use shared::identifiers::folded;
use uuid::Uuid;

use super::grants::{Place, Reach};
use super::model::Branch;
use crate::db::TenantTx;
use crate::failure::Failure;

struct Row {
    id: Uuid,
    name: String,
    parent: Option<Uuid>,
    path: Vec<Uuid>,
    archived_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Branch {
    fn from(row: Row) -> Self {
        let Row { id, name, parent, path, archived_at, created_at, updated_at } = row;
        Self { id, name, parent, place: Place::new(path), archived_at, created_at, updated_at }
    }
}

/// All branches of the tenant, in no order.
///
/// # Errors
/// Errors of the database.
pub async fn all(tx: &mut TenantTx) -> Result<Vec<Branch>, Failure> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, parent, path, archived_at, created_at, updated_at
         from branches
         where tenant_id = $1",
        tx.tenant().uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Branch::from).collect())
}

/// The branches of these ids, in no order, whatever the scope of the transaction: their names are in the paths of those
/// below them.
pub(super) async fn of_ids(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<Branch>, Failure> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, parent, path, archived_at, created_at, updated_at
         from branches
         where tenant_id = $1 and id = any ($2)",
        tx.tenant().uuid(),
        ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Branch::from).collect())
}

/// The branch of an id, within the scope of the transaction.
///
/// # Errors
/// Errors of the database.
pub async fn find(tx: &mut TenantTx, id: Uuid) -> Result<Option<Branch>, Failure> {
    let tenant = tx.tenant().uuid();
    let scope = tx.scope().branches().map(<[Uuid]>::to_vec);
    let row = sqlx::query_as!(
        Row,
        "select id, name, parent, path, archived_at, created_at, updated_at
         from branches
         where tenant_id = $1 and id = $2 and ($3::uuid[] is null or path && $3)",
        tenant,
        id,
        scope.as_deref(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(Branch::from))
}

/// Which of these branches are within the scope of the transaction.
///
/// # Errors
/// Errors of the database.
pub async fn within(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let tenant = tx.tenant().uuid();
    let scope = tx.scope().branches().map(<[Uuid]>::to_vec);
    let within = sqlx::query_scalar!(
        "select id from branches
         where tenant_id = $1 and id = any ($2) and ($3::uuid[] is null or path && $3)",
        tenant,
        ids,
        scope.as_deref(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(within)
}

/// The branch of an id, within the scope of the transaction, locked against changes and deletion until the transaction ends.
///
/// # Errors
/// Errors of the database.
pub async fn hold(tx: &mut TenantTx, id: Uuid) -> Result<Option<Branch>, Failure> {
    let tenant = tx.tenant().uuid();
    sqlx::query!("select id from branches where tenant_id = $1 and id = $2 for share", tenant, id)
        .fetch_optional(&mut **tx)
        .await?;
    find(tx, id).await
}

/// The same, locked for a change.
pub(super) async fn lock(tx: &mut TenantTx, id: Uuid) -> Result<Option<Branch>, Failure> {
    let tenant = tx.tenant().uuid();
    sqlx::query!("select id from branches where tenant_id = $1 and id = $2 for update", tenant, id)
        .fetch_optional(&mut **tx)
        .await?;
    find(tx, id).await
}

/// How many branches the tenant has.
pub(super) async fn count(tx: &mut TenantTx) -> Result<i64, Failure> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from branches where tenant_id = $1"#,
        tx.tenant().uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// Writes a new branch; false if a branch below the same parent has the name.
pub(super) async fn insert(tx: &mut TenantTx, branch: &Branch) -> Result<bool, Failure> {
    let inserted = sqlx::query!(
        "insert into branches (tenant_id, id, name, folded, parent, path, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)
         on conflict on constraint branches_name_key do nothing",
        tx.tenant().uuid(),
        branch.id,
        branch.name,
        folded(&branch.name),
        branch.parent,
        &branch.place.0,
        branch.created_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Whether another branch below this parent has the name.
pub(super) async fn is_taken(
    tx: &mut TenantTx,
    id: Uuid,
    parent: Option<Uuid>,
    name: &str,
) -> Result<bool, Failure> {
    let taken = sqlx::query_scalar!(
        r#"select exists (
            select from branches
            where tenant_id = $1 and id <> $2 and parent is not distinct from $3 and folded = $4
        ) as "taken!""#,
        tx.tenant().uuid(),
        id,
        parent,
        folded(name),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(taken)
}

/// Writes a branch after a change, and the places of the branches below it.
pub(super) async fn update(tx: &mut TenantTx, after: &Branch) -> Result<(), Failure> {
    // One statement: the new name may be taken below the old parent.
    sqlx::query!(
        "update branches
         set path = $3::uuid[] || path[array_position(path, $2) + 1:],
             parent = case when id = $2 then $4 else parent end,
             name = case when id = $2 then $5 else name end,
             folded = case when id = $2 then $6 else folded end,
             archived_at = case when id = $2 then $7 else archived_at end,
             updated_at = case when id = $2 then $8 else updated_at end
         where tenant_id = $1 and $2 = any (path)",
        tx.tenant().uuid(),
        after.id,
        &after.place.0,
        after.parent,
        after.name,
        folded(&after.name),
        after.archived_at,
        after.updated_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many levels of the tree there are below a branch.
pub(super) async fn levels_below(tx: &mut TenantTx, branch: &Branch) -> Result<usize, Failure> {
    let deepest = sqlx::query_scalar!(
        r#"select max(cardinality(path)) as "deepest!" from branches where tenant_id = $1 and $2 = any (path)"#,
        tx.tenant().uuid(),
        branch.id,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(usize::try_from(deepest).unwrap_or(0).saturating_sub(branch.place.0.len()))
}

/// What roles of these branches together give over users there.
///
/// # Errors
/// Errors of the database.
pub async fn reach(tx: &mut TenantTx, branches: &[Uuid]) -> Result<Reach, Failure> {
    let roles = sqlx::query!(
        "select rank, permissions from roles where tenant_id = $1 and branch = any ($2)",
        tx.tenant().uuid(),
        branches,
    )
    .fetch_all(&mut **tx)
    .await?;
    let permissions = roles.iter().map(|role| Permissions::named(&role.permissions));
    Ok(Reach {
        rank: roles.iter().map(|role| role.rank).max(),
        permissions: permissions.fold(Permissions::NONE, Permissions::with),
    })
}

/// The ids of these branches and of all below them.
///
/// # Errors
/// Errors of the database.
pub async fn below(tx: &mut TenantTx, roots: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let ids = sqlx::query_scalar!(
        "select id from branches where tenant_id = $1 and path && $2",
        tx.tenant().uuid(),
        roots,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids)
}

/// What keeps a branch from being deleted.
pub(super) struct Uses {
    pub users: i64,
    pub branches: i64,
    pub roles: Vec<String>,
}

/// What uses a branch.
pub(super) async fn uses(tx: &mut TenantTx, id: Uuid) -> Result<Uses, Failure> {
    let uses = sqlx::query_as!(
        Uses,
        r#"select
            (select count(*) from users where tenant_id = $1 and branch = $2) as "users!",
            (select count(*) from branches where tenant_id = $1 and parent = $2) as "branches!",
            array(select name from roles where tenant_id = $1 and branch = $2 order by name) as "roles!""#,
        tx.tenant().uuid(),
        id,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(uses)
}

/// Deletes a branch.
pub(super) async fn delete(tx: &mut TenantTx, id: Uuid) -> Result<(), Failure> {
    sqlx::query!("delete from branches where tenant_id = $1 and id = $2", tx.tenant().uuid(), id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
