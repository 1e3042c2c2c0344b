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

/// The name of an imported authenticator.
const NAME: &str = "Imported";

/// Makes the seed of another service's device an active authenticator of a user. `last_step` is the last time step
/// that was used there. The user's access tokens become invalid. False if the user has the maximum number of
/// authenticators, or no longer exists.
///
/// The user gets no notice: it is the same device as before.
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
    // An import does not count as a change of the user: a later import may still change the user.
    raise_epochs(tx, user.id, epochs, None, user.updated_at).await?;
    let details = json!({ "authenticator": id, "imported": true });
    audit::record(tx, &Actor::operator(), now, Action::SecondFactorAdded, Some(user.id.to_string()), details);
    Ok(true)
}
