//! Authenticators that another service enrolled.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::contract::limits::AUTHENTICATORS;
use shared::ids::{AuthenticatorId, UserId};
use shared::second_factor::totp::Seed;

use super::store::{self, New};
use crate::audit::{self, Action, Actor};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::users::epochs::Causes;
use crate::users::store::raise_epochs;
use crate::users::{self, UserError, epochs_of};
use crate::world::{random, unix_ms};

/// What an authenticator is called that was imported.
const NAME: &str = "Imported";

/// Makes the seed of another service's device an active authenticator of a user. `last_step` is the last one that was used
/// there. Access tokens end. False where the user has as many authenticators as may be, or is gone.
///
/// The user is not told: it is the same device as before.
///
/// # Errors
/// Errors of the database.
pub async fn adopt(
    tx: &mut TenantTx,
    user: UserId,
    (seed, last_step): (&Seed, i64),
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    let user = match users::lock(tx, user).await {
        Ok(user) => user,
        Err(UserError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(false),
    };
    if store::state(tx, user.id).await?.authenticators.len() >= AUTHENTICATORS {
        return Ok(false);
    }
    let id = AuthenticatorId::new(unix_ms(now), random()?);
    let new =
        New { id, name: NAME, seed, created_at: now, confirmed_at: Some(now), last_step: last_step.max(0) };
    store::insert(tx, user.id, new).await?;
    let epochs = epochs_of(&user).after(Causes { second_factor: true, ..Causes::default() });
    // An import is no change that was made here: a later one goes on with the user.
    raise_epochs(tx, user.id, epochs, None, user.updated_at).await?;
    let details = json!({ "authenticator": id, "imported": true });
    audit::record(tx, &Actor::operator(), now, Action::SecondFactorAdded, Some(user.id.to_string()), details);
    Ok(true)
}
