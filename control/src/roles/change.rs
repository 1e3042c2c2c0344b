//! Creating, editing and deleting custom roles.
//!
//! Every change first locks the tenant's row, as an edit of its settings does: so a setting never names a role that is
//! gone, and two requests cannot both create the last role that the limit allows.

use serde_json::{Value, json};
use shared::contract::limits::{CUSTOM_ROLES, ROLE_DESCRIPTION_CHARS, ROLE_NAME_CHARS, ROLE_TITLE_CHARS};
use shared::contract::permissions::{Permissions, ROOT_RANK};
use shared::tenant::settings::Settings;
use shared::tenant::visibility::ANY_ROLE;
use uuid::Uuid;

use super::model::{NewRole, Role, RoleChange, RoleError, exists_in_branches, permission_exists};
use super::store;
use crate::audit::{self, Action, Actor};
use crate::branches::{self, BranchRole, Grants, Place};
use crate::control::Control;
use crate::db::TenantTx;
use crate::tenants::{self, Tenant, named_roles};
use crate::users::{self, Faults};

/// Creates a custom role:
/// 1. the actor must outrank it and have each of its permissions;
/// 2. all faults of its fields are reported at once; a taken name is one;
/// 3. the tenant may have a number of custom roles;
/// 4. where the tenant demands a second factor of some roles, it does of a new one with permissions, too.
///
/// # Errors
/// See [`RoleError`].
pub async fn create(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    new: NewRole,
) -> Result<Role, RoleError> {
    let tenant = begin(control, tx, actor).await?;
    let mut faults = Faults::default();
    check_name(&new.name, &mut faults);
    check_texts(&new.title, &new.description, &mut faults);
    check_rank(new.rank, &mut faults);
    let permissions = sorted(&new.permissions);
    check_permissions(&permissions, &[], tenant.is_platform, &mut faults);
    check_in_branch(&permissions, new.branch, &mut faults);
    let place = place(tx, new.branch, &mut faults).await?;
    let given = match (&place, new.branch) {
        // A branch that does not exist is a fault.
        (None, Some(_)) => Grants::default(),
        _ => grants(place, &new.name, &permissions, tenant.is_platform),
    };
    if !may_have_rank(actor, new.rank) || !actor.may_give(&given) {
        return Err(RoleError::Rank);
    }
    if !faults.is_empty() {
        return Err(RoleError::Fields(faults));
    }
    if store::custom(tx).await? >= CUSTOM_ROLES {
        return Err(RoleError::Full);
    }
    let now = control.clock.now();
    if !store::insert(tx, &new, &permissions, now).await? {
        faults.add("name", "A role with that name already exists.");
        return Err(RoleError::Fields(faults));
    }
    let mut details = json!({ "rank": new.rank, "permissions": permissions });
    if let Some(branch) = new.branch {
        details["branch"] = json!(branch);
    }
    audit::record(tx, actor, now, Action::RoleCreated, Some(new.name.clone()), details);
    if !permissions.is_empty() {
        demand_second_factor(control, tx, actor, &tenant, &new.name).await?;
    }
    store::find(tx, &new.name).await?.ok_or(RoleError::NotFound)
}

/// The role of a name, locked. The tenant's row is locked first.
///
/// # Errors
/// [`RoleError::NotFound`], or errors of the database.
pub async fn lock(tx: &mut TenantTx, name: &str) -> Result<Role, RoleError> {
    let tenant = tx.tenant();
    tenants::lock(tx, tenant).await?;
    store::lock(tx, name).await?.ok_or(RoleError::NotFound)
}

