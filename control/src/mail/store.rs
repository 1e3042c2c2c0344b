//! Rows of mails.

use chrono::{DateTime, Utc};
use shared::ids::UserId;

use super::MailKind;
use super::letter::{Content, MailId};
use crate::crypt::row_key::RowKey;
use crate::crypt::sealed::Column;
use crate::db::TenantTx;
use crate::failure::Failure;

/// A queued mail.
pub(super) struct Mail {
    pub id: MailId,
    pub kind: MailKind,
    /// Whether it is counted in its budgets.
    pub counted: bool,
    pub content: Content,
    pub created_at: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

impl Mail {
    pub fn user(&self) -> Option<UserId> {
        self.content.to.user
    }
}

/// Stores a mail under a key of its own. It seals under the tenant's key, and writes no entry of the audit log.
pub(super) async fn insert(
    tx: &mut TenantTx,
    kind: MailKind,
    content: &Content,
    counted: bool,
    (now, not_after): (DateTime<Utc>, DateTime<Utc>),
) -> Result<MailId, Failure> {
    let id = MailId::make(now)?;
    let (key, wrapped) = RowKey::make(tx.keys(), Column::MailKey, &id.to_string())?;
    tx.hold_key().await?;
    sqlx::query!(
        "insert into mails (tenant_id, id, kind, user_id, counted, wrapped_key, sealed, created_at, not_after)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.tenant().uuid(),
        id.uuid(),
        kind.as_str(),
        content.to.user.map(|user| user.uuid()),
        counted,
        wrapped,
        key.seal(content)?,
        now,
        not_after,
    )
    .execute(&mut **tx)
    .await?;
    Ok(id)
}

/// The mail of an id, if it is still queued.
pub(super) async fn find(tx: &mut TenantTx, id: MailId) -> Result<Option<Mail>, Failure> {
    let row = sqlx::query!(
        "select kind, counted, wrapped_key, sealed, created_at, not_after
         from mails
         where tenant_id = $1 and id = $2",
        tx.tenant().uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let key = RowKey::unwrap(tx.keys(), Column::MailKey, &id.to_string(), &row.wrapped_key)?;
    Ok(Some(Mail {
        id,
        kind: MailKind::parse(&row.kind).ok_or(Failure::Unreadable("mails.kind"))?,
        counted: row.counted,
        content: key.open(&row.sealed)?,
        created_at: row.created_at,
        not_after: row.not_after,
    }))
}

/// Notes that a mail is counted in its budgets. False where it is, or is gone.
pub(super) async fn note_counted(tx: &mut TenantTx, id: MailId) -> Result<bool, Failure> {
    let noted = sqlx::query!(
        "update mails set counted = true where tenant_id = $1 and id = $2 and not counted",
        tx.tenant().uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// Deletes a mail, its key with it. Whether it was there.
pub(super) async fn remove(tx: &mut TenantTx, id: MailId) -> Result<bool, Failure> {
    let gone =
        sqlx::query!("delete from mails where tenant_id = $1 and id = $2", tx.tenant().uuid(), id.uuid())
            .execute(&mut **tx)
            .await?;
    Ok(gone.rows_affected() > 0)
}
