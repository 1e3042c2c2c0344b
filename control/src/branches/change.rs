//! Creating, renaming, moving, archiving and deleting branches.
//!
//! Every change first locks the tenant's row, as a change of roles does: so two moves at once cannot put each branch below
//! the other, and the limits of number and depth hold.

use serde_json::{Value, json};
use shared::contract::limits::{BRANCH_DEPTH, BRANCH_NAME_CHARS, BRANCHES};
use uuid::Uuid;

use super::grants::Place;
use super::model::{Branch, BranchChange, BranchError, NewBranch};
use super::store::{self, Uses};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::tenants;
use crate::users::{self, Faults};
use crate::world::{random, unix_ms};

const TAKEN: &str = "A branch with that name already exists here.";

/// Creates a branch:
/// 1. all faults of its fields are reported at once; a name that a branch below the same parent has is one;
/// 2. the tree has a limit of branches and of depth.
///
/// # Errors
/// See [`BranchError`].
pub async fn create(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    new: NewBranch,
) -> Result<Branch, BranchError> {
    begin(control, tx, actor).await?;
    let now = control.clock.now();
    let id = uuid::Builder::from_unix_timestamp_millis(unix_ms(now), &random()?).into_uuid();
    let mut faults = Faults::default();
    let name = checked_name(&new.name, &mut faults);
    let place = place_below(tx, new.parent, id, 0, &mut faults).await?;
    let Some(place) = place.filter(|_| faults.is_empty()) else {
        return Err(BranchError::Fields(faults));
    };
    if store::count(tx).await? >= BRANCHES {
        return Err(BranchError::Full);
    }
    let parent = new.parent;
    let branch = Branch { id, name, parent, place, archived_at: None, created_at: now, updated_at: now };
    if !store::insert(tx, &branch).await? {
        faults.add("name", TAKEN);
        return Err(BranchError::Fields(faults));
    }
    let details = json!({ "name": branch.name, "parent": parent });
    audit::record(tx, actor, now, Action::BranchCreated, Some(id.to_string()), details);
    Ok(branch)
}

/// The branch of an id, locked. The tenant's row is locked first.
///
/// # Errors
/// [`BranchError::NotFound`], or errors of the database.
pub async fn lock(tx: &mut TenantTx, id: Uuid) -> Result<Branch, BranchError> {
    let tenant = tx.tenant();
    tenants::lock(tx, tenant).await?;
    store::lock(tx, id).await?.ok_or(BranchError::NotFound)
}

/// Renames, moves, archives a branch or takes it out of the archive:
/// 1. with a move, the branches below it move, too; it cannot be moved below itself or too deep;
/// 2. with a move, roles of branches lose or get their permissions over its users: the actor must be allowed to take and to
///    grant these roles;
/// 3. this is so from the next request on, and roles of the branches that it left have no power over its users any more.
///
/// # Errors
/// See [`BranchError`].
pub async fn edit(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: Uuid,
    wanted: BranchChange,
) -> Result<Branch, BranchError> {
    begin(control, tx, actor).await?;
    let before = store::lock(tx, id).await?.ok_or(BranchError::NotFound)?;
    let mut after = before.clone();
    let now = control.clock.now();
    let mut faults = Faults::default();
    if let Some(name) = &wanted.name {
        after.name = checked_name(name, &mut faults);
    }
    match wanted.archived {
        Some(true) => after.archived_at = before.archived_at.or(Some(now)),
        Some(false) => after.archived_at = None,
        None => {}
    }
    if let Some(parent) = wanted.parent.filter(|parent| *parent != before.parent) {
        let levels = store::levels_below(tx, &before).await?;
        after.parent = parent;
        if let Some(place) = place_below(tx, parent, id, levels, &mut faults).await? {
            let lost = store::reach(tx, &before.place.without(Some(&place))).await?;
            let won = store::reach(tx, &place.without(Some(&before.place))).await?;
            if !actor.may_move(Some(&before.place), lost, won) {
                return Err(BranchError::Rank);
            }
            after.place = place;
        }
    }
    if faults.is_empty() && store::is_taken(tx, id, after.parent, &after.name).await? {
        faults.add("name", TAKEN);
    }
    if !faults.is_empty() {
        return Err(BranchError::Fields(faults));
    }
    let details = differences(&before, &after);
    if details.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(before);
    }
    after.updated_at = now;
    store::update(tx, &after).await?;
    audit::record(tx, actor, now, Action::BranchEdited, Some(id.to_string()), details);
    Ok(after)
}

