//! Renaming and removing authenticators: by their owner, or all of them by an administrator.

use serde_json::json;
use shared::ids::{AuthenticatorId, SessionId, UserId};
use shared::tenant::settings::Settings;

use super::model::MfaError;
use super::{recovery, store};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::mail::FactorChange;
use crate::notices;
use crate::users::epochs::Causes;
use crate::users::store::raise_epochs;
use crate::users::{self, User, UserError, epochs_of};

/// Which authenticators of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one.
    One(AuthenticatorId),
    /// All of them.
    All,
}

/// Gives an authenticator another name.
///
/// # Errors
/// [`MfaError::NotFound`]; errors of the database.
pub async fn rename(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: UserId,
    (id, name): (AuthenticatorId, &str),
) -> Result<(), MfaError> {
    if !store::rename(tx, user, id, name).await? {
        return Err(MfaError::NotFound);
    }
    let details = json!({ "authenticator": id });
    let target = Some(user.to_string());
    audit::record(tx, actor, control.clock.now(), Action::SecondFactorRenamed, target, details);
    Ok(())
}

/// Removes authenticators of a user, whose row is locked. With the last one the recovery codes are deleted. Access
/// tokens end, and all sessions except `keeps`.
///
/// # Errors
/// [`MfaError::NotFound`]; [`MfaError::Demanded`] for the last one of a user that must have one; errors of the
/// database.
pub async fn remove(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    (user, settings): (&User, &Settings),
    (which, keeps): (Which, Option<SessionId>),
) -> Result<(), MfaError> {
    let had: Vec<_> = store::state(tx, user.id).await?.authenticators.iter().map(|it| it.id).collect();
    let gone: Vec<_> =
        had.iter().copied().filter(|id| which == Which::All || which == Which::One(*id)).collect();
    match which {
        Which::One(_) if gone.is_empty() => return Err(MfaError::NotFound),
        Which::All if gone.is_empty() => return Ok(store::end_enrolment(tx, user.id).await?),
        Which::One(_) | Which::All => {}
    }
    let (none_left, now) = (gone.len() == had.len(), control.clock.now());
    if none_left && settings.demands_second_factor(&user.roles, now.timestamp()) {
        return Err(MfaError::Demanded);
    }
    for id in &gone {
        store::delete(tx, user.id, *id).await?;
    }
    if none_left {
        recovery::remove(tx, user.id).await?;
    }
    let details = json!({ "authenticators": gone, "kept_session": keeps });
    gone_from(control, tx, actor, user, (keeps, Action::SecondFactorRemoved, details)).await?;
    Ok(())
}

/// Removes all of a user's second factor. The administrator must outrank the user and have each of the user's
/// permissions, because the password alone is enough to sign in afterwards. The user's sessions end. A user without a
/// second factor stays unchanged.
///
/// # Errors
/// [`UserError::NotFound`], [`UserError::Rank`]; errors of the database.
pub async fn reset(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: UserId,
) -> Result<(), UserError> {
    let user = users::lock(tx, user).await?;
    users::still_stands(control, tx, actor).await?;
    users::outrank(actor, &user)?;
    users::may_be(actor, &user)?;
    let had = store::state(tx, user.id).await?.authenticators;
    store::delete_all(tx, user.id).await?;
    recovery::remove(tx, user.id).await?;
    if had.is_empty() {
        return Ok(());
    }
    let details = json!({ "authenticators": had.iter().map(|it| it.id).collect::<Vec<_>>() });
    gone_from(control, tx, actor, &user, (None, Action::SecondFactorReset, details)).await?;
    Ok(())
}

/// After a removal: raises the epochs, informs the edge, writes the audit entry, and sends the notice.
async fn gone_from(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: &User,
    (keeps, action, details): (Option<SessionId>, Action, serde_json::Value),
) -> Result<(), Failure> {
    let now = control.clock.now();
    let causes = Causes { second_factor: true, sessions: true, ..Causes::default() };
    raise_epochs(tx, user.id, epochs_of(user).after(causes), keeps, now).await?;
    audit::record(tx, actor, now, action, Some(user.id.to_string()), details);
    notices::second_factor_changed(control, tx, user, FactorChange::Removed).await
}
