//! Enrolling an authenticator: its seed is shown once, and its first code makes it active.

use serde_json::json;
use shared::contract::limits::AUTHENTICATORS;
use shared::ids::{AuthenticatorId, UserId};
use shared::second_factor::recovery::RecoveryCode;
use shared::second_factor::totp::{Code, Seed, matching_step};

use super::model::MfaError;
use super::recovery;
use super::store::{self, New};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::mail::FactorChange;
use crate::notices;
use crate::users::epochs::Causes;
use crate::users::store::raise_epochs;
use crate::users::{User, epochs_of};
use crate::world::{random, unix_ms};

/// Wrong codes that an enrolment survives, less one.
const TRIES: i32 = 5;
/// The default name of an authenticator.
const NAME: &str = "Authenticator";

/// An enrolment that has begun.
pub struct Begun {
    /// The authenticator to be.
    pub id: AuthenticatorId,
    /// Its seed.
    pub seed: Seed,
}

/// An authenticator that became active.
pub struct Confirmed {
    /// The authenticator.
    pub id: AuthenticatorId,
    /// A set of recovery codes, if the user had none.
    pub recovery_codes: Option<Vec<RecoveryCode>>,
}

/// Begins an enrolment of a user, whose row is locked. One that was begun before ends.
///
/// # Errors
/// [`MfaError::TooMany`]; without randomness; errors of the database.
pub async fn begin(
    control: &Control,
    tx: &mut TenantTx,
    user: UserId,
    name: Option<&str>,
) -> Result<Begun, MfaError> {
    has_room(tx, user).await?;
    store::end_enrolment(tx, user).await?;
    let now = control.clock.now();
    let (id, seed) = (AuthenticatorId::new(unix_ms(now), random()?), Seed::new(random()?));
    let name = name.unwrap_or(NAME);
    let new = New { id, name, seed: &seed, created_at: now, confirmed_at: None, last_step: 0 };
    store::insert(tx, user, new).await?;
    Ok(Begun { id, seed })
}

async fn has_room(tx: &mut TenantTx, user: UserId) -> Result<(), MfaError> {
    let full = store::state(tx, user).await?.authenticators.len() >= AUTHENTICATORS;
    if full { Err(MfaError::TooMany) } else { Ok(()) }
}

/// Activates an authenticator, if the code matches its seed. The user's row is locked.
///
/// 1. The enrolment must exist, with attempts left.
/// 2. A wrong code is counted; the fifth ends the enrolment.
/// 3. The authenticator is active, and the step of the code is used up. A user without recovery codes gets a set.
/// 4. Access tokens become invalid, so that the edge applies the change at once; sessions continue, and tickets
///    become invalid.
/// 5. An audit entry and a notice.
///
/// # Errors
/// [`MfaError::NoEnrolment`], [`MfaError::WrongCode`] (commit the transaction), [`MfaError::TooMany`]; errors of the
/// database.
pub async fn confirm(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: &User,
    (id, typed): (AuthenticatorId, &str),
) -> Result<Confirmed, MfaError> {
    let now = control.clock.now();
    let enrolment = store::enrolment(tx, user.id, id, now).await?.ok_or(MfaError::NoEnrolment)?;
    let secs = u64::try_from(now.timestamp()).unwrap_or(0);
    let step = Code::parse(typed).ok().and_then(|code| matching_step(&enrolment.seed, &code, secs));
    let Some(step) = step else {
        note_wrong_code(control, tx, actor, user.id, (id, enrolment.tries)).await?;
        return Err(MfaError::WrongCode);
    };
    has_room(tx, user.id).await?;
    store::activate(tx, user.id, id, i64::try_from(step).unwrap_or(i64::MAX), now).await?;
    let recovery_codes = match store::recovery_codes_left(tx, user.id).await? {
        None => Some(recovery::make(tx, user.id, now).await?),
        Some(_) => None,
    };
    let epochs = epochs_of(user).after(Causes { second_factor: true, ..Causes::default() });
    raise_epochs(tx, user.id, epochs, None, now).await?;
    let details = json!({ "authenticator": id, "recovery_codes": recovery_codes.is_some() });
    audit::record(tx, actor, now, Action::SecondFactorAdded, Some(user.id.to_string()), details);
    notices::second_factor_changed(control, tx, user, FactorChange::Added).await?;
    Ok(Confirmed { id, recovery_codes })
}

async fn note_wrong_code(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: UserId,
    (id, tries): (AuthenticatorId, i32),
) -> Result<(), Failure> {
    match tries + 1 < TRIES {
        true => store::count_try(tx, user, id).await?,
        false => store::end_enrolment(tx, user).await?,
    }
    let details = json!({ "authenticator": id, "why": "wrong_code" });
    let target = Some(user.to_string());
    audit::attempt(tx, actor, control.clock.now(), Action::SecondFactorAdded, target, details);
    Ok(())
}
