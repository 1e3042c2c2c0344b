//! Putting a user into a branch.

use uuid::Uuid;

use super::fields::Faults;
use super::model::UserError;
use crate::audit::Actor;
use crate::branches::{Branch, Place, store};
use crate::db::{Scope, TenantTx};

/// The place of a new user's branch, which is held until the transaction ends: it exists within the scope of the
/// transaction, and is not archived. A caller with roles of branches only must choose one of these branches.
///
/// # Errors
/// [`UserError::Fields`], before anything else is judged: the actor's rank depends on the place. Errors of the database.
pub async fn choose(tx: &mut TenantTx, branch: Option<Uuid>) -> Result<Option<Place>, UserError> {
    let fault = |words: String| {
        let mut faults = Faults::default();
        faults.add("branch", words);
        Err(UserError::Fields(faults))
    };
    let Some(id) = branch else {
        return match tx.scope() {
            Scope::Everyone => Ok(None),
            Scope::Within(_) => fault(String::from("This field is required.")),
        };
    };
    match store::hold(tx, id).await? {
        None => fault(format!("Invalid pk \"{id}\" - object does not exist.")),
        Some(Branch { archived_at: Some(_), .. }) => {
            fault(String::from("The branch is archived: no user can be added to it."))
        }
        Some(branch) => Ok(Some(branch.place)),
    }
}

/// Checks a move of a user from one branch to another, as [`choose`] does. Roles of branches lose or get their permissions
/// over the user, so the actor must be allowed to take and to grant these roles. Otherwise the actor could get power over
/// the user by the move, if not alone, then with another account.
pub(super) async fn change(
    tx: &mut TenantTx,
    actor: &Actor,
    (before, to): (Option<&Place>, Option<Uuid>),
) -> Result<(), UserError> {
    if before.and_then(Place::id) == to {
        return Ok(());
    }
    let after = choose(tx, to).await?;
    let left = before.map(|place| place.without(after.as_ref())).unwrap_or_default();
    let entered = after.as_ref().map(|place| place.without(before)).unwrap_or_default();
    let (lost, won) = (store::reach(tx, &left).await?, store::reach(tx, &entered).await?);
    if actor.may_move(before, lost, won) { Ok(()) } else { Err(UserError::Rank) }
}