/// Deletes a branch without users, without branches below it, and that no role names.
///
/// # Errors
/// See [`BranchError`].
pub async fn delete(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: Uuid,
) -> Result<(), BranchError> {
    begin(control, tx, actor).await?;
    // With its row locked, a user who is put into it at the same time waits, and then finds it gone.
    let branch = store::lock(tx, id).await?.ok_or(BranchError::NotFound)?;
    let Uses { users, branches, roles } = store::uses(tx, id).await?;
    if users > 0 || branches > 0 || !roles.is_empty() {
        return Err(BranchError::InUse { users, branches, roles });
    }
    store::delete(tx, id).await?;
    let details = json!({ "name": branch.name, "parent": branch.parent });
    audit::record(tx, actor, control.clock.now(), Action::BranchDeleted, Some(id.to_string()), details);
    Ok(())
}

/// Locks the tenant, and checks that the actor still has the rank and the permissions of the request's beginning.
async fn begin(control: &Control, tx: &mut TenantTx, actor: &Actor) -> Result<(), BranchError> {
    let id = tx.tenant();
    tenants::lock(tx, id).await?;
    users::still_stands(control, tx, actor).await?;
    Ok(())
}

fn checked_name(name: &str, faults: &mut Faults) -> String {
    let name = name.trim();
    if name.is_empty() {
        faults.add("name", "This field may not be blank.");
    } else if name.chars().count() > BRANCH_NAME_CHARS {
        faults.add("name", format!("Ensure this field has no more than {BRANCH_NAME_CHARS} characters."));
    } else if name.chars().any(char::is_control) {
        faults.add("name", "Control characters are not allowed.");
    } else if name.contains('/') {
        faults.add("name", "A slash is not allowed: it separates the names of a path.");
    }
    name.to_owned()
}

/// The place of the branch `id` directly below `parent`, if it and the `levels` below it fit there.
async fn place_below(
    tx: &mut TenantTx,
    parent: Option<Uuid>,
    id: Uuid,
    levels: usize,
    faults: &mut Faults,
) -> Result<Option<Place>, BranchError> {
    let mut path = match parent {
        None => Vec::new(),
        Some(parent) => match store::find(tx, parent).await? {
            Some(parent) => parent.place.0,
            None => {
                faults.add("parent", format!("Invalid pk \"{parent}\" - object does not exist."));
                return Ok(None);
            }
        },
    };
    if path.contains(&id) {
        faults.add("parent", "A branch cannot be moved below itself.");
        return Ok(None);
    }
    path.push(id);
    if path.len() + levels > BRANCH_DEPTH {
        faults.add("parent", format!("The tree has at most {BRANCH_DEPTH} levels."));
        return Ok(None);
    }
    Ok(Some(Place::new(path)))
}

/// The changed fields for the audit log, with both values.
fn differences(before: &Branch, after: &Branch) -> Value {
    let mut details = json!({});
    if before.name != after.name {
        details["name"] = json!({ "from": before.name, "to": after.name });
    }
    if before.parent != after.parent {
        details["parent"] = json!({ "from": before.parent, "to": after.parent });
    }
    let archived = |branch: &Branch| branch.archived_at.is_some();
    if archived(before) != archived(after) {
        details["archived"] = json!({ "from": archived(before), "to": archived(after) });
    }
    details
}
