//! Changing, deleting, and signing out a user.

use shared::contract::permissions::ROOT_RANK;
use shared::ids::UserId;
use shared::passwords::Verifier;
use shared::tenant::settings::Settings;
use shared::user::UserStatus;

use super::create::tenant_of;
use super::epochs::{Causes, Epochs};
use super::fields::{Faults, Profile, checked_password};
use super::model::{Change, User, UserError};
use super::store::Changed;
use super::{branch, identifiers, password_history, ranks, store, unseen};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::personal::Personal;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::legacy::service::{foreign_hashes_removed, hold_foreign_left};
use crate::passwords::Policy;
use crate::{links, notices};

/// Checks what can be checked of a change before its password is hashed: the user exists, and the actor outranks
/// them and every role granted or taken. [`change`] checks it again.
///
/// # Errors
/// [`UserError::NotFound`], [`UserError::Rank`], or errors of the database.
pub async fn may_change(
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
    wanted: &Change,
) -> Result<(), UserError> {
    let user = store::find(tx, id).await?;
    outrank(actor, &user)?;
    may_take_over(actor, &user, wanted)?;
    if let Some(roles) = &wanted.roles {
        let roles = (&user.roles[..], &roles[..]);
        ranks::moves(tx, actor, user.place.as_ref(), roles, &mut Faults::default()).await?;
    }
    Ok(())
}

/// Changes a user:
/// 1. the actor must outrank the user (and, below, every role granted or taken); to set a password or another address, or
///    to make the user active again, the actor must have each permission of the user;
/// 2. a field that is sent in its masked form stays; fields and password are checked, and all faults are reported at
///    once;
/// 3. if an active root-admin stops being one, another must stay;
/// 4. another branch must be one within the actor's reach, and the actor must be allowed to take the roles of the branches
///    that the user leaves, and to grant those of the branches that the user enters;
/// 5. row, identifiers, roles and epochs are written, noted for the edge, and audited;
/// 6. with a new password or address, links that could still change the account become invalid, and the owner gets a
///    notice.
///
/// # Errors
/// See [`UserError`].
pub async fn change(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
    wanted: Change,
) -> Result<User, UserError> {
    let tenant = tenant_of(tx).await?;
    let before = store::lock(tx, id).await?;
    // A password was hashed since the request began.
    ranks::still_stands(control, tx, actor).await?;
    outrank(actor, &before)?;
    may_take_over(actor, &before, &wanted)?;
    let mut faults = Faults::default();
    let wanted = unseen::without_masks(wanted, &before, &mut faults);
    let profile = profile_after(&before, &wanted);
    let canonical = profile.check(&mut faults);
    let remembered = tenant.settings.password_history;
    let verifier = new_verifier(control, &tenant.settings, (&before, &wanted, &profile), &mut faults)?;
    let status = wanted.status.unwrap_or(before.status);
    let branch = wanted.branch.unwrap_or_else(|| before.branch());
    let role_names = wanted.roles.clone().unwrap_or_else(|| before.roles.clone());
    let must_change_password = wanted.must_change_password.unwrap_or(before.must_change_password);
    let causes = Causes {
        status: (status != before.status).then_some((before.status, status)),
        roles: differ(&role_names, &before.roles),
        password: verifier.is_some(),
        must_change_password: must_change_password && !before.must_change_password,
        sessions: false,
        second_factor: false,
    };
    let stays_root = status == UserStatus::Active && role_names.iter().any(|role| role == "root-admin");
    if is_active_root(&before) && !stays_root {
        ranks::keep_one_root_admin(tx, id).await?;
    }
    if let Some(canonical) = &canonical {
        identifiers::assign(tx, id, canonical, &mut faults).await?;
    }
    if causes.password {
        hold_foreign_left(tx).await?;
    }
    branch::change(tx, actor, (before.place.as_ref(), branch)).await?;
    let (whom, moved) = ((id, before.place.as_ref()), (&before.roles[..], &role_names[..]));
    ranks::assign(tx, actor, whom, moved, &mut faults).await?;
    if !faults.is_empty() {
        return Err(UserError::Fields(faults));
    }
    let at = control.clock.now();
    let email_verified = wanted.email_verified.unwrap_or(before.email_verified);
    let epochs = epochs_of(&before).after(causes);
    let changed = Changed {
        profile: &profile,
        status,
        branch,
        email_verified,
        epochs,
        must_change_password,
        verifier,
        at,
    };
    if causes.password {
        password_history::keep(tx, id, before.password_epoch, remembered).await?;
    }
    store::update(tx, id, changed).await?;
    if causes.password {
        foreign_hashes_removed(tx).await?;
    }
    inform_edge(tx, id, causes, must_change_password != before.must_change_password);
    record(control, tx, actor, id, &before, &wanted, causes).await?;
    let readdressed = profile.email.as_deref() != before.email.as_ref().map(Personal::expose);
    end_links_and_tell(control, tx, &before, (readdressed, causes.password), wanted.untold).await?;
    store::find(tx, id).await
}

