//! Writing a new password: what every way to one has in common.

use chrono::{DateTime, Utc};
use shared::ids::SessionId;
use shared::passwords::Verifier;
use shared::tenant::settings::Settings;
use shared::wire::push::PasswordDue;

use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::legacy::service::foreign_hashes_removed;
use crate::links;
use crate::passwords::Policy;
use crate::users::change::profile_after;
use crate::users::epochs::{Causes, Epochs};
use crate::users::successor::Successor;
use crate::users::{Change, User, completion, password_history, verifiers};

/// A new password and its terms.
pub struct NewPassword<'a> {
    /// Its verifier.
    pub verifier: &'a Verifier,
    /// Why its owner must choose another one before there is a session.
    pub due: Option<PasswordDue>,
    /// From when on it is a wrong one.
    pub valid_until: Option<DateTime<Utc>>,
    /// The session that is kept; every other one ends.
    pub keeps: Option<SessionId>,
    /// Whether it came by a link that was mailed to the address of the account, which proves the address.
    pub proves_address: bool,
}

/// The verifier of a new password of `user`, whose row is locked, unless the tenant's rules refuse it. The inner error is
/// everything that is wrong with it.
///
/// # Errors
/// As [`Policy::of`]; [`Failure::Busy`] where the password was changed meanwhile.
pub fn check<'h>(
    control: &Control,
    settings: &Settings,
    successor: &'h Successor,
    user: &User,
) -> Result<Result<&'h Verifier, Vec<String>>, Failure> {
    let (policy, profile) = (Policy::of(control, settings)?, profile_after(user, &Change::default()));
    successor.check(&policy, &profile, user.password_epoch, settings.password_history)
}

/// Gives a user, whose row is locked, another password. Access tokens and sessions end, except the session that is
/// kept: the edge raises it to the session epoch of the row. Links that could still change the account become
/// invalid. The caller writes the audit entry, and sends the notice.
///
/// # Errors
/// Errors of the database.
pub async fn set(
    control: &Control,
    tx: &mut TenantTx,
    settings: &Settings,
    before: &User,
    new: NewPassword<'_>,
) -> Result<(), Failure> {
    let (tenant, id) = (tx.tenant(), before.id);
    let epochs = Epochs {
        access: before.access_epoch,
        session: before.session_epoch,
        password: before.password_epoch,
    };
    let epochs = epochs.after(Causes { password: true, ..Causes::default() });
    password_history::keep(tx, id, before.password_epoch, settings.password_history).await?;
    let wrapped = verifiers::seal(tx.keys(), id, new.verifier)?;
    // A session that is kept by two changes in a row may still have the epoch before both at the edge, which may
    // receive both at once.
    sqlx::query!(
        "update users
         set wrapped_verifier = $3, foreign_hash = null, foreign_format = null,
             access_epoch = $4, session_epoch = $5::bigint, password_epoch = $6,
             password_changed_at = $7, updated_at = $7, password_due = $8, password_valid_until = $9,
             kept_session = $10::text,
             kept_from = case
                 when $10::text is null then null
                 when kept_session = $10 and kept_epoch = session_epoch then kept_from
                 else session_epoch
             end,
             kept_epoch = case when $10::text is not null then $5::bigint end,
             email_verified = email_verified or $11
         where tenant_id = $1 and id = $2",
        tenant.uuid(),
        id.uuid(),
        wrapped,
        epochs.access,
        epochs.session,
        epochs.password,
        control.clock.now(),
        new.due.map(PasswordDue::as_str),
        new.valid_until,
        new.keeps.map(|sid| sid.to_string()),
        new.proves_address,
    )
    .execute(&mut **tx)
    .await?;
    if new.proves_address {
        completion::refresh(tx, &[id.uuid()]).await?;
    }
    foreign_hashes_removed(tx).await?;
    links::end_of_user(tx, id).await?;
    tx.changes().user(tenant, id, Priority::Revokes);
    Ok(())
}
