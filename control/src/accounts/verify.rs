//! The link that verifies an address: of a registration, which becomes an account, or of a user.

use serde_json::json;
use shared::ids::UserId;
use shared::user::UserStatus;

use super::registration::{self, Proof, Registration, admits};
use super::{AccountError, Call, letters};
use crate::audit::{self, Action};
use crate::control::Control;
use crate::db::TenantTx;
use crate::links::{self, Holder, LinkKind};
use crate::requests::{self, RequestId, RequestKind};
use crate::tenants::Tenant;
use crate::users::{self, User, UserError};

/// The outcome of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The account has no password yet: a link that sets one is on its way.
    pub needs_password: bool,
}

/// Uses a link that verifies an address:
/// 1. the link is used up: of many requests at once one succeeds; it stays valid if a later step is refused;
/// 2. of a registration: an account with the address as an unverified one loses it; the account is created. If
///    several registrations named the address, it has no password, and a link that sets one is mailed;
/// 3. of a user: the address is verified.
///
/// # Errors
/// [`AccountError::Link`]; [`AccountError::Closed`] if registration was closed since; a name or an address that
/// another user has by now.
pub async fn verify(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    call: &Call,
    unverified_token: &str,
) -> Result<Proven, AccountError> {
    let now = control.clock.now();
    let holder = links::take(tx, LinkKind::Verify, unverified_token, now).await?;
    match holder.ok_or(AccountError::Link)? {
        Holder::Request(request) => registered(control, tx, tenant, call, request).await,
        Holder::User(user) => proven(control, tx, call, user).await,
    }
}

async fn registered(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    call: &Call,
    request: RequestId,
) -> Result<Proven, AccountError> {
    let now = control.clock.now();
    let found = requests::find::<Registration>(tx, RequestKind::Registration, request, now).await?;
    let wanted = found.ok_or(AccountError::Link)?.content;
    let address = wanted.address()?;
    if !admits(&tenant.settings, &address) {
        return Err(AccountError::Closed);
    }
    users::release_address(control, tx, &call.control(), &address, None).await?;
    let waiting = requests::about(tx, RequestKind::Registration, &address, now).await?;
    let proof = if waiting.len() > 1 { Proof::Contested } else { Proof::Owner };
    let user = registration::make(control, tx, call, &wanted, &tenant.settings, proof).await?;
    // Other registrations with this address are void from now on.
    for request in waiting {
        requests::remove(tx, request).await?;
    }
    note(control, tx, call, &user);
    if proof == Proof::Contested {
        let token = links::make(tx, LinkKind::Reset, Holder::User(user.id), now).await?;
        letters::reset(control, tx, (&user, &wanted.email), token).await?;
    }
    Ok(Proven { needs_password: proof == Proof::Contested })
}

async fn proven(
    control: &Control,
    tx: &mut TenantTx,
    call: &Call,
    id: UserId,
) -> Result<Proven, AccountError> {
    let user = match users::lock(tx, id).await {
        Err(UserError::NotFound) => return Err(AccountError::Link),
        other => other?,
    };
    if user.status == UserStatus::Suspended || user.email.is_none() {
        return Err(AccountError::Link);
    }
    users::prove(tx, id, control.clock.now()).await?;
    note(control, tx, call, &user);
    Ok(Proven { needs_password: false })
}

fn note(control: &Control, tx: &mut TenantTx, call: &Call, user: &User) {
    let (now, target) = (control.clock.now(), Some(user.id.to_string()));
    audit::record(tx, &call.of(user), now, Action::EmailVerified, target, json!({}));
    metrics::counter!("wardgate_addresses_proven_total").increment(1);
}
