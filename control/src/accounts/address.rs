//! Change of a user's email address: the new one replaces the former one when it was verified, and for seven days the
//! owner of the former address can take that back.
//!
//! Taking a change back means that an attacker requested it, who knew the password. So the password is deleted, the
//! sessions end, and a link that sets a new password is mailed to the former address. Later changes are cancelled,
//! too. An address that was never verified gets no such link, because it may be another person's.
//!
//! The first notice has the link to take the change back, so it is always sent. The second one, after the new address
//! was verified, follows the tenant's setting `notices`.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::contract::limits::{ADDRESS_CHANGES, ADDRESS_LINK_SECS, UNDO_LINK_SECS};
use shared::identifiers::Identifier;
use shared::ids::UserId;
use shared::tenant::notices::Notice;
use shared::user::UserStatus;

use super::registration::{Standing, standing};
use super::{AccountError, Call, letters};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::links::{self, Holder, LinkKind};
use crate::mail::MailKind;
use crate::notices;
use crate::requests::{self, Request, RequestId, RequestKind};
use crate::users::{self, User};

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    /// Asked for.
    Asked,
    /// The new address has a link, and the former one knows.
    Mailed,
    /// The user asked for another one. It can be taken back still, with what came after it.
    Superseded,
    /// The new address is the user's.
    Done,
}

/// A change. No `Debug`.
#[derive(Serialize, Deserialize)]
struct Change {
    /// The address that the user wants.
    new: String,
    /// The one that they had and had proven.
    old: Option<String>,
    stage: Stage,
    /// The client's address when it was asked for.
    client: Option<String>,
    /// When the change was asked for that this row can take back.
    began: DateTime<Utc>,
}

fn lives() -> TimeDelta {
    TimeDelta::seconds(ADDRESS_LINK_SECS + UNDO_LINK_SECS)
}

