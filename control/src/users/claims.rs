//! Accounts that people make for themselves, and addresses that they prove.
//!
//! An address has one owner: who reads its mail. An account that has an address which was never proven claims it, and
//! keeps it until its owner proves it for another account.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::identifiers::Identifier;
use shared::ids::UserId;
use shared::passwords::Verifier;

use super::create::insert;
use super::epochs::{Causes, Epochs};
use super::fields::{Faults, Profile};
use super::model::{NewUser, User, UserError};
use super::store::Changed;
use super::{identifiers, store};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::personal::Personal;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::legacy::service::foreign_hashes_removed;
use crate::links::{self, Holder, LinkKind};

/// Creates a user with a password that is already hashed, or without one; commits nothing, and writes no audit entry.
/// The roles must be below the rank of `authority`.
///
/// # Errors
/// See [`UserError`].
pub async fn join(
    control: &Control,
    tx: &mut TenantTx,
    authority: &Actor,
    new: NewUser,
    verifier: Option<&Verifier>,
) -> Result<User, UserError> {
    let mut faults = Faults::default();
    let canonical = new.profile.check(&mut faults);
    let id = insert(control, tx, authority, &new, canonical, verifier, &mut faults).await?;
    if faults.is_empty() { store::find(tx, id).await } else { Err(UserError::Fields(faults)) }
}

/// Whether this is the user's address, proven or not.
#[must_use]
pub fn has_address(user: &User, address: &Identifier) -> bool {
    let own = user.email.as_ref().and_then(|email| Identifier::parse(email.expose()).ok());
    own.as_ref() == Some(address)
}

/// Notes that the user's address is proven.
///
/// # Errors
/// Errors of the database.
pub async fn prove(tx: &mut TenantTx, id: UserId, now: DateTime<Utc>) -> Result<(), UserError> {
    store::set_verified(tx, id, now).await
}

/// Takes an address from the account that has it unverified, because its owner has verified it for another account.
/// The account also loses its password and its sessions: another person may have registered it.
///
/// # Errors
/// See [`UserError`].
pub async fn release_address(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    address: &Identifier,
    owner: Option<UserId>,
) -> Result<(), UserError> {
    let found = match store::find_by_name(tx, address.as_str()).await {
        Err(UserError::NotFound) => return Ok(()),
        found => found?,
    };
    if Some(found.id) == owner {
        return Ok(());
    }
    let user = match store::lock(tx, found.id).await {
        Err(UserError::NotFound) => return Ok(()),
        locked => locked?,
    };
    if user.email_verified || !has_address(&user, address) {
        return Ok(());
    }
    let profile = Profile { email: None, ..profile_of(&user) };
    let causes = Causes { password: true, sessions: true, ..Causes::default() };
    rewrite(control, tx, &user, &profile, false, causes).await?;
    for kind in LinkKind::ALL {
        links::revoke(tx, kind, Holder::User(user.id)).await?;
    }
    let target = Some(user.id.to_string());
    audit::record(tx, actor, control.clock.now(), Action::EmailDisowned, target, json!({}));
    metrics::counter!("wardgate_addresses_disowned_total").increment(1);
    Ok(())
}

/// Gives a user, whose row is locked, another, verified address.
///
/// # Errors
/// [`UserError::Fields`] for an address of another user.
pub async fn readdress(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    address: &str,
) -> Result<(), UserError> {
    let profile = Profile { email: Some(address.to_owned()), ..profile_of(user) };
    rewrite(control, tx, user, &profile, true, Causes::default()).await
}

/// Gives a user, whose row is locked, a former address back. The password is removed and every session ends, because
/// the attacker who changed the address knew the password.
///
/// # Errors
/// [`UserError::Fields`] for an address of another user.
pub async fn give_back(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    address: &str,
) -> Result<User, UserError> {
    let profile = Profile { email: Some(address.to_owned()), ..profile_of(user) };
    let causes = Causes { password: true, sessions: true, ..Causes::default() };
    rewrite(control, tx, user, &profile, true, causes).await?;
    store::find(tx, user.id).await
}

/// Writes the changed row of a user. With `causes.password` the password is removed.
async fn rewrite(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    profile: &Profile,
    email_verified: bool,
    causes: Causes,
) -> Result<(), UserError> {
    let mut faults = Faults::default();
    if let Some(canonical) = profile.check(&mut faults) {
        identifiers::assign(tx, user.id, &canonical, &mut faults).await?;
    }
    if !faults.is_empty() {
        return Err(UserError::Fields(faults));
    }
    let before =
        Epochs { access: user.access_epoch, session: user.session_epoch, password: user.password_epoch };
    let changed = Changed {
        branch: user.branch(),
        profile,
        status: user.status,
        email_verified,
        epochs: before.after(causes),
        must_change_password: user.must_change_password,
        verifier: None,
        at: control.clock.now(),
    };
    store::update(tx, user.id, changed).await?;
    if causes.password {
        store::forget_password(tx, user.id).await?;
        foreign_hashes_removed(tx).await?;
    }
    if causes.revokes() {
        let tenant = tx.tenant();
        tx.changes().user(tenant, user.id, Priority::Revokes);
    }
    Ok(())
}

fn profile_of(user: &User) -> Profile {
    let text = |text: &Personal| text.expose().to_owned();
    Profile {
        username: text(&user.username),
        email: user.email.as_ref().map(text),
        first_name: text(&user.first_name),
        last_name: text(&user.last_name),
        phone: text(&user.phone),
        language: user.language.clone(),
    }
}
