//! A user changes their own password.

use serde_json::json;
use shared::ids::{SessionId, TenantId, UserId};
use shared::passwords::{Password, Verifier};
use shared::tenant::settings::Settings;
use zeroize::Zeroizing;

use super::current;
use super::set::{NewPassword, check, set};
use super::tries::{self, Reserved};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::in_force::{self, InForce};
use crate::failure::Failure;
use crate::notices;
use crate::users::successor::Successor;
use crate::users::{User, UserError, password_history, store};

/// Who must change a password must change it.
const SAME: &str = "The new password must differ from the current one.";

/// The caller's proof that they may change the password.
pub enum Proof {
    /// The current password, in a session.
    Password {
        /// As typed.
        current: Zeroizing<String>,
        /// The session, which is kept. A token of the legacy service has none.
        session: Option<SessionId>,
    },
    /// A ticket: the current password was typed at sign-in. There is no session.
    Ticket,
}

impl Proof {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::Ticket => "ticket",
        }
    }
}

/// The input of a change.
pub struct ChangeOwn {
    /// The caller's row when the request began.
    pub user: User,
    /// The caller as an actor.
    pub actor: Actor,
    /// The tenant's settings, with its password rules.
    pub settings: Settings,
    /// The caller's proof that they may.
    pub proof: Proof,
    /// The new password, as typed.
    pub new: Zeroizing<String>,
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OwnPasswordError {
    /// The current password is another one.
    #[error("the current password is another one")]
    WrongPassword,
    /// Too many tries; the next one counts after so many seconds.
    #[error("too many tries")]
    TooManyTries(u64),
    /// The user was changed while the request was under way: its credential is no longer valid.
    #[error("the user was changed meanwhile")]
    Stale,
    /// The new password is not acceptable.
    #[error("the new password is not acceptable")]
    Faults(Vec<String>),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl OwnPasswordError {
    /// The outcome in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::TooManyTries(_) => "throttled",
            Self::Stale => "stale",
            Self::Faults(_) => "refused",
            Self::Failure(_) => "failed",
        }
    }
}

/// Changes a password:
/// 1. the try is counted, and committed before any hash;
/// 2. the current password is checked, or, with a ticket, that the new one is another: no connection is held;
/// 3. the new one is hashed;
/// 4. the user must be as when the request began, so of many requests at once one succeeds;
/// 5. the try of a right password is given back, also where the new one is refused. With a ticket it counts, since a
///    refusal says whether that was the current password;
/// 6. row, edge and audit log are written. All sessions end but the one that asked.
///
/// # Errors
/// See [`OwnPasswordError`].
pub async fn change(control: &Control, tx: TenantTx, wanted: ChangeOwn) -> Result<InForce, OwnPasswordError> {
    let changed = carry_out(control, tx, wanted).await;
    let outcome = changed.as_ref().map_or_else(OwnPasswordError::as_str, |_| "changed");
    metrics::counter!("wardgate_password_changes_total", "outcome" => outcome).increment(1);
    changed
}

