//! Checks the current password of a session's user.

use zeroize::Zeroizing;

use super::AccountError;
use crate::audit::{Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::users::User;
use crate::users::password::{OwnPasswordError, prove};

/// Succeeds if `typed` is the password of the user. No connection is held during the hash. A wrong password is
/// recorded in the audit log as a refused `action` of the actor.
///
/// # Errors
/// [`AccountError::Password`] if it is another one, [`AccountError::Tries`] after too many; an internal failure.
pub(crate) async fn check(
    control: &Control,
    tx: TenantTx,
    (actor, action): (&Actor, Action),
    user: &User,
    typed: Zeroizing<String>,
) -> Result<TenantTx, AccountError> {
    prove(control, tx, (actor, action), user.id, &typed).await.map_err(|error| {
        metrics::counter!("wardgate_address_changes_total", "outcome" => error.as_str()).increment(1);
        match error {
            OwnPasswordError::TooManyTries(secs) => AccountError::Tries(secs),
            OwnPasswordError::Failure(failure) => failure.into(),
            OwnPasswordError::WrongPassword | OwnPasswordError::Stale | OwnPasswordError::Faults(_) => {
                AccountError::Password
            }
        }
    })
}
