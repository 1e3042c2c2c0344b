//! Rows of authenticators. Who changes them has locked the user's row.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::ENROLLMENT_SECS;
use shared::ids::{AuthenticatorId, UserId};
use shared::second_factor::totp::Seed;
use uuid::Uuid;

use super::model::{Authenticator, State};
use super::seeds;
use crate::crypt::personal::{Field, UserKey};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::users::UserError;
use crate::users::store::key_of;

/// An authenticator that is written for the first time.
pub(super) struct New<'a> {
    pub id: AuthenticatorId,
    pub name: &'a str,
    pub seed: &'a Seed,
    pub created_at: DateTime<Utc>,
    /// `None`: it waits for its first code.
    pub confirmed_at: Option<DateTime<Utc>>,
    pub last_step: i64,
}

struct Row {
    id: Uuid,
    name: Vec<u8>,
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
}

/// An enrolment that is under way.
pub(super) struct Enrolment {
    pub seed: Seed,
    pub tries: i32,
}

/// The key of a user's personal columns.
pub(super) async fn user_key(tx: &mut TenantTx, user: UserId) -> Result<UserKey, Failure> {
    key_of(tx, user).await.map_err(|error| match error {
        UserError::Failure(failure) => failure,
        _ => Failure::Unreadable("user_keys.wrapped"),
    })
}

/// The authenticators and recovery codes of a user.
///
/// # Errors
/// Errors of the database, or a value that cannot be decrypted.
pub async fn state(tx: &mut TenantTx, user: UserId) -> Result<State, Failure> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, created_at, last_used_at
         from authenticators
         where tenant_id = $1 and user_id = $2 and confirmed_at is not null
         order by created_at, id",
        tx.tenant().uuid(),
        user.uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let recovery_codes_left = recovery_codes_left(tx, user).await?;
    if rows.is_empty() {
        return Ok(State { authenticators: vec![], recovery_codes_left });
    }
    let key = user_key(tx, user).await?;
    let open = |Row { id, name, created_at, last_used_at }: Row| {
        let name = key.open(Field::AuthenticatorName, &name)?;
        Ok(Authenticator { id: id.into(), name, created_at, last_used_at })
    };
    let authenticators = rows.into_iter().map(open).collect::<Result<_, Failure>>()?;
    Ok(State { authenticators, recovery_codes_left })
}

/// How many codes of a user's set are not used yet; `None` without a set.
pub(super) async fn recovery_codes_left(tx: &mut TenantTx, user: UserId) -> Result<Option<i64>, Failure> {
    let left = sqlx::query_scalar!(
        r#"select (
            select count(*)
            from recovery_codes c
            where c.tenant_id = s.tenant_id and c.user_id = s.user_id and c.used_at is null
        ) as "left!"
        from recovery_sets s
        where s.tenant_id = $1 and s.user_id = $2"#,
        tx.tenant().uuid(),
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(left)
}

/// Writes a new authenticator.
pub(super) async fn insert(tx: &mut TenantTx, user: UserId, new: New<'_>) -> Result<(), Failure> {
    let name = user_key(tx, user).await?.seal(Field::AuthenticatorName, new.name)?;
    let wrapped = seeds::seal(tx.keys(), user, new.id, new.seed)?;
    // An enrolment that begins writes no entry of the log, which would ask for the key.
    tx.hold_key().await?;
    sqlx::query!(
        "insert into authenticators
            (tenant_id, user_id, id, name, wrapped, created_at, confirmed_at, last_step, last_used_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, null)",
        tx.tenant().uuid(),
        user.uuid(),
        new.id.uuid(),
        name,
        wrapped,
        new.created_at,
        new.confirmed_at,
        new.last_step,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends the enrolment of a user that is under way.
pub(super) async fn end_enrolment(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    sqlx::query!(
        "delete from authenticators where tenant_id = $1 and user_id = $2 and confirmed_at is null",
        tx.tenant().uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The enrolment of this id, while it lasts.
pub(super) async fn enrolment(
    tx: &mut TenantTx,
    user: UserId,
    id: AuthenticatorId,
    now: DateTime<Utc>,
) -> Result<Option<Enrolment>, Failure> {
    let row = sqlx::query!(
        "select wrapped, tries
         from authenticators
         where tenant_id = $1 and user_id = $2 and id = $3 and confirmed_at is null and created_at > $4",
        tx.tenant().uuid(),
        user.uuid(),
        id.uuid(),
        now - TimeDelta::seconds(ENROLLMENT_SECS),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Enrolment { seed: seeds::open(tx.keys(), user, id, &row.wrapped)?, tries: row.tries }))
}

/// Counts a wrong code of an enrolment.
pub(super) async fn count_try(tx: &mut TenantTx, user: UserId, id: AuthenticatorId) -> Result<(), Failure> {
    sqlx::query!(
        "update authenticators set tries = tries + 1 where tenant_id = $1 and user_id = $2 and id = $3",
        tx.tenant().uuid(),
        user.uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes an authenticator active with the code of this step.
pub(super) async fn activate(
    tx: &mut TenantTx,
    user: UserId,
    id: AuthenticatorId,
    step: i64,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    sqlx::query!(
        "update authenticators
         set confirmed_at = $4, last_step = $5, last_used_at = $4, tries = 0
         where tenant_id = $1 and user_id = $2 and id = $3",
        tx.tenant().uuid(),
        user.uuid(),
        id.uuid(),
        now,
        step,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives an active authenticator another name. False where the user has none of that id.
pub(super) async fn rename(
    tx: &mut TenantTx,
    user: UserId,
    id: AuthenticatorId,
    name: &str,
) -> Result<bool, Failure> {
    let name = user_key(tx, user).await?.seal(Field::AuthenticatorName, name)?;
    let renamed = sqlx::query!(
        "update authenticators
         set name = $4
         where tenant_id = $1 and user_id = $2 and id = $3 and confirmed_at is not null",
        tx.tenant().uuid(),
        user.uuid(),
        id.uuid(),
        name,
    )
    .execute(&mut **tx)
    .await?;
    Ok(renamed.rows_affected() == 1)
}

/// Deletes an authenticator.
pub(super) async fn delete(tx: &mut TenantTx, user: UserId, id: AuthenticatorId) -> Result<(), Failure> {
    sqlx::query!(
        "delete from authenticators where tenant_id = $1 and user_id = $2 and id = $3",
        tx.tenant().uuid(),
        user.uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes all authenticators of a user, an enrolment that is under way included.
pub(super) async fn delete_all(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    sqlx::query!(
        "delete from authenticators where tenant_id = $1 and user_id = $2",
        tx.tenant().uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
