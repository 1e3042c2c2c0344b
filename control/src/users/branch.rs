//! Putting a user into a branch.

use uuid::Uuid;

use super::fields::Faults;
use super::model::UserError;
use crate::audit::Actor;
use crate::branches::{Branch, Place, store};
use crate::db::{Scope, TenantTx};

/// Checks the branch of a new user, and holds it until the transaction ends: it exists within the scope of the
/// transaction, and is not archived. A caller with roles of branches only must choose one of them.
///
/// # Errors
/// Errors of the database.
pub async fn choose(
    tx: &mut TenantTx,
    branch: Option<Uuid>,
    faults: &mut Faults,
) -> Result<Option<Place>, UserError> {
    let Some(id) = branch else {
        if *tx.scope() != Scope::Everyone {
            faults.add("branch", "This field is required.");
        }
        return Ok(None);
    };
    match store::hold(tx, id).await? {
        None => faults.add("branch", format!("Invalid pk \"{id}\" - object does not exist.")),
        Some(Branch { archived_at: Some(_), .. }) => {
            faults.add("branch", "The branch is archived: nobody can be added to it.");
        }
        Some(branch) => return Ok(Some(branch.place)),
    }
    Ok(None)
}

/// Checks a move of a user from one branch to another, as [`choose`] does. Roles of the other branch and of those above it
/// get their permissions over the user, so the actor must have each of these. Otherwise the actor could get them by the
/// move, if not alone, then with the account of another administrator.
pub(super) async fn change(
    tx: &mut TenantTx,
    actor: &Actor,
    (from, to): (Option<Uuid>, Option<Uuid>),
    faults: &mut Faults,
) -> Result<(), UserError> {
    if from == to {
        return Ok(());
    }
    let before = match from {
        None => None,
        Some(id) => store::find(tx, id).await?.map(|branch| branch.place),
    };
    let after = choose(tx, to, faults).await?;
    let Some(after) = after else { return Ok(()) };
    let given = store::permissions_of_roles(tx, &after.without(before.as_ref())).await?;
    if actor.may_give_over(before.as_ref(), given) { Ok(()) } else { Err(UserError::Rank) }
}