async fn carry_out(
    control: &Control,
    mut tx: TenantTx,
    wanted: ChangeOwn,
) -> Result<InForce, OwnPasswordError> {
    let (tenant, id) = (tx.tenant(), wanted.user.id);
    let window = match tries::reserve(&mut tx, id, control.clock.now()).await? {
        Reserved::Counted(window) => window,
        Reserved::Full(secs) => return Err(OwnPasswordError::TooManyTries(secs)),
    };
    let stored = current::read(&mut tx, id).await?;
    let past = match password_history::past(&mut tx, id).await {
        Ok(past) => past,
        Err(UserError::Failure(failure)) => return Err(failure.into()),
        Err(_) => return Err(OwnPasswordError::Stale),
    };
    tx.commit().await?;
    let is_same = match &wanted.proof {
        Proof::Password { current, .. } => {
            if !stored.is(control, tenant, current).await? {
                let asks = (&wanted.actor, Action::UserPasswordChanged);
                note_wrong_password(control, tenant, asks, id).await?;
                return Err(OwnPasswordError::WrongPassword);
            }
            are_same(current, &wanted.new)
        }
        Proof::Ticket => stored.is(control, tenant, &wanted.new).await?,
    };
    let hashed = match is_same {
        true => Err(vec![SAME.to_owned()]),
        false => Ok(Successor::compared(&control.hasher, tenant, &wanted.new, Some(past)).await?),
    };
    let mut tx = control.db.tenant_tx(tenant).await?;
    let user = store::lock_unchanged(&mut tx, &wanted.user).await?.ok_or(OwnPasswordError::Stale)?;
    let verifier = match &hashed {
        Ok(successor) => check(control, &wanted.settings, successor, &user)?,
        Err(faults) => Err(faults.clone()),
    };
    if verifier.is_ok() || matches!(wanted.proof, Proof::Password { .. }) {
        tries::give_back(&mut tx, id, window).await?;
    }
    match verifier {
        Ok(verifier) => {
            write(control, &mut tx, &wanted, &user, verifier).await?;
            Ok(in_force::commit(control, tx).await?)
        }
        Err(faults) => {
            tx.commit().await?;
            Err(OwnPasswordError::Faults(faults))
        }
    }
}

async fn write(
    control: &Control,
    tx: &mut TenantTx,
    wanted: &ChangeOwn,
    user: &User,
    verifier: &Verifier,
) -> Result<(), Failure> {
    let keeps = match &wanted.proof {
        Proof::Password { session, .. } => *session,
        Proof::Ticket => None,
    };
    let new = NewPassword { verifier, due: None, valid_until: None, keeps, proves_address: false };
    set(control, tx, &wanted.settings, user, new).await?;
    let details = json!({ "proof": wanted.proof.as_str(), "kept_session": keeps });
    let target = Some(user.id.to_string());
    audit::record(tx, &wanted.actor, control.clock.now(), Action::UserPasswordChanged, target, details);
    notices::password_changed(control, tx, user).await
}

/// Succeeds if `typed` is the user's password. The attempt is counted, and the count is taken back if the password is
/// right; no connection is held while it is checked. A wrong password is written to the audit log as a refused
/// `action` of the actor.
///
/// # Errors
/// [`OwnPasswordError::WrongPassword`], [`OwnPasswordError::TooManyTries`], or an internal failure.
pub async fn prove(
    control: &Control,
    mut tx: TenantTx,
    (actor, action): (&Actor, Action),
    user: UserId,
    typed: &str,
) -> Result<TenantTx, OwnPasswordError> {
    let (tenant, now) = (tx.tenant(), control.clock.now());
    let window = match tries::reserve(&mut tx, user, now).await? {
        Reserved::Counted(window) => window,
        Reserved::Full(secs) => return Err(OwnPasswordError::TooManyTries(secs)),
    };
    let stored = current::read(&mut tx, user).await?;
    tx.commit().await?;
    if !stored.is(control, tenant, typed).await? {
        note_wrong_password(control, tenant, (actor, action), user).await?;
        return Err(OwnPasswordError::WrongPassword);
    }
    let mut tx = control.db.tenant_tx(tenant).await?;
    tries::give_back(&mut tx, user, window).await?;
    Ok(tx)
}

/// The entry of a try that was wrong. There are as many as tries are counted.
async fn note_wrong_password(
    control: &Control,
    tenant: TenantId,
    (actor, action): (&Actor, Action),
    user: UserId,
) -> Result<(), Failure> {
    let mut tx = control.db.tenant_tx(tenant).await?;
    let details = json!({ "why": "wrong_password" });
    let target = Some(user.to_string());
    audit::attempt(&mut tx, actor, control.clock.now(), action, target, details);
    tx.commit().await
}

/// Whether two typed passwords are one.
fn are_same(current: &str, new: &str) -> bool {
    match (Password::parse(current), Password::parse(new)) {
        (Ok(current), Ok(new)) => current.expose() == new.expose(),
        _ => false,
    }
}