/// The verifier of the new password, if there is one and it is acceptable.
fn new_verifier<'a>(
    control: &Control,
    settings: &Settings,
    (before, wanted, profile): (&User, &'a Change, &Profile),
    faults: &mut Faults,
) -> Result<Option<&'a Verifier>, UserError> {
    let Some(successor) = &wanted.password else { return Ok(None) };
    let policy = Policy::of(control, settings)?;
    let names = unseen::names_to_compare(profile, wanted, before);
    let checked = successor.check(&policy, &names, before.password_epoch, settings.password_history)?;
    Ok(checked_password(checked, faults))
}

/// Notes the user for the edge, if the change concerns it.
fn inform_edge(tx: &mut TenantTx, id: UserId, causes: Causes, must_change_password_differs: bool) {
    let tenant = tx.tenant();
    if causes.revokes() {
        tx.changes().user(tenant, id, Priority::Revokes);
    } else if must_change_password_differs {
        // The requirement was lifted, which ends no session.
        tx.changes().user(tenant, id, Priority::InTurn);
    }
}

/// After a new address or password: makes links that could still change the account invalid, and sends the owner a
/// notice, unless they made the change.
async fn end_links_and_tell(
    control: &Control,
    tx: &mut TenantTx,
    before: &User,
    (readdressed, password): (bool, bool),
    untold: bool,
) -> Result<(), UserError> {
    if readdressed || password {
        links::end_of_user(tx, before.id).await?;
    }
    if readdressed && !untold {
        notices::address_changed(control, tx, before).await?;
    }
    if password && !untold {
        notices::password_changed(control, tx, before).await?;
    }
    Ok(())
}

/// Deletes a user; their sessions end and their names are free again.
///
/// # Errors
/// See [`UserError`].
pub async fn delete(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
) -> Result<(), UserError> {
    let before = store::lock(tx, id).await?;
    ranks::still_stands(control, tx, actor).await?;
    outrank(actor, &before)?;
    if is_active_root(&before) {
        ranks::keep_one_root_admin(tx, id).await?;
    }
    let tenant = tx.tenant();
    for hash in store::delete(tx, id).await? {
        tx.changes().identifier_gone(tenant, &hash);
    }
    tx.changes().user_gone(tenant, id);
    foreign_hashes_removed(tx).await?;
    let target = Some(id.to_string());
    audit::record(tx, actor, control.clock.now(), Action::UserDeleted, target, serde_json::json!({}));
    Ok(())
}

/// Ends all sessions of a user, and the access tokens born of them.
///
/// # Errors
/// See [`UserError`].
pub async fn end_sessions(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
) -> Result<(), UserError> {
    let before = store::lock(tx, id).await?;
    ranks::still_stands(control, tx, actor).await?;
    if !actor.is(id) {
        outrank(actor, &before)?;
    }
    let profile = profile_after(&before, &Change::default());
    let at = control.clock.now();
    let epochs = epochs_of(&before).after(Causes { sessions: true, ..Causes::default() });
    let changed = Changed {
        profile: &profile,
        status: before.status,
        branch: before.branch(),
        email_verified: before.email_verified,
        epochs,
        must_change_password: before.must_change_password,
        verifier: None,
        at,
    };
    store::update(tx, id, changed).await?;
    let tenant = tx.tenant();
    tx.changes().user(tenant, id, Priority::Revokes);
    let target = Some(id.to_string());
    audit::record(tx, actor, at, Action::SessionsEnded, target, serde_json::json!({}));
    Ok(())
}

