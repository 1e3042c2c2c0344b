//! Granting and taking roles, and the rule that an active root-admin must remain.

use shared::contract::limits::USER_ROLES;
use shared::contract::permissions::ROOT_RANK;
use shared::ids::UserId;
use shared::user::UserStatus;

use super::fields::Faults;
use super::model::{User, UserError};
use super::store;
use crate::audit::{Actor, Who};
use crate::branches::Place;
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::roles::{self, Role};

/// Checks that the actor is still active and has the rank and the permissions with which the request began: hashes,
/// keys and locks take a while, and an administrator who was suspended or demoted meanwhile must change nothing more.
///
/// # Errors
/// [`UserError::Rank`], or errors of the database.
pub async fn still_stands(control: &Control, tx: &mut TenantTx, actor: &Actor) -> Result<(), UserError> {
    let (found, rank) = match actor.who {
        Who::Operator | Who::Control => return Ok(()),
        Who::User { id, rank, .. } => (store::find_anyone(tx, id).await, rank),
        Who::Platform { id, rank, .. } => {
            let tenant = tx.tenant();
            tx.enter(&control.db, tx.payer()).await?;
            let found = store::find_anyone(tx, id).await;
            tx.enter(&control.db, tenant).await?;
            (found, rank)
        }
    };
    match found {
        Ok(user)
            if user.status == UserStatus::Active
                && user.rank_everywhere >= rank
                && still_holds(actor, &user) =>
        {
            Ok(())
        }
        Ok(_) | Err(UserError::NotFound) => Err(UserError::Rank),
        Err(other) => Err(other),
    }
}

/// Whether the user has lost none of the permissions that they had when they became the actor.
fn still_holds(actor: &Actor, user: &User) -> bool {
    match &actor.who {
        Who::User { grants, .. } | Who::Platform { grants, .. } => {
            user.grants.includes(grants) && user.grants.is_nowhere_below(user.rank_everywhere, grants)
        }
        Who::Operator | Who::Control => true,
    }
}

/// The names of the tenant's roles, highest rank first.
///
/// # Errors
/// Errors of the database.
pub async fn role_names(tx: &mut TenantTx) -> Result<Vec<String>, Failure> {
    let tenant = tx.tenant();
    let names = sqlx::query_scalar!(
        "select name from roles where tenant_id = $1 order by rank desc, name",
        tenant.uuid()
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(names)
}

/// Reads these roles and locks them against changes until the transaction ends. Unknown ones are named in `faults`.
async fn held(tx: &mut TenantTx, names: &[String], faults: &mut Faults) -> Result<Vec<Role>, Failure> {
    let roles = roles::store::hold(tx, names).await?;
    for name in names {
        if !roles.iter().any(|role| role.name == *name) {
            faults.add("roles", format!("Object with name={name} does not exist."));
        }
    }
    Ok(roles)
}

/// The difference between the roles `had` and `wanted`.
pub(super) struct Moves {
    taken: Vec<String>,
    granted: Vec<String>,
}

/// The difference between two sets of roles of a user at a place, if the actor may make it: an actor grants and removes
/// only roles below their own rank there, and grants only roles whose permissions they have. Otherwise they could sign in as a user whom they
/// gave more than they have. Unknown roles and too many are reported in `faults`.
pub(super) async fn moves(
    tx: &mut TenantTx,
    actor: &Actor,
    place: Option<&Place>,
    (had, wanted): (&[String], &[String]),
    faults: &mut Faults,
) -> Result<Moves, UserError> {
    let moved = |from: &[String], to: &[String]| -> Vec<String> {
        from.iter().filter(|role| !to.contains(role)).cloned().collect()
    };
    let (taken, granted) = (moved(had, wanted), moved(wanted, had));
    let touched: Vec<String> = taken.iter().chain(&granted).cloned().collect();
    let roles = held(tx, &touched, faults).await?;
    let may = |role: &Role| {
        let given = granted.contains(&role.name);
        actor.outranks(role.rank, place) && (!given || actor.may_give(&role.grants()))
    };
    if !roles.iter().all(may) {
        return Err(UserError::Rank);
    }
    if !granted.is_empty() && wanted.len() > USER_ROLES {
        faults.add("roles", format!("Ensure this field has no more than {USER_ROLES} elements."));
    }
    Ok(Moves { taken, granted })
}

/// Gives `user` exactly `wanted`, within [`moves`].
pub(super) async fn assign(
    tx: &mut TenantTx,
    actor: &Actor,
    (user, place): (UserId, Option<&Place>),
    roles: (&[String], &[String]),
    faults: &mut Faults,
) -> Result<(), UserError> {
    let tenant = tx.tenant();
    let Moves { taken, granted } = moves(tx, actor, place, roles, faults).await?;
    if !faults.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from user_roles where tenant_id = $1 and user_id = $2 and role = any ($3)",
        tenant.uuid(),
        user.uuid(),
        &taken,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into user_roles (tenant_id, user_id, role, created_at)
         select u.tenant_id, u.id, r.role, u.created_at
         from users u, unnest($3::text[]) as r (role)
         where u.tenant_id = $1 and u.id = $2
         on conflict do nothing",
        tenant.uuid(),
        user.uuid(),
        &granted,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// To be called before an active root-admin stops being one. The lock makes the count that follows
/// see what every earlier such transaction committed, so two at once cannot both be the second to
/// last.
pub(super) async fn keep_one_root_admin(tx: &mut TenantTx, leaving: UserId) -> Result<(), UserError> {
    let tenant = tx.tenant();
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('wardgate/root-admins/' || $1::text, 0))",
        tenant.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    let others = sqlx::query_scalar!(
        r#"select count(distinct u.id) as "count!"
        from users u
        join user_roles ur on ur.tenant_id = u.tenant_id and ur.user_id = u.id
        join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
        where u.tenant_id = $1 and u.id <> $2 and u.status = 'active' and r.rank = $3"#,
        tenant.uuid(),
        leaving.uuid(),
        ROOT_RANK,
    )
    .fetch_one(&mut **tx)
    .await?;
    if others > 0 { Ok(()) } else { Err(UserError::LastRootAdmin) }
}
