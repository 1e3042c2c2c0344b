//! Attempts to enter the current password, counted for each user before the hash, as the edge counts those of a
//! sign-in: a stolen session must not allow guessing it.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::{ATTEMPT_WINDOW_SECS, ATTEMPTS};
use shared::ids::UserId;

use crate::db::TenantTx;
use crate::failure::Failure;

/// When the window began in which a try was counted.
#[derive(Clone, Copy)]
pub(super) struct Window(DateTime<Utc>);

/// The outcome of counting an attempt.
pub(super) enum Reserved {
    /// It is counted.
    Counted(Window),
    /// The window is full for so many seconds.
    Full(u64),
}

fn lasts() -> TimeDelta {
    TimeDelta::seconds(i64::try_from(ATTEMPT_WINDOW_SECS).unwrap_or(i64::MAX / 1000))
}

/// Counts an attempt unless the window is full: one statement, whose row tells whether it was counted.
///
/// # Errors
/// Errors of the database.
pub(super) async fn reserve(
    tx: &mut TenantTx,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Reserved, Failure> {
    let tenant = tx.tenant();
    let most = i32::try_from(ATTEMPTS).unwrap_or(i32::MAX);
    let counted = sqlx::query_scalar!(
        "insert into password_tries as t (tenant_id, user_id, began_at, tries)
         values ($1, $2, $3, 1)
         on conflict (tenant_id, user_id) do update
         set tries = case when t.began_at > $4 then t.tries + 1 else 1 end,
             began_at = case when t.began_at > $4 then t.began_at else excluded.began_at end
         where t.tries < $5 or t.began_at <= $4
         returning began_at",
        tenant.uuid(),
        user.uuid(),
        now,
        now - lasts(),
        most,
    )
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(began_at) = counted {
        return Ok(Reserved::Counted(Window(began_at)));
    }
    let began_at = sqlx::query_scalar!(
        "select began_at from password_tries where tenant_id = $1 and user_id = $2",
        tenant.uuid(),
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let ends = began_at.unwrap_or(now) + lasts();
    let wait_ms = u64::try_from((ends - now).num_milliseconds()).unwrap_or(0);
    Ok(Reserved::Full(wait_ms.div_ceil(1000).clamp(1, ATTEMPT_WINDOW_SECS)))
}

/// Forgets the tries of a user.
///
/// # Errors
/// Errors of the database.
pub async fn forget_tries(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    sqlx::query!(
        "delete from password_tries where tenant_id = $1 and user_id = $2",
        tx.tenant().uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a try back that turned out to be right.
///
/// # Errors
/// Errors of the database.
pub(super) async fn give_back(
    tx: &mut TenantTx,
    user: UserId,
    Window(began_at): Window,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "update password_tries
         set tries = tries - 1
         where tenant_id = $1 and user_id = $2 and began_at = $3 and tries > 0",
        tenant.uuid(),
        user.uuid(),
        began_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
