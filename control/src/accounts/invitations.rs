//! Invitations: the owner of an address gets an account, with roles that the inviter may grant.
//!
//! The inviter is checked again at acceptance: if the inviter was deleted or suspended, or may not grant these roles
//! any more, the link is invalid. The invitation stays in the list until it is revoked or expires.

mod accept;
mod offer;

pub use accept::{Acceptance, accept, offered};
pub use offer::{By, Invitation, Invited};

use chrono::TimeDelta;
use serde_json::json;
use shared::contract::limits::{INVITATIONS, INVITE_LINK_SECS};
use shared::contract::permissions::ROLES;
use shared::identifiers::Identifier;

use super::registration::{Standing, standing};
use super::{AccountError, letters};
use crate::audit::{self, Action, Actor, Who};
use crate::branches;
use crate::control::Control;
use crate::crypt::personal::Personal;
use crate::db::{Scope, TenantTx};
use crate::failure::Failure;
use crate::links::{self, Holder, LinkKind};
use crate::mail::Recipient;
use crate::requests::{self, Request, RequestId, RequestKind};
use crate::tenants::InvitedAdmin;
use crate::users::{self, Faults, UserError};

/// Stores an invitation, without looking up whether a user has the address. The roles must be below the actor's rank.
///
/// # Errors
/// [`UserError::Fields`] and [`UserError::Rank`]; [`AccountError::Full`]; errors of the database.
pub async fn put(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    invited: Invited,
) -> Result<Invitation, AccountError> {
    let now = control.clock.now();
    let mut faults = Faults::default();
    let address = users::check_address(&invited.email, &mut faults);
    let place = users::choose_branch(tx, invited.branch).await?;
    users::may_give(tx, actor, (&invited.roles, place.as_ref()), &mut faults).await?;
    users::still_stands(control, tx, actor).await?;
    let Some(address) = address.filter(|_| faults.is_empty()) else {
        return Err(UserError::Fields(faults).into());
    };
    if requests::count(tx, RequestKind::Invitation, INVITATIONS).await? >= INVITATIONS {
        return Err(AccountError::Full);
    }
    let by = match actor.who {
        Who::User { id, .. } => By::User(id),
        Who::Platform { .. } | Who::Operator | Who::Control => By::Platform,
    };
    let lives = TimeDelta::seconds(INVITE_LINK_SECS);
    let offer = offer::Offer { invited, by, answered: false };
    let id = requests::put(tx, RequestKind::Invitation, None, &offer, now, lives).await?;
    requests::mark(tx, id, &address).await?;
    let mut details = json!({ "roles": offer.invited.roles });
    if let Some(branch) = offer.invited.branch {
        details["branch"] = json!(branch);
    }
    audit::record(tx, actor, now, Action::InvitationCreated, Some(id.to_string()), details);
    count("created");
    Ok(Invitation { id, offer, created_at: now, expires_at: now + lives })
}

/// Invites the first administrator of a new tenant.
///
/// # Errors
/// See [`AccountError`].
pub async fn put_first(
    control: &Control,
    tx: &mut TenantTx,
    admin: InvitedAdmin,
) -> Result<Invitation, AccountError> {
    let roles = vec![ROLES[0].name.to_owned()];
    let (email, username) = (admin.email, admin.username);
    let invited = Invited { email, username, roles, branch: None, language: String::new() };
    put(control, tx, &Actor::control(), invited).await
}

