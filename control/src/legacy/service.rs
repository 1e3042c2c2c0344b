//! The legacy service of a tenant: what is still in force of the service that it came from. The platform
//! sets it.

use chrono::{DateTime, Utc};
use shared::tenant::Foreign;
use shared::tokens::claims::UserIdForm;
use shared::tokens::legacy::Legacy;

use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;

/// See the module. All of it is empty for a tenant that came from none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyService {
    /// How `user_id` is written in tokens.
    pub user_id: UserIdForm,
    /// Which of its tokens are still accepted.
    pub tokens: Option<Legacy>,
    /// Whether a user's password is still as that service hashed it.
    pub foreign_left: bool,
    /// From when such passwords are not checked any more; without it they are until none is left.
    pub foreign_until: Option<DateTime<Utc>>,
    /// When its users were first imported.
    pub imported_at: Option<DateTime<Utc>>,
}

impl LegacyService {
    /// The document's data about foreign hashes.
    #[must_use]
    pub fn foreign(&self) -> Option<Foreign> {
        let until = self.foreign_until.map(|until| u64::try_from(until.timestamp()).unwrap_or(0));
        self.foreign_left.then_some(Foreign { until })
    }
}

/// Locks the flag of foreign hashes, so that a transaction that adds one and a transaction that removes the
/// last one do not pass each other. Rows of users are locked before this one, never after it.
async fn lock_foreign_left(tx: &mut TenantTx) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let left = sqlx::query_scalar!(
        "select foreign_left from platform.tenants where id = $1 for no key update",
        tenant.uuid()
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(left)
}

async fn set_foreign_left(tx: &mut TenantTx, left: bool) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!("update platform.tenants set foreign_left = $2 where id = $1", tenant.uuid(), left)
        .execute(&mut **tx)
        .await?;
    tx.changes().document(tenant, Priority::InTurn);
    Ok(())
}

/// Notes that this transaction added foreign hashes: refusals must look alike from now on.
///
/// # Errors
/// Errors of the database.
pub async fn foreign_hashes_added(tx: &mut TenantTx) -> Result<(), Failure> {
    if lock_foreign_left(tx).await? { Ok(()) } else { set_foreign_left(tx, true).await }
}

/// Notes that this transaction may have removed a foreign hash: with the last one the flag falls.
///
/// # Errors
/// Errors of the database.
pub async fn foreign_hashes_removed(tx: &mut TenantTx) -> Result<(), Failure> {
    if !hold_foreign_left(tx).await? {
        return Ok(());
    }
    let tenant = tx.tenant();
    // A statement of its own, so that it sees what was committed while the lock was waited for.
    let left = sqlx::query_scalar!(
        r#"select exists (
            select from users where tenant_id = $1 and foreign_hash is not null
        ) as "left!""#,
        tenant.uuid()
    )
    .fetch_one(&mut **tx)
    .await?;
    if left { Ok(()) } else { set_foreign_left(tx, false).await }
}

/// Locks the tenant's row and returns true if users may have foreign hashes. A transaction that locks roles and removes a
/// hash calls this first: the tenant's row is locked before rows of roles, everywhere.
///
/// # Errors
/// Errors of the database.
pub async fn hold_foreign_left(tx: &mut TenantTx) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let flagged =
        sqlx::query_scalar!("select foreign_left from platform.tenants where id = $1", tenant.uuid())
            .fetch_one(&mut **tx)
            .await?;
    Ok(flagged && lock_foreign_left(tx).await?)
}

/// Notes the first import, and how `user_id` is written from now on.
///
/// # Errors
/// Errors of the database.
pub async fn users_imported(
    tx: &mut TenantTx,
    user_id: UserIdForm,
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "update platform.tenants
         set user_id_form = $2, imported_at = coalesce(imported_at, $3)
         where id = $1",
        tenant.uuid(),
        form_text(user_id),
        at,
    )
    .execute(&mut **tx)
    .await?;
    tx.changes().document(tenant, Priority::InTurn);
    Ok(())
}

/// As stored, asked for and answered.
#[must_use]
pub fn form_text(form: UserIdForm) -> &'static str {
    match form {
        UserIdForm::Uuid => "uuid",
        UserIdForm::Integer => "integer",
        UserIdForm::String => "string",
    }
}