/// Whether the actor may act on a user of this rank.
///
/// # Errors
/// [`UserError::Rank`].
pub fn outrank(actor: &Actor, user: &User) -> Result<(), UserError> {
    if actor.outranks(user.rank, user.place.as_ref()) { Ok(()) } else { Err(UserError::Rank) }
}

/// Whether the actor may make this change of the user. With a password that the actor set, now or before the user was
/// suspended, or at an address that links are mailed to, an actor could sign in as the user: so the actor must have all
/// that the user may do.
fn may_take_over(actor: &Actor, user: &User, wanted: &Change) -> Result<(), UserError> {
    let readdresses = wanted.email.as_ref().is_some_and(|email| !unseen::is_shown_email(wanted, user, email));
    let proves = wanted.email_verified == Some(true) && !user.email_verified;
    let activates = wanted.status == Some(UserStatus::Active) && user.status != UserStatus::Active;
    let takes_over = wanted.password.is_some() || readdresses || proves || activates;
    if takes_over { may_be(actor, user) } else { Ok(()) }
}

/// Whether the actor has every permission of the user.
///
/// # Errors
/// [`UserError::Rank`].
pub fn may_be(actor: &Actor, user: &User) -> Result<(), UserError> {
    if actor.may_give(&user.grants) { Ok(()) } else { Err(UserError::Rank) }
}

fn is_active_root(user: &User) -> bool {
    user.status == UserStatus::Active && user.rank == ROOT_RANK
}

/// The epochs of a user.
#[must_use]
pub fn epochs_of(user: &User) -> Epochs {
    Epochs { access: user.access_epoch, session: user.session_epoch, password: user.password_epoch }
}

fn differ(a: &[String], b: &[String]) -> bool {
    a.iter().any(|role| !b.contains(role)) || b.iter().any(|role| !a.contains(role))
}

pub(super) fn profile_after(before: &User, wanted: &Change) -> Profile {
    let text =
        |wanted: &Option<String>, had: &Personal| wanted.clone().unwrap_or_else(|| had.expose().to_owned());
    Profile {
        username: text(&wanted.username, &before.username),
        email: match &wanted.email {
            Some(email) => email.clone(),
            None => before.email.as_ref().map(|email| email.expose().to_owned()),
        },
        first_name: text(&wanted.first_name, &before.first_name),
        last_name: text(&wanted.last_name, &before.last_name),
        phone: text(&wanted.phone, &before.phone),
        language: wanted.language.clone().unwrap_or_else(|| before.language.clone()),
    }
}

/// One entry for each kind of change; names of fields, never their values.
async fn record(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
    before: &User,
    wanted: &Change,
    causes: Causes,
) -> Result<(), UserError> {
    let now = control.clock.now();
    let target = || Some(id.to_string());
    let edited: Vec<&str> = [
        ("username", wanted.username.is_some()),
        ("email", wanted.email.is_some()),
        ("first_name", wanted.first_name.is_some()),
        ("last_name", wanted.last_name.is_some()),
        ("phone", wanted.phone.is_some()),
        ("language", wanted.language.as_ref().is_some_and(|tag| *tag != before.language)),
        ("email_verified", wanted.email_verified.is_some()),
        (
            "must_change_password",
            wanted.must_change_password.is_some_and(|must| must != before.must_change_password),
        ),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    if !edited.is_empty() {
        let details = serde_json::json!({ "fields": edited });
        audit::record(tx, actor, now, Action::UserEdited, target(), details);
    }
    if let Some((from, to)) = causes.status {
        let details = serde_json::json!({ "from": from, "to": to });
        audit::record(tx, actor, now, Action::UserStatusChanged, target(), details);
    }
    if causes.roles {
        let details = serde_json::json!({ "from": before.roles, "to": wanted.roles });
        audit::record(tx, actor, now, Action::UserRolesChanged, target(), details);
    }
    if let Some(to) = wanted.branch.filter(|to| *to != before.branch()) {
        let details = serde_json::json!({ "from": before.branch(), "to": to });
        audit::record(tx, actor, now, Action::UserBranchChanged, target(), details);
    }
    if causes.password {
        audit::record(tx, actor, now, Action::UserPasswordSet, target(), serde_json::json!({}));
    }
    Ok(())
}
