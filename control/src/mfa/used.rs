//! Stores the use of second factors that the edge reports in its facts: the time steps of codes, and used recovery
//! codes.
//!
//! The edge has already decided. The stored values are shown to users, and are sent back to an edge whose databases
//! were emptied.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::ids::{AuthenticatorId, UserId};
use shared::wire::facts::{Fact, FactKind};

use super::store;
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::notices;
use crate::users::{self, UserError};

/// Stores the use of a second factor that a fact reports, if it reports one.
///
/// # Errors
/// Errors of the database.
pub async fn take_over(
    control: &Control,
    tx: &mut TenantTx,
    fact: &Fact,
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    let Some(user) = fact.user else { return Ok(()) };
    match fact.kind {
        FactKind::SignedIn | FactKind::SteppedUp => {
            let id = fact.more.get("authenticator").and_then(Value::as_str);
            let id = id.and_then(|id| AuthenticatorId::parse(id).ok());
            match id.zip(fact.more.get("step").and_then(Value::as_i64)) {
                Some((id, step)) => step_used(tx, user, (id, step), at).await,
                None => Ok(()),
            }
        }
        FactKind::RecoveryCodeUsed => {
            let hash = fact.more.get("hash").and_then(Value::as_str);
            match hash.and_then(|hash| URL_SAFE_NO_PAD.decode(hash).ok()) {
                Some(hash) => code_used(control, tx, user, &hash, at).await,
                None => Ok(()),
            }
        }
        FactKind::DeviceRemembered => {
            metrics::counter!("wardgate_devices_remembered_total").increment(1);
            told(control, tx, user, at).await
        }
        _ => Ok(()),
    }
}

/// Mails a user that a browser is now remembered.
async fn told(control: &Control, tx: &mut TenantTx, user: UserId, at: DateTime<Utc>) -> Result<(), Failure> {
    match users::find(tx, user).await {
        Ok(user) => notices::device_remembered(control, tx, &user, at).await,
        Err(UserError::Failure(failure)) => Err(failure),
        Err(_) => Ok(()),
    }
}

async fn step_used(
    tx: &mut TenantTx,
    user: UserId,
    (id, step): (AuthenticatorId, i64),
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    sqlx::query!(
        "update authenticators
         set last_step = greatest(last_step, $4), last_used_at = greatest(last_used_at, $5)
         where tenant_id = $1 and user_id = $2 and id = $3 and confirmed_at is not null",
        tx.tenant().uuid(),
        user.uuid(),
        id.uuid(),
        step,
        at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Records that a recovery code is used, and mails its owner how many are left.
async fn code_used(
    control: &Control,
    tx: &mut TenantTx,
    user: UserId,
    hash: &[u8],
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    let used = sqlx::query!(
        "update recovery_codes
         set used_at = $4
         where tenant_id = $1 and user_id = $2 and hash = $3 and used_at is null",
        tx.tenant().uuid(),
        user.uuid(),
        hash,
        at,
    )
    .execute(&mut **tx)
    .await?;
    if used.rows_affected() == 0 {
        return Ok(());
    }
    let left = store::recovery_codes_left(tx, user).await?.unwrap_or(0);
    match users::find(tx, user).await {
        Ok(user) => notices::recovery_code_used(control, tx, &user, left, at).await,
        Err(UserError::Failure(failure)) => Err(failure),
        Err(_) => Ok(()),
    }
}
