//! Rows of entries. A caller that changes one has locked the user's row.

use chrono::{DateTime, Utc};
use shared::ids::{ProfileEntryId, UserId};
use uuid::Uuid;

use super::model::{Content, Entry, ProfileError, Section};
use crate::crypt::personal::{Field, UserKey};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::users::store::key_of;

struct Row {
    id: Uuid,
    section: String,
    place: i32,
    sealed: Vec<u8>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn opened(key: &UserKey, row: Row) -> Result<Entry, ProfileError> {
    let content = key.open_row(Field::ProfileEntry, row.id, &row.sealed)?;
    Ok(Entry {
        id: row.id.into(),
        section: Section::parse(&row.section)?,
        place: row.place,
        content: Content::parse(content.expose())?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// The entries of a user in their order, of all sections.
///
/// # Errors
/// Errors of the database, or an entry that cannot be decrypted.
pub async fn all(tx: &mut TenantTx, user: UserId) -> Result<Vec<Entry>, ProfileError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, section, place, sealed, created_at, updated_at
         from profile_entries
         where tenant_id = $1 and user_id = $2
         order by section, place",
        tx.tenant().uuid(),
        user.uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let key = key_of(tx, user).await?;
    rows.into_iter().map(|row| opened(&key, row)).collect()
}

/// The entries of a section in their order.
///
/// # Errors
/// As [`all`].
pub async fn section(tx: &mut TenantTx, user: UserId, section: Section) -> Result<Vec<Entry>, ProfileError> {
    // A user has few entries in all.
    let mut entries = all(tx, user).await?;
    entries.retain(|entry| entry.section == section);
    Ok(entries)
}

/// An entry of a section of a user.
///
/// # Errors
/// [`ProfileError::NotFound`]; as [`all`].
pub async fn find(
    tx: &mut TenantTx,
    user: UserId,
    section: Section,
    id: ProfileEntryId,
) -> Result<Entry, ProfileError> {
    let row = sqlx::query_as!(
        Row,
        "select id, section, place, sealed, created_at, updated_at
         from profile_entries
         where tenant_id = $1 and user_id = $2 and section = $3 and id = $4",
        tx.tenant().uuid(),
        user.uuid(),
        section.as_str(),
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(ProfileError::NotFound)?;
    opened(&key_of(tx, user).await?, row)
}

/// The ids of a section's entries in their order.
pub(super) async fn order(tx: &mut TenantTx, user: UserId, section: Section) -> Result<Vec<Uuid>, Failure> {
    let ids = sqlx::query_scalar!(
        "select id from profile_entries
         where tenant_id = $1 and user_id = $2 and section = $3
         order by place",
        tx.tenant().uuid(),
        user.uuid(),
        section.as_str(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids)
}

/// Gives the entries of a section the places of this order.
pub(super) async fn arrange(tx: &mut TenantTx, order: &[Uuid]) -> Result<(), Failure> {
    sqlx::query!(
        "update profile_entries e
         set place = o.place - 1
         from unnest($2::uuid[]) with ordinality as o (id, place)
         where e.tenant_id = $1 and e.id = o.id and e.place <> o.place - 1",
        tx.tenant().uuid(),
        order,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a new entry at its place, which is free.
pub(super) async fn insert(tx: &mut TenantTx, user: UserId, entry: &Entry) -> Result<(), ProfileError> {
    let sealed = sealed(tx, user, entry.id, &entry.content).await?;
    sqlx::query!(
        "insert into profile_entries
            (tenant_id, user_id, id, section, place, sealed, expires_on, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.tenant().uuid(),
        user.uuid(),
        entry.id.uuid(),
        entry.section.as_str(),
        entry.place,
        sealed,
        entry.content.date("expires_on"),
        entry.created_at,
        entry.updated_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the fields of an entry.
pub(super) async fn update(tx: &mut TenantTx, user: UserId, entry: &Entry) -> Result<(), ProfileError> {
    let sealed = sealed(tx, user, entry.id, &entry.content).await?;
    sqlx::query!(
        "update profile_entries
         set sealed = $4, expires_on = $5, updated_at = $6
         where tenant_id = $1 and user_id = $2 and id = $3",
        tx.tenant().uuid(),
        user.uuid(),
        entry.id.uuid(),
        sealed,
        entry.content.date("expires_on"),
        entry.updated_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes an entry.
pub(super) async fn delete(tx: &mut TenantTx, user: UserId, id: ProfileEntryId) -> Result<(), Failure> {
    sqlx::query!(
        "delete from profile_entries where tenant_id = $1 and user_id = $2 and id = $3",
        tx.tenant().uuid(),
        user.uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn sealed(
    tx: &mut TenantTx,
    user: UserId,
    id: ProfileEntryId,
    content: &Content,
) -> Result<Vec<u8>, ProfileError> {
    let key = key_of(tx, user).await?;
    Ok(key.seal_row(Field::ProfileEntry, id.uuid(), &content.text()?)?)
}