/// Mails an invitation, once. If a user has the address, that user gets a mail that says so instead.
///
/// # Errors
/// See [`AccountError`].
pub(super) async fn answer(control: &Control, tx: &mut TenantTx, id: RequestId) -> Result<(), AccountError> {
    let now = control.clock.now();
    let found = requests::find::<offer::Offer>(tx, RequestKind::Invitation, id, now).await?;
    let Some(offer) = found.map(|found| found.content).filter(|offer| !offer.answered) else {
        return Ok(());
    };
    let offer = offer::Offer { answered: true, ..offer };
    requests::replace(tx, id, &offer).await?;
    if let Standing::Known(user) = standing(tx, &offer.invited.email, None).await? {
        letters::already_registered(control, tx, &user).await?;
        return Ok(());
    }
    let by = match offer.by {
        By::Platform => String::new(),
        By::User(id) => match users::find(tx, id).await {
            Ok(user) => {
                let name = [&user.first_name, &user.last_name].map(Personal::expose).join(" ");
                name.trim().to_owned()
            }
            Err(UserError::NotFound) => String::new(),
            Err(other) => return Err(other.into()),
        },
    };
    let token = links::make(tx, LinkKind::Invite, Holder::Request(id), now).await?;
    let to = Recipient::address(&offer.invited.email, &offer.invited.language);
    let role = offer.invited.roles.first().cloned().unwrap_or_default();
    letters::invitation(control, tx, to, (by, role), token).await?;
    count("mailed");
    Ok(())
}

/// The invitations that are open, the newest first: those into branches within the scope of the transaction.
///
/// # Errors
/// Errors of the database.
pub async fn list(control: &Control, tx: &mut TenantTx) -> Result<Vec<Invitation>, AccountError> {
    let now = control.clock.now();
    let found = requests::all::<offer::Offer>(tx, RequestKind::Invitation, now, INVITATIONS).await?;
    let mut open: Vec<_> = found.into_iter().map(Invitation::from).collect();
    if *tx.scope() != Scope::Everyone {
        let branches: Vec<_> = open.iter().filter_map(|it| it.invited().branch).collect();
        let within = branches::store::within(tx, &branches).await?;
        open.retain(|it| it.invited().branch.is_some_and(|branch| within.contains(&branch)));
    }
    Ok(open)
}

/// The invitation of an id, within the scope of the transaction, locked.
///
/// # Errors
/// [`AccountError::NotFound`]; errors of the database.
pub async fn find(control: &Control, tx: &mut TenantTx, id: RequestId) -> Result<Invitation, AccountError> {
    let now = control.clock.now();
    let found = requests::find::<offer::Offer>(tx, RequestKind::Invitation, id, now).await?;
    let invitation = found.map(Invitation::from).ok_or(AccountError::NotFound)?;
    let is_within = *tx.scope() == Scope::Everyone
        || match invitation.invited().branch {
            None => false,
            Some(branch) => branches::store::find(tx, branch).await?.is_some(),
        };
    if is_within { Ok(invitation) } else { Err(AccountError::NotFound) }
}

/// Revokes an invitation whose roles are below the actor's rank: its link becomes invalid.
///
/// # Errors
/// [`AccountError::NotFound`], [`UserError::Rank`]; errors of the database.
pub async fn revoke(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: RequestId,
) -> Result<Invitation, AccountError> {
    let invitation = find(control, tx, id).await?;
    // A role that is gone keeps no invitation alive.
    let place = match invitation.offer.invited.branch {
        None => None,
        Some(branch) => branches::store::find(tx, branch).await?.map(|branch| branch.place),
    };
    users::may_take(tx, actor, (&invitation.offer.invited.roles, place.as_ref())).await?;
    requests::remove(tx, id).await?;
    let (now, target) = (control.clock.now(), Some(id.to_string()));
    audit::record(tx, actor, now, Action::InvitationRevoked, target, json!({}));
    count("revoked");
    Ok(invitation)
}

fn count(outcome: &'static str) {
    metrics::counter!("wardgate_invitations_total", "outcome" => outcome).increment(1);
}

fn canonical(email: &str) -> Result<Identifier, Failure> {
    Identifier::parse(email).map_err(|_| Failure::Unreadable("invitation"))
}

impl From<Request<offer::Offer>> for Invitation {
    fn from(request: Request<offer::Offer>) -> Self {
        let Request { id, content: offer, created_at, expires_at, .. } = request;
        Self { id, offer, created_at, expires_at }
    }
}
