//! The second factors of users as they are sent to the edge: each secret is decrypted here and sealed to the edge at
//! once.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::ids::{AuthenticatorId, UserId};
use shared::wire::push::{AuthenticatorRow, RecoveryCodeRow, RecoveryRow};
use shared::wire::seal::Kind;
use uuid::Uuid;

use super::seeds;
use crate::control::Inner;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::tenants::document;
use crate::world::unix_ms;

/// The second-factor columns of a user's row.
#[derive(Default)]
pub struct FactorRows {
    /// Active authenticators.
    pub authenticators: Vec<AuthenticatorRow>,
    /// The set of recovery codes, where there is one.
    pub recovery: Option<RecoveryRow>,
}

/// The rows of those of these users who have a second factor.
///
/// # Errors
/// The database's, or a secret that does not open: a user must not lose the second factor at the edge by that.
pub async fn of(
    control: &Inner,
    tx: &mut TenantTx,
    users: &[Uuid],
) -> Result<HashMap<UserId, FactorRows>, Failure> {
    let mut found: HashMap<UserId, FactorRows> = HashMap::new();
    let rows = sqlx::query!(
        "select user_id, id, wrapped, last_step
         from authenticators
         where tenant_id = $1 and user_id = any ($2) and confirmed_at is not null
         order by user_id, created_at, id",
        tx.tenant().uuid(),
        users,
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let (user, id) = (UserId::from(row.user_id), AuthenticatorId::from(row.id));
        let seed = seeds::open(tx.keys(), user, id, &row.wrapped)?;
        let seed = document::seal(control, tx.tenant(), Kind::TotpSeed, &id.to_string(), seed.expose())?;
        let row = AuthenticatorRow { id, seed, last_step: row.last_step };
        found.entry(user).or_default().authenticators.push(row);
    }
    for (user, recovery) in recovery(control, tx, users).await? {
        found.entry(user).or_default().recovery = Some(recovery);
    }
    Ok(found)
}

async fn recovery(
    control: &Inner,
    tx: &mut TenantTx,
    users: &[Uuid],
) -> Result<HashMap<UserId, RecoveryRow>, Failure> {
    let sets = sqlx::query!(
        "select user_id, wrapped from recovery_sets where tenant_id = $1 and user_id = any ($2)",
        tx.tenant().uuid(),
        users,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut found = HashMap::new();
    for set in sets {
        let user = UserId::from(set.user_id);
        let key = seeds::open_recovery_key(tx.keys(), user, &set.wrapped)?;
        let key = document::seal(control, tx.tenant(), Kind::RecoveryKey, &user.to_string(), key.expose())?;
        found.insert(user, RecoveryRow { key, codes: Vec::new() });
    }
    let codes = sqlx::query!(
        "select user_id, hash, used_at
         from recovery_codes
         where tenant_id = $1 and user_id = any ($2)
         order by user_id, hash",
        tx.tenant().uuid(),
        users,
    )
    .fetch_all(&mut **tx)
    .await?;
    for code in codes {
        if let Some(set) = found.get_mut(&UserId::from(code.user_id)) {
            let hash = URL_SAFE_NO_PAD.encode(&code.hash);
            set.codes.push(RecoveryCodeRow { hash, used_at: code.used_at.map(unix_ms) });
        }
    }
    Ok(found)
}
