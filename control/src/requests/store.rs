//! Rows of requests. Each is sealed under a key of its own, which goes with the row.

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::ids::{TenantId, UserId};
use uuid::Uuid;

use super::{RequestId, RequestKind};
use crate::control::Control;
use crate::crypt::row_key::RowKey;
use crate::crypt::sealed::{Column, TenantKeys};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue::{Enqueued, Job, enqueue};
use crate::links;

/// A request and what was typed.
pub struct Request<T> {
    /// Its id.
    pub id: RequestId,
    /// The user that it concerns, if any.
    pub user: Option<UserId>,
    /// The input of the request, and its outcome.
    pub content: T,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Stores a request for the time `lives`. It encrypts under the tenant's key, and writes no audit entry.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn put<T: Serialize>(
    tx: &mut TenantTx,
    kind: RequestKind,
    user: Option<UserId>,
    content: &T,
    now: DateTime<Utc>,
    lives: TimeDelta,
) -> Result<RequestId, Failure> {
    let id = RequestId::make(now)?;
    let (key, wrapped) = RowKey::make(tx.keys(), Column::RequestKey, &id.to_string())?;
    let tenant = tx.tenant();
    tx.hold_key().await?;
    sqlx::query!(
        "insert into requests (tenant_id, id, kind, user_id, wrapped_key, sealed, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant.uuid(),
        id.uuid(),
        kind.as_str(),
        user.map(|user| user.uuid()),
        wrapped,
        key.seal(content)?,
        now,
        now + lives,
    )
    .execute(&mut **tx)
    .await?;
    // A later request puts this off, and prunes itself.
    prune(tx, now).await?;
    enqueue(tx, &ForgetExpired { tenant }, lives + TimeDelta::minutes(1)).await?;
    Ok(id)
}

/// An unexpired request of this kind, locked until the transaction ends.
///
/// # Errors
/// Errors of the database; [`Failure::Unreadable`] if it cannot be decrypted.
pub async fn find<T: DeserializeOwned>(
    tx: &mut TenantTx,
    kind: RequestKind,
    id: RequestId,
    now: DateTime<Utc>,
) -> Result<Option<Request<T>>, Failure> {
    let row = sqlx::query_as!(
        Row,
        "select id, user_id, wrapped_key, sealed, created_at, expires_at
         from requests
         where tenant_id = $1 and id = $2 and kind = $3 and expires_at > $4
         for update",
        tx.tenant().uuid(),
        id.uuid(),
        kind.as_str(),
        now,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| open(tx.keys(), row)).transpose()
}

/// A row as stored.
struct Row {
    id: Uuid,
    user_id: Option<Uuid>,
    wrapped_key: Vec<u8>,
    sealed: Vec<u8>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

fn open<T: DeserializeOwned>(keys: &TenantKeys, row: Row) -> Result<Request<T>, Failure> {
    let id = RequestId::from(row.id);
    let key = RowKey::unwrap(keys, Column::RequestKey, &id.to_string(), &row.wrapped_key)?;
    Ok(Request {
        id,
        user: row.user_id.map(UserId::from),
        content: key.open(&row.sealed)?,
        created_at: row.created_at,
        expires_at: row.expires_at,
    })
}

/// The unexpired requests of a kind, the newest first, at most `most`.
///
/// # Errors
/// As [`find`].
pub async fn all<T: DeserializeOwned>(
    tx: &mut TenantTx,
    kind: RequestKind,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Request<T>>, Failure> {
    let rows = sqlx::query_as!(
        Row,
        "select id, user_id, wrapped_key, sealed, created_at, expires_at
         from requests
         where tenant_id = $1 and kind = $2 and expires_at > $3
         order by created_at desc, id desc
         limit $4",
        tx.tenant().uuid(),
        kind.as_str(),
        now,
        most,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| open(tx.keys(), row)).collect()
}

/// The unexpired requests of a kind of a user, the newest first, locked until the transaction ends.
///
/// # Errors
/// As [`find`].
pub async fn of_user<T: DeserializeOwned>(
    tx: &mut TenantTx,
    kind: RequestKind,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Request<T>>, Failure> {
    let rows = sqlx::query_as!(
        Row,
        "select id, user_id, wrapped_key, sealed, created_at, expires_at
         from requests
         where tenant_id = $1 and user_id = $2 and kind = $3 and expires_at > $4
         order by created_at desc, id desc
         for update",
        tx.tenant().uuid(),
        user.uuid(),
        kind.as_str(),
        now,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| open(tx.keys(), row)).collect()
}

/// Replaces the content of an unexpired request, encrypted under a new key.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn replace<T: Serialize>(tx: &mut TenantTx, id: RequestId, content: &T) -> Result<(), Failure> {
    let (key, wrapped) = RowKey::make(tx.keys(), Column::RequestKey, &id.to_string())?;
    tx.hold_key().await?;
    sqlx::query!(
        "update requests set wrapped_key = $3, sealed = $4 where tenant_id = $1 and id = $2",
        tx.tenant().uuid(),
        id.uuid(),
        wrapped,
        key.seal(content)?,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes a request, its key with it. Says whether it was there.
///
/// # Errors
/// Errors of the database.
pub async fn remove(tx: &mut TenantTx, id: RequestId) -> Result<bool, Failure> {
    let gone =
        sqlx::query!("delete from requests where tenant_id = $1 and id = $2", tx.tenant().uuid(), id.uuid())
            .execute(&mut **tx)
            .await?;
    Ok(gone.rows_affected() > 0)
}

/// Deletes requests and links of the tenant that have expired.
///
/// # Errors
/// Errors of the database.
pub async fn prune(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), Failure> {
    links::prune(tx, now).await?;
    sqlx::query!("delete from requests where tenant_id = $1 and expires_at <= $2", tx.tenant().uuid(), now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Deletes what has expired of a tenant that gets no more requests.
#[derive(Serialize, Deserialize)]
pub struct ForgetExpired {
    /// The tenant.
    pub tenant: TenantId,
}

impl Job for ForgetExpired {
    const TASK: &'static str = "forget_expired";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        let mut tx = control.db.work_tx(self.tenant).await?;
        prune(&mut tx, control.clock.now()).await?;
        tx.commit().await
    }
}

impl Enqueued for ForgetExpired {
    fn about(&self) -> String {
        self.tenant.to_string()
    }
}
