//! Sends the verification link again. The older one becomes invalid.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::contract::limits::ANSWER_SECS;
use shared::identifiers::Identifier;
use shared::user::UserStatus;

use super::registration::{Registration, admits};
use super::{AccountError, letters};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::links::{self, Holder, LinkKind};
use crate::mail::Recipient;
use crate::requests::{self, RequestId, RequestKind};
use crate::tenants::Tenant;
use crate::users::{self, User, UserError};

/// For which address. No `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Resend {
    /// As typed.
    pub email: String,
}

/// Stores the request, without looking up users.
///
/// # Errors
/// [`AccountError::TooMany`]; errors of the database.
pub async fn put(control: &Control, tx: &mut TenantTx, wanted: &Resend) -> Result<RequestId, AccountError> {
    let now = control.clock.now();
    if !requests::take_room(tx, RequestKind::Resend, now).await? {
        return Err(AccountError::TooMany);
    }
    let lives = TimeDelta::seconds(ANSWER_SECS);
    Ok(requests::put(tx, RequestKind::Resend, None, wanted, now, lives).await?)
}

/// Mails another link, once: for the latest registration with the address, else for a user with the address as an
/// unverified one.
///
/// # Errors
/// See [`AccountError`].
pub(super) async fn answer(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    id: RequestId,
) -> Result<(), AccountError> {
    let now = control.clock.now();
    let Some(found) = requests::find::<Resend>(tx, RequestKind::Resend, id, now).await? else {
        return Ok(());
    };
    requests::remove(tx, id).await?;
    let email = found.content.email;
    let address = Identifier::parse(&email).map_err(|_| Failure::Unreadable("address"))?;
    let waiting = requests::about(tx, RequestKind::Registration, &address, now).await?;
    if let Some(latest) = waiting.first().copied().filter(|_| admits(&tenant.settings, &address)) {
        let found = requests::find::<Registration>(tx, RequestKind::Registration, latest, now).await?;
        // A registration that is not answered yet gets its first link soon. One that was answered since the line above
        // has no address any more if it cannot succeed.
        let waits = |found: &Registration| found.answered && !found.email.is_empty();
        if let Some(registration) = found.map(|found| found.content).filter(waits) {
            let token = links::make(tx, LinkKind::Verify, Holder::Request(latest), now).await?;
            letters::verify(control, tx, registration.recipient(), token).await?;
        }
        return Ok(());
    }
    if let Some(user) = unproven(tx, &address, &email).await? {
        let token = links::make(tx, LinkKind::Verify, Holder::User(user.id), now).await?;
        let to = Recipient::user(&user).ok_or(Failure::Unreadable("address"))?;
        letters::verify(control, tx, to, token).await?;
    }
    Ok(())
}

/// The user with this address as an unverified one.
async fn unproven(
    tx: &mut TenantTx,
    address: &Identifier,
    email: &str,
) -> Result<Option<User>, AccountError> {
    match users::find_by_name(tx, email).await {
        Ok(user) => {
            let living = matches!(user.status, UserStatus::Active | UserStatus::Pending);
            let waits = living && !user.email_verified && users::has_address(&user, address);
            Ok(waits.then_some(user))
        }
        Err(UserError::NotFound) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
