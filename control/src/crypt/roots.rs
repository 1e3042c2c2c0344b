//! The secrets of a tenant from which its MAC keys are derived (`shared::derive`), under the row security of
//! the tenant.

use chrono::{DateTime, Utc};
use shared::derive::{Purpose, Secret, derive};

use super::sealed::Column;
use crate::db::TenantTx;
use crate::failure::Failure;

/// The kind of root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// Makes the keys of refresh tokens.
    Session,
    /// Makes the keys of identifier hashes.
    Lookup,
    /// Makes the key of the tokens that a search finds users by. It never leaves control.
    Search,
    /// Makes the keys of the digests by which an import sees what changed, and of the marks of devices that were seen. It
    /// never leaves control either.
    Import,
}

impl RootKind {
    /// All of them: what a tenant begins with.
    pub const ALL: [Self; 4] = [Self::Session, Self::Lookup, Self::Search, Self::Import];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Lookup => "lookup",
            Self::Search => "search",
            Self::Import => "import",
        }
    }

    pub(super) fn row(self, version: i32) -> String {
        format!("{}/{version}", self.as_str())
    }
}

/// Stores a root.
///
/// # Errors
/// Errors of the database.
pub async fn insert(
    tx: &mut TenantTx,
    kind: RootKind,
    version: i32,
    root: &Secret,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let wrapped = tx.keys().seal(Column::Root, &kind.row(version), root.expose())?;
    sqlx::query!(
        "insert into platform.roots (tenant_id, kind, version, wrapped, created_at) values ($1, $2, $3, $4, $5)",
        tenant.uuid(),
        kind.as_str(),
        version,
        wrapped,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The two latest roots of a kind, newest first.
///
/// # Errors
/// Errors of the database, or a root that cannot be decrypted.
pub async fn roots(tx: &mut TenantTx, kind: RootKind) -> Result<Vec<(u32, Secret)>, Failure> {
    let rows = sqlx::query!(
        "select version, wrapped from platform.roots where kind = $1 order by version desc limit 2",
        kind.as_str(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let unreadable = || Failure::Unreadable("root");
    let mut roots = Vec::with_capacity(rows.len());
    for row in rows {
        let bytes = tx.keys().open(Column::Root, &kind.row(row.version), &row.wrapped)?;
        let root = Secret::from_slice(&bytes).ok_or_else(unreadable)?;
        roots.push((u32::try_from(row.version).map_err(|_| unreadable())?, root));
    }
    Ok(roots)
}

/// Destroys the roots of a kind below a version.
///
/// # Errors
/// Errors of the database.
pub async fn remove_before(tx: &mut TenantTx, kind: RootKind, version: i32) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "delete from platform.roots where tenant_id = $1 and kind = $2 and version < $3",
        tenant.uuid(),
        kind.as_str(),
        version,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The key of the digests by which an import sees what changed.
///
/// # Errors
/// As [`roots`].
pub async fn imported_by(tx: &mut TenantTx) -> Result<Secret, Failure> {
    let roots = roots(tx, RootKind::Import).await?;
    let (_, root) = roots.first().ok_or(Failure::Unreadable("import root"))?;
    Ok(derive(root, tx.tenant(), Purpose::Import))
}

/// The key of the marks of devices and countries that users signed in from. It is of a root that is not rotated, because a
/// mark under another key would look like a device that is new.
///
/// # Errors
/// As [`roots`].
pub async fn seen_by(tx: &mut TenantTx) -> Result<Secret, Failure> {
    let roots = roots(tx, RootKind::Import).await?;
    let (_, root) = roots.first().ok_or(Failure::Unreadable("import root"))?;
    Ok(derive(root, tx.tenant(), Purpose::SeenDevice))
}

/// The key of the tokens that a search finds users by, and the version of the root that it is derived from.
///
/// # Errors
/// As [`roots`].
pub async fn searched_by(tx: &mut TenantTx) -> Result<(i32, Secret), Failure> {
    let unreadable = || Failure::Unreadable("search root");
    let roots = roots(tx, RootKind::Search).await?;
    let (version, root) = roots.first().ok_or_else(unreadable)?;
    let version = i32::try_from(*version).map_err(|_| unreadable())?;
    Ok((version, derive(root, tx.tenant(), Purpose::Search)))
}

/// The version of the newest root of a kind, which is not opened.
///
/// # Errors
/// Errors of the database.
pub async fn newest_version(tx: &mut TenantTx, kind: RootKind) -> Result<i32, Failure> {
    let newest =
        sqlx::query_scalar!("select max(version) from platform.roots where kind = $1", kind.as_str())
            .fetch_one(&mut **tx)
            .await?;
    newest.ok_or(Failure::Unreadable("root"))
}