/// Edits a custom role; its name stays:
/// 1. the actor must outrank it, before and after, and have each permission that is added, over each user over whom it is
///    added;
/// 2. a role that the tenant gives to users who register stays low and without permissions;
/// 3. a role that gets its first permissions is protected as a new one is;
/// 4. what users of the role may do follows with their next request.
///
/// # Errors
/// See [`RoleError`].
pub async fn edit(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    name: &str,
    wanted: RoleChange,
) -> Result<Role, RoleError> {
    let tenant = begin(control, tx, actor).await?;
    let before = changeable(tx, actor, name).await?;
    let mut role = before.clone();
    role.title = wanted.title.unwrap_or(role.title);
    role.description = wanted.description.unwrap_or(role.description);
    role.rank = wanted.rank.unwrap_or(role.rank);
    role.stored = wanted.permissions.as_deref().map_or(role.stored, sorted);
    let mut faults = Faults::default();
    check_texts(&role.title, &role.description, &mut faults);
    check_rank(role.rank, &mut faults);
    check_permissions(&role.stored, &before.stored, tenant.is_platform, &mut faults);
    if let Some(branch) = wanted.branch.filter(|branch| *branch != before.branch) {
        role.branch = branch;
        role.path = place(tx, branch, &mut faults).await?.map(Place::ids);
    }
    let is_lost = role.branch.is_some() && role.path.is_none();
    check_in_branch(&role.stored, role.branch, &mut faults);
    let known = |names: &[String]| -> Vec<String> {
        let is_known =
            |name: &&String| permission_exists(name, tenant.is_platform) || before.stored.contains(name);
        names.iter().filter(is_known).cloned().collect()
    };
    let given =
        if is_lost { Grants::default() } else { role.grants_of(Permissions::named(&known(&role.stored))) };
    if !may_have_rank(actor, role.rank) || !actor.may_raise(&before.grants(), &given) {
        return Err(RoleError::Rank);
    }
    if wanted.name.is_some_and(|name| name != role.name) {
        faults.add("name", "The name of a role cannot be changed: access tokens and settings carry it.");
    }
    if tenant.settings.registration_role == role.name && !role.is_for_registration() {
        let field = if role.grants().is_empty() { "rank" } else { "permissions" };
        faults
            .add(field, "Users who register get this role: it stays below `staff` and without permissions.");
    }
    if !faults.is_empty() {
        return Err(RoleError::Fields(faults));
    }
    let details = differences(&before, &role);
    if details.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(before);
    }
    role.updated_at = control.clock.now();
    store::update(tx, &role).await?;
    audit::record(tx, actor, role.updated_at, Action::RoleEdited, Some(role.name.clone()), details);
    if before.stored.is_empty() && !role.stored.is_empty() {
        demand_second_factor(control, tx, actor, &tenant, &role.name).await?;
    }
    Ok(role)
}

/// Deletes a custom role that no user has and no setting of the tenant names; `second_factor_roles` names it no more. Open
/// invitations that name it become invalid.
///
/// # Errors
/// See [`RoleError`].
pub async fn delete(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    name: &str,
) -> Result<(), RoleError> {
    let tenant = begin(control, tx, actor).await?;
    let role = changeable(tx, actor, name).await?;
    let settings = named_roles::naming(&tenant.settings, &role.name);
    // Its row is locked: a user who gets the role at the same time waits, and then finds it gone.
    let users = store::users(tx, &role.name).await?;
    if users > 0 || !settings.is_empty() {
        return Err(RoleError::InUse { users, settings });
    }
    let mut demanded = tenant.settings.second_factor_roles.clone();
    demanded.retain(|named| *named != role.name);
    set_demanded(control, tx, actor, &tenant, demanded).await?;
    store::delete(tx, &role.name).await?;
    let mut details = json!({ "rank": role.rank, "permissions": role.stored });
    if let Some(branch) = role.branch {
        details["branch"] = json!(branch);
    }
    audit::record(tx, actor, control.clock.now(), Action::RoleDeleted, Some(role.name), details);
    Ok(())
}

/// Adds a role to those of which the tenant demands a second factor, if it demands one of any. Otherwise an administrator
/// could hand all their permissions to a user who needs only a password.
async fn demand_second_factor(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    tenant: &Tenant,
    role: &str,
) -> Result<(), RoleError> {
    let mut demanded = tenant.settings.second_factor_roles.clone();
    let is_covered = demanded.iter().any(|named| named == ANY_ROLE || named == role);
    if !demanded.is_empty() && !is_covered {
        demanded.push(role.to_owned());
    }
    set_demanded(control, tx, actor, tenant, demanded).await
}

async fn set_demanded(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    tenant: &Tenant,
    second_factor_roles: Vec<String>,
) -> Result<(), RoleError> {
    let settings = Settings { second_factor_roles, ..tenant.settings.clone() };
    let edit = tenants::Edit { settings: Some(settings), ..tenants::Edit::default() };
    tenants::edit(control, tx, actor, tenant.id, edit).await?;
    Ok(())
}

/// Locks the tenant, and checks that the actor still has the rank and the permissions of the request's beginning.
async fn begin(control: &Control, tx: &mut TenantTx, actor: &Actor) -> Result<Tenant, RoleError> {
    let id = tx.tenant();
    let tenant = tenants::lock(tx, id).await?;
    users::still_stands(control, tx, actor).await?;
    Ok(tenant)
}

/// The role of a name, locked, if the actor may change it.
async fn changeable(tx: &mut TenantTx, actor: &Actor, name: &str) -> Result<Role, RoleError> {
    let role = store::lock(tx, name).await?.ok_or(RoleError::NotFound)?;
    if !actor.outranks(role.rank, None) {
        return Err(RoleError::Rank);
    }
    if role.predefined { Err(RoleError::Predefined) } else { Ok(role) }
}