async fn changes(
    tx: &mut TenantTx,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Request<Change>>, Failure> {
    requests::of_user(tx, RequestKind::Address, user, now).await
}

/// Stores a user's request for another address, replacing an earlier one. It is not looked up whether a user has the
/// address.
///
/// # Errors
/// [`AccountError::TooMany`]; errors of the database.
pub async fn put(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: UserId,
    email: &str,
) -> Result<RequestId, AccountError> {
    let now = control.clock.now();
    users::lock(tx, user).await?;
    let before = changes(tx, user, now).await?;
    if before.len() >= ADDRESS_CHANGES {
        return Err(AccountError::TooMany);
    }
    for Request { id, content, .. } in before {
        if matches!(content.stage, Stage::Asked | Stage::Mailed) {
            links::revoke(tx, LinkKind::Address, Holder::Request(id)).await?;
            requests::replace(tx, id, &Change { stage: Stage::Superseded, ..content }).await?;
        }
    }
    let client = actor.client.clone();
    let change = Change { new: email.to_owned(), old: None, stage: Stage::Asked, client, began: now };
    let id = requests::put(tx, RequestKind::Address, Some(user), &change, now, lives()).await?;
    audit::record(tx, actor, now, Action::EmailChangeAsked, Some(user.to_string()), json!({}));
    Ok(id)
}

/// Answers the request for another address, once:
/// 1. the user's own address: a link that verifies it, if it is not verified;
/// 2. another user's: that user gets a mail, and nothing else happens;
/// 3. else a link to the new address, and a notice with a link to the former one, if that was verified.
///
/// # Errors
/// See [`AccountError`].
pub(super) async fn answer(control: &Control, tx: &mut TenantTx, id: RequestId) -> Result<(), AccountError> {
    let now = control.clock.now();
    let found = requests::find::<Change>(tx, RequestKind::Address, id, now).await?;
    let Some(Request { user: Some(user), content: change, .. }) = found else { return Ok(()) };
    if change.stage != Stage::Asked {
        return Ok(());
    }
    let user = users::lock(tx, user).await?;
    let address = canonical(&change.new)?;
    if users::has_address(&user, &address) {
        requests::remove(tx, id).await?;
        if !user.email_verified {
            let token = links::make(tx, LinkKind::Verify, Holder::User(user.id), now).await?;
            let to = crate::mail::Recipient::user_at(&user, &change.new);
            letters::verify(control, tx, to, token).await?;
        }
        return Ok(());
    }
    match standing(tx, &change.new, None).await? {
        Standing::Known(holder) => {
            requests::remove(tx, id).await?;
            letters::already_registered(control, tx, &holder).await?;
            return Ok(());
        }
        // The address is another user's user name: no mail goes to it.
        Standing::NameTaken => {
            requests::remove(tx, id).await?;
            return Ok(());
        }
        Standing::Claimed | Standing::Free => {}
    }
    let token = links::make(tx, LinkKind::Address, Holder::Request(id), now).await?;
    if !letters::confirm_new_address(control, tx, (&user, &change.new), token).await? {
        requests::remove(tx, id).await?;
        return Ok(());
    }
    let old = user.email.as_ref().filter(|_| user.email_verified).map(|email| email.expose().to_owned());
    let change = Change { old, stage: Stage::Mailed, ..change };
    requests::replace(tx, id, &change).await?;
    notify(control, tx, MailKind::AddressChanging, &user, id, &change).await
}

/// Sends the notice to the former address, with the link that takes the change back.
async fn notify(
    control: &Control,
    tx: &mut TenantTx,
    kind: MailKind,
    user: &User,
    id: RequestId,
    change: &Change,
) -> Result<(), AccountError> {
    let Some(old) = &change.old else { return Ok(()) };
    let token = links::make(tx, LinkKind::Undo, Holder::Request(id), control.clock.now()).await?;
    letters::address_moves(control, tx, kind, (user, old), token, change.client.clone()).await?;
    Ok(())
}

/// Uses the link that verifies a new address: sets it, and sends a notice to the former one, if the tenant has turned
/// the notice on.
///
/// # Errors
/// [`AccountError::Link`]; an address that is another user's by now.
pub async fn confirm(
    control: &Control,
    tx: &mut TenantTx,
    call: &Call,
    unverified_token: &str,
) -> Result<(), AccountError> {
    let now = control.clock.now();
    let (id, user, change) = taken(control, tx, LinkKind::Address, unverified_token).await?;
    let user = users::lock(tx, user).await?;
    if change.stage != Stage::Mailed || user.status != UserStatus::Active {
        return Err(AccountError::Link);
    }
    let address = canonical(&change.new)?;
    users::release_address(control, tx, &call.control(), &address, Some(user.id)).await?;
    users::readdress(control, tx, &user, &change.new).await?;
    forget_links(tx, user.id).await?;
    let change = Change { stage: Stage::Done, ..change };
    requests::replace(tx, id, &change).await?;
    let target = Some(user.id.to_string());
    audit::record(tx, &call.of(&user), now, Action::EmailChanged, target, json!({}));
    metrics::counter!("wardgate_address_changes_total", "outcome" => "done").increment(1);
    if change.old.is_some() && notices::is_on(tx, Notice::AddressChanged).await? {
        // A row of its own, so that the link of the first notice stays good, too.
        let lives = TimeDelta::seconds(UNDO_LINK_SECS);
        let again = requests::put(tx, RequestKind::Address, Some(user.id), &change, now, lives).await?;
        notify(control, tx, MailKind::AddressChanged, &user, again, &change).await?;
    }
    Ok(())
}

/// Uses the link that keeps a former address, or takes it back:
/// 1. the address is the user's again, and proven;
/// 2. the password is gone, every session ends;
/// 3. this change and later ones die, and what links were mailed meanwhile;
/// 4. a link that sets another password is mailed to the address.
///
/// # Errors
/// [`AccountError::Link`]; an address that is another user's by now.
pub async fn undo(
    control: &Control,
    tx: &mut TenantTx,
    call: &Call,
    unverified_token: &str,
) -> Result<(), AccountError> {
    let now = control.clock.now();
    let (_, user, change) = taken(control, tx, LinkKind::Undo, unverified_token).await?;
    let user = users::lock(tx, user).await?;
    let old = change.old.ok_or(AccountError::Link)?;
    users::release_address(control, tx, &call.control(), &canonical(&old)?, Some(user.id)).await?;
    let user = users::give_back(control, tx, &user, &old).await?;
    for later in changes(tx, user.id, now).await? {
        if later.content.began >= change.began {
            requests::remove(tx, later.id).await?;
        }
    }
    forget_links(tx, user.id).await?;
    let target = Some(user.id.to_string());
    audit::record(tx, &call.of(&user), now, Action::EmailChangeUndone, target, json!({}));
    metrics::counter!("wardgate_address_changes_total", "outcome" => "undone").increment(1);
    let token = links::make(tx, LinkKind::Reset, Holder::User(user.id), now).await?;
    letters::reset(control, tx, (&user, &old), token).await?;
    Ok(())
}

/// The change that a link is of, which is used up.
async fn taken(
    control: &Control,
    tx: &mut TenantTx,
    kind: LinkKind,
    unverified_token: &str,
) -> Result<(RequestId, UserId, Change), AccountError> {
    let now = control.clock.now();
    let Some(Holder::Request(id)) = links::take(tx, kind, unverified_token, now).await? else {
        return Err(AccountError::Link);
    };
    let found = requests::find::<Change>(tx, RequestKind::Address, id, now).await?;
    let found = found.ok_or(AccountError::Link)?;
    let user = found.user.ok_or(AccountError::Link)?;
    Ok((id, user, found.content))
}

/// Ends the links that were mailed to an address that a user does not have any more.
async fn forget_links(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    for kind in [LinkKind::Verify, LinkKind::Reset] {
        links::revoke(tx, kind, Holder::User(user)).await?;
    }
    Ok(())
}

fn canonical(email: &str) -> Result<Identifier, Failure> {
    Identifier::parse(email).map_err(|_| Failure::Unreadable("address"))
}
