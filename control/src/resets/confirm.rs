//! Setting a new password with a link from a mail.

use shared::ids::UserId;
use shared::tenant::settings::Settings;
use shared::user::UserStatus;

use super::{Caller, count};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::links::{self, Holder, LinkKind};
use crate::notices;
use crate::users::password::{self, NewPassword};
use crate::users::{self, Successor, User, UserError};

/// Why no password was set.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The token is unknown, used, replaced or expired, or its user cannot sign in.
    #[error("the token is not valid")]
    Token,
    /// The password is refused, for these reasons. The link stays good.
    #[error("the password is not acceptable")]
    Password(Vec<String>),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// The user whose password a token could set now. Checked before a password is hashed, so that an invalid token costs
/// no hash.
///
/// # Errors
/// Errors of the database.
pub async fn subject(
    control: &Control,
    tx: &mut TenantTx,
    unverified_token: &str,
) -> Result<Option<UserId>, Failure> {
    Ok(match links::look(tx, LinkKind::Reset, unverified_token, control.clock.now()).await? {
        Some(Holder::User(user)) => Some(user),
        Some(Holder::Request(_)) | None => None,
    })
}

/// Uses a link up and sets the password of its user:
/// 1. the user's row is locked before the link's, in the same order as in every change of a user;
/// 2. of many requests at once one uses the link; the user must be active;
/// 3. the password must be acceptable. If it is not, the link stays valid, because nothing is committed;
/// 4. the password is set, every session ends, other links become invalid;
/// 5. the audit entry is written, and the owner gets a mail.
///
/// # Errors
/// See [`ConfirmError`]. The caller must not commit then.
pub async fn confirm(
    control: &Control,
    tx: &mut TenantTx,
    settings: &Settings,
    token: &str,
    successor: &Successor,
    caller: Caller,
) -> Result<UserId, ConfirmError> {
    let user = redeem(control, tx, token).await?;
    let verifier = password::check(control, settings, successor, &user)?.map_err(ConfirmError::Password)?;
    let new = NewPassword { verifier, due: None, valid_until: None, keeps: None, proves_address: true };
    password::set(control, tx, settings, &user, new).await?;
    let who = user.who();
    let actor = Actor { who, request_id: caller.request_id, client: caller.client };
    let target = Some(user.id.to_string());
    let now = control.clock.now();
    audit::record(tx, &actor, now, Action::UserPasswordReset, target, serde_json::json!({}));
    notices::password_changed(control, tx, &user).await?;
    count("confirmed");
    Ok(user.id)
}

/// The user of a link, locked; the link is used up.
async fn redeem(control: &Control, tx: &mut TenantTx, token: &str) -> Result<User, ConfirmError> {
    let now = control.clock.now();
    let holder = links::look(tx, LinkKind::Reset, token, now).await?;
    let Some(Holder::User(id)) = holder else { return Err(ConfirmError::Token) };
    let user = match users::store::lock(tx, id).await {
        Ok(user) => user,
        Err(UserError::Failure(failure)) => return Err(failure.into()),
        Err(_) => return Err(ConfirmError::Token),
    };
    let taken = links::take(tx, LinkKind::Reset, token, now).await?;
    let is_theirs = taken == Some(Holder::User(id));
    if is_theirs && user.status == UserStatus::Active { Ok(user) } else { Err(ConfirmError::Token) }
}
