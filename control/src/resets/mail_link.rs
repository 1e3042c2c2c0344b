//! Mailing a link that sets a new password.

use shared::ids::UserId;
use shared::user::UserStatus;

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::links::{self, Holder, LinkKind};
use crate::mail::{self, Facts, MailKind, NewMail, Posted, Recipient};
use crate::users::{self, UserError};

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailed {
    /// The mail is queued once the transaction is committed.
    Promised,
    /// There is no such user any more.
    Gone,
    /// The user is not active.
    NotActive,
    /// The user has no address, or has not proven it.
    NoProvenAddress,
    /// The account or the domain of its address has had its share of mails. The transaction must not be committed: in
    /// it the user's present link is replaced.
    OverBudget,
}

impl Mailed {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Promised => "mailed",
            Self::Gone => "no_user",
            Self::NotActive => "not_active",
            Self::NoProvenAddress => "no_proven_address",
            Self::OverBudget => "over_budget",
        }
    }
}

/// Makes a link for a user and promises the mail that brings it to their proven address; an older link becomes
/// invalid.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn mail_link(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
) -> Result<Mailed, Failure> {
    // Who changes the account meanwhile ends the link, or comes first.
    let user = match users::store::lock(tx, id).await {
        Ok(user) => user,
        Err(UserError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(Mailed::Gone),
    };
    if user.status != UserStatus::Active {
        return Ok(Mailed::NotActive);
    }
    let to = if user.email_verified { Recipient::user(&user) } else { None };
    let Some(to) = to else { return Ok(Mailed::NoProvenAddress) };
    let now = control.clock.now();
    let token = links::make(tx, LinkKind::Reset, Holder::User(id), now).await?;
    let facts = Facts {
        username: user.username.expose().to_owned(),
        client: actor.client.clone().unwrap_or_default(),
        ..Facts::default()
    };
    let link = Some((LinkKind::Reset, token));
    let letter = NewMail { kind: MailKind::ResetPassword, to, link, facts };
    match mail::post(tx, control, letter).await? {
        Posted::OverBudget => Ok(Mailed::OverBudget),
        Posted::Queued(_) => {
            let target = Some(id.to_string());
            audit::record(tx, actor, now, Action::UserResetMailed, target, serde_json::json!({}));
            Ok(Mailed::Promised)
        }
    }
}
