//! Recovery codes: a set of ten, shown once. A new set replaces the former one.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::contract::limits::RECOVERY_CODES;
use shared::derive::Secret;
use shared::ids::UserId;
use shared::second_factor::recovery::RecoveryCode;

use super::model::MfaError;
use super::{seeds, store};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::mail::FactorChange;
use crate::notices;
use crate::users::User;
use crate::world::random;

/// Makes a new set for a user, whose row is locked. The codes of the former set become invalid.
///
/// # Errors
/// No randomness; errors of the database.
pub(super) async fn make(
    tx: &mut TenantTx,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<RecoveryCode>, Failure> {
    let tenant = tx.tenant();
    let key = Secret::new(random()?);
    let wrapped = seeds::seal_recovery_key(tx.keys(), user, &key)?;
    let codes: Vec<RecoveryCode> =
        (0..RECOVERY_CODES).map(|_| Ok(RecoveryCode::new(random()?))).collect::<Result<_, Failure>>()?;
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| code.hash(&key, tenant, user).to_vec()).collect();
    remove(tx, user).await?;
    sqlx::query!(
        "insert into recovery_sets (tenant_id, user_id, wrapped, created_at) values ($1, $2, $3, $4)",
        tenant.uuid(),
        user.uuid(),
        wrapped,
        now,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into recovery_codes (tenant_id, user_id, hash)
         select $1, $2, hash from unnest($3::bytea[]) as codes (hash)",
        tenant.uuid(),
        user.uuid(),
        &hashes,
    )
    .execute(&mut **tx)
    .await?;
    Ok(codes)
}

/// Removes the set of a user.
pub(super) async fn remove(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    sqlx::query!(
        "delete from recovery_sets where tenant_id = $1 and user_id = $2",
        tx.tenant().uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a user, whose row is locked, a new set: row, edge, audit log and notice.
///
/// # Errors
/// [`MfaError::NotEnabled`] without an authenticator; errors of the database.
pub async fn renew(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: &User,
) -> Result<Vec<RecoveryCode>, MfaError> {
    if !store::state(tx, user.id).await?.is_enabled() {
        return Err(MfaError::NotEnabled);
    }
    let (tenant, now) = (tx.tenant(), control.clock.now());
    let codes = make(tx, user.id, now).await?;
    // From here on no former code may open a session.
    tx.changes().user(tenant, user.id, Priority::Revokes);
    audit::record(tx, actor, now, Action::RecoveryCodesMade, Some(user.id.to_string()), json!({}));
    notices::second_factor_changed(control, tx, user, FactorChange::CodesMade).await?;
    Ok(codes)
}
