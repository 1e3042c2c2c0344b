//! Creating, editing, moving and deleting entries.
//!
//! Every change first locks the row of the user: so the places of a section have no gap and no entry twice, a section has
//! no entry too many, and `profile_completion` is computed from what will be there.

use serde_json::json;
use shared::contract::limits::PROFILE_ENTRIES;
use shared::ids::{ProfileEntryId, UserId};
use uuid::Uuid;

use super::input::{self, Draft, Given};
use super::model::{Content, Entry, ProfileError, Section};
use super::store;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::users::{self, User, completion};
use crate::world::{random, unix_ms};

/// Creates an entry:
/// 1. the profile is the actor's own, or of a user whom the actor outranks;
/// 2. all faults of its fields are reported at once;
/// 3. a section may have a number of entries.
///
/// # Errors
/// See [`ProfileError`].
pub async fn create(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    (user, section): (UserId, Section),
    given: Given,
) -> Result<Entry, ProfileError> {
    may_write(control, tx, actor, user).await?;
    let now = control.clock.now();
    let Draft { content, position } = input::read(section, given, None, now.date_naive())?;
    let mut order = store::order(tx, user, section).await?;
    if order.len() >= PROFILE_ENTRIES {
        return Err(ProfileError::Full);
    }
    let id = ProfileEntryId::new(unix_ms(now), random()?);
    let place = i32::try_from(order.len()).unwrap_or(i32::MAX);
    let entry = Entry { id, section, place, content, created_at: now, updated_at: now };
    store::insert(tx, user, &entry).await?;
    order.push(id.uuid());
    move_to(tx, order, id, position).await?;
    completion::refresh(tx, &[user.uuid()]).await?;
    let details = json!({ "section": section.as_str(), "entry": id });
    audit::record(tx, actor, now, Action::ProfileEntryAdded, Some(user.to_string()), details);
    store::find(tx, user, section, id).await
}

/// Changes fields of an entry, moves it, or both. Whose entry it may be is as in [`create`].
///
/// # Errors
/// See [`ProfileError`].
pub async fn edit(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    (user, section, id): (UserId, Section, ProfileEntryId),
    given: Given,
) -> Result<Entry, ProfileError> {
    may_write(control, tx, actor, user).await?;
    let now = control.clock.now();
    let before = store::find(tx, user, section, id).await?;
    let Draft { content, position } = input::read(section, given, Some(&before.content), now.date_naive())?;
    let edited = differences(section, &before.content, &content);
    if !edited.is_empty() {
        store::update(tx, user, &Entry { content, updated_at: now, ..before.clone() }).await?;
    }
    let order = store::order(tx, user, section).await?;
    move_to(tx, order, id, position).await?;
    let after = store::find(tx, user, section, id).await?;
    let moved = after.place != before.place;
    if moved || !edited.is_empty() {
        let mut details = json!({ "section": section.as_str(), "entry": id, "fields": edited });
        if moved {
            details["position"] = after.place.into();
        }
        audit::record(tx, actor, now, Action::ProfileEntryEdited, Some(user.to_string()), details);
    }
    Ok(after)
}

/// Deletes an entry; those behind it move up. Whose entry it may be is as in [`create`].
///
/// # Errors
/// See [`ProfileError`].
pub async fn delete(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    (user, section, id): (UserId, Section, ProfileEntryId),
) -> Result<(), ProfileError> {
    may_write(control, tx, actor, user).await?;
    store::find(tx, user, section, id).await?;
    store::delete(tx, user, id).await?;
    let order = store::order(tx, user, section).await?;
    store::arrange(tx, &order).await?;
    completion::refresh(tx, &[user.uuid()]).await?;
    let details = json!({ "section": section.as_str(), "entry": id });
    let target = Some(user.to_string());
    audit::record(tx, actor, control.clock.now(), Action::ProfileEntryDeleted, target, details);
    Ok(())
}

/// Locks the row of a user whose profile the actor may change: the actor's own, or one that the actor outranks.
///
/// # Errors
/// [`UserError::NotFound`](users::UserError::NotFound), [`UserError::Rank`](users::UserError::Rank), or errors of the
/// database.
pub async fn may_write(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
) -> Result<User, ProfileError> {
    let user = users::lock(tx, id).await?;
    users::still_stands(control, tx, actor).await?;
    if !actor.is(id) {
        users::outrank(actor, &user)?;
    }
    Ok(user)
}

/// Moves an entry of this order to a position: the last one, if that is beyond it.
async fn move_to(
    tx: &mut TenantTx,
    mut order: Vec<Uuid>,
    id: ProfileEntryId,
    position: Option<usize>,
) -> Result<(), ProfileError> {
    let Some(position) = position else { return Ok(()) };
    order.retain(|entry| *entry != id.uuid());
    order.insert(position.min(order.len()), id.uuid());
    Ok(store::arrange(tx, &order).await?)
}

/// The names of the fields that differ.
fn differences(section: Section, before: &Content, after: &Content) -> Vec<&'static str> {
    section.field_names().filter(|name| before.0.get(*name) != after.0.get(*name)).collect()
}