/// Lower-case words of letters and digits, joined by single hyphens, as the predefined names are: settings, paths and
/// tokens carry a name unquoted.
fn check_name(name: &str, faults: &mut Faults) {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if name.chars().count() > ROLE_NAME_CHARS {
        faults.add("name", format!("Ensure this field has no more than {ROLE_NAME_CHARS} characters."));
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.split('-').all(is_word) {
        faults.add("name", "Enter lower-case letters, digits and single hyphens, with a letter first.");
    }
}

fn check_texts(title: &str, description: &str, faults: &mut Faults) {
    for (field, text, longest) in
        [("title", title, ROLE_TITLE_CHARS), ("description", description, ROLE_DESCRIPTION_CHARS)]
    {
        if text.chars().count() > longest {
            faults.add(field, format!("Ensure this field has no more than {longest} characters."));
        } else if text.chars().any(char::is_control) {
            faults.add(field, "Control characters are not allowed.");
        }
    }
}

fn check_rank(rank: i32, faults: &mut Faults) {
    if !(1..ROOT_RANK).contains(&rank) {
        faults.add("rank", format!("Expected a number from 1 to {}.", ROOT_RANK - 1));
    }
}

/// Whether the actor may give a role this rank. One that no role can have is a fault.
fn may_have_rank(actor: &Actor, rank: i32) -> bool {
    !(1..ROOT_RANK).contains(&rank) || actor.outranks(rank, None)
}

/// Names a permission that does not exist at the tenant, unless the role has it already: a later release may have put
/// it there.
fn check_permissions(names: &[String], had: &[String], at_platform: bool, faults: &mut Faults) {
    for name in names.iter().filter(|name| !had.contains(name)) {
        if !permission_exists(name, at_platform) {
            faults.add("permissions", format!("\"{name}\" is not a valid choice."));
        }
    }
}

/// Names a permission that a role of a branch cannot have.
fn check_in_branch(names: &[String], branch: Option<Uuid>, faults: &mut Faults) {
    for name in names.iter().filter(|_| branch.is_some()) {
        if permission_exists(name, true) && !exists_in_branches(name) {
            faults.add("permissions", format!("\"{name}\" cannot be limited to a branch."));
        }
    }
}

/// The place of a role's branch, held until the transaction ends.
async fn place(
    tx: &mut TenantTx,
    branch: Option<Uuid>,
    faults: &mut Faults,
) -> Result<Option<Place>, RoleError> {
    let Some(id) = branch else { return Ok(None) };
    let found = branches::store::hold(tx, id).await?;
    if found.is_none() {
        faults.add("branch", format!("Invalid pk \"{id}\" - object does not exist."));
    }
    Ok(found.map(|branch| branch.place))
}

/// What a new role gives with those of these permissions that exist. Another one is a fault.
fn grants(place: Option<Place>, name: &str, permissions: &[String], at_platform: bool) -> Grants {
    let there: Vec<_> = permissions.iter().filter(|name| permission_exists(name, at_platform)).collect();
    let permissions = Permissions::named(&there);
    match place {
        None => Grants::everywhere(permissions),
        // The rank is compared apart.
        Some(place) => Grants::within(BranchRole { name: name.to_owned(), place, rank: 0, permissions }),
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

/// The changed fields for the audit log: rank and permissions with both values, texts by name.
fn differences(before: &Role, after: &Role) -> Value {
    let mut details = json!({});
    let texts =
        [("title", before.title != after.title), ("description", before.description != after.description)];
    let texts: Vec<_> = texts.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
    if !texts.is_empty() {
        details["fields"] = json!(texts);
    }
    if before.rank != after.rank {
        details["rank"] = json!({ "from": before.rank, "to": after.rank });
    }
    if before.branch != after.branch {
        details["branch"] = json!({ "from": before.branch, "to": after.branch });
    }
    if before.stored != after.stored {
        details["permissions"] = json!({ "from": before.stored, "to": after.stored });
    }
    details
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_name(name: &str) -> bool {
        let mut faults = Faults::default();
        check_name(name, &mut faults);
        faults.is_empty()
    }

    #[test]
    fn a_name_is_lower_case_words_and_hyphens() {
        for name in ["a", "auditor", "help-desk-2", "r2d2", &"x".repeat(32)] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "-",
            "a-",
            "-a",
            "a--b",
            "2nd",
            "Auditor",
            "a b",
            "a.b",
            "a_b",
            "a,b",
            "a=b",
            "*",
            "\u{e4}",
            &"x".repeat(33),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    proptest! {
        /// A name stands unquoted in a path, in settings and in tokens.
        #[test]
        fn a_name_is_one_word_everywhere(name in "[a-z0-9-]{0,34}|\\PC{0,8}") {
            if is_name(&name) {
                let path = format!("/api/user/roles/{name}/");
                prop_assert!(shared::contract::routes::find(&path).is_some());
                let timeout = shared::tenant::role_timeout::RoleTimeout::parse(&format!("{name}.idle_secs=60"));
                prop_assert_eq!(timeout.map(|timeout| timeout.role), Ok(name.clone()));
                let rule = shared::tenant::visibility::Rule::parse(&format!("{name}.phone=clear"));
                prop_assert_eq!(rule.map(|rule| rule.role), Ok(name));
            }
        }
    }
}
