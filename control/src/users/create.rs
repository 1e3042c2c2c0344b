//! Making a user.

use shared::ids::{TenantId, UserId};
use shared::passwords::Verifier;
use shared::tenant::settings::Settings;
use shared::user::UserStatus;
use uuid::Uuid;

use super::fields::{Canonical, Faults, Profile, checked_password};
use super::model::{NewUser, User, UserError};
use super::{branch, identifiers, ranks, store};
use crate::audit::{self, Action, Actor};
use crate::branches::Place;
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::passwords::{Hashed, Policy};
use crate::tenants::{self, KnownAdmin, TenantError};
use crate::world::{random, unix_ms};

/// Makes a user; commits nothing itself. All faults are said at once.
///
/// # Errors
/// See [`UserError`].
pub async fn create(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    new: NewUser,
) -> Result<User, UserError> {
    let tenant = tenant_of(tx).await?;
    let mut faults = Faults::default();
    let canonical = new.profile.check(&mut faults);
    let verifier = match &new.password {
        None => None,
        Some(hashed) => {
            let policy = Policy::of(control, &tenant.settings)?;
            checked_password(hashed.check(&policy, new.profile.names()), &mut faults)
        }
    };
    // A password was hashed since the request began.
    ranks::still_stands(control, tx, actor).await?;
    let id = insert(control, tx, actor, &new, canonical, verifier, &mut faults).await?;
    if !faults.is_empty() {
        return Err(UserError::Fields(faults));
    }
    let mut details = serde_json::json!({ "roles": new.roles, "status": new.status });
    if let Some(branch) = new.branch {
        details["branch"] = serde_json::json!(branch);
    }
    audit::record(tx, actor, control.clock.now(), Action::UserCreated, Some(id.to_string()), details);
    store::find(tx, id).await
}

/// Whether the actor may make a user with these roles, asked before a password is hashed.
///
/// # Errors
/// As [`create`] where it is refused by rank.
pub async fn may_create(
    tx: &mut TenantTx,
    actor: &Actor,
    roles: &[String],
    branch: Option<Uuid>,
) -> Result<(), UserError> {
    let place = branch::choose(tx, branch).await?;
    may_give(tx, actor, (roles, place.as_ref()), &mut Faults::default()).await
}

/// Whether the actor may give these roles to a user at a place. Roles that do not exist are named in `faults`.
///
/// # Errors
/// [`UserError::Rank`], or errors of the database.
pub async fn may_give(
    tx: &mut TenantTx,
    actor: &Actor,
    (roles, place): (&[String], Option<&Place>),
    faults: &mut Faults,
) -> Result<(), UserError> {
    ranks::moves(tx, actor, place, (&[], roles), faults).await.map(drop)
}

/// Checks that the actor may take these roles from a user at a place, or offer them no more: the rank suffices.
///
/// # Errors
/// [`UserError::Rank`], or errors of the database.
pub async fn may_take(
    tx: &mut TenantTx,
    actor: &Actor,
    (roles, place): (&[String], Option<&Place>),
) -> Result<(), UserError> {
    ranks::moves(tx, actor, place, (roles, &[]), &mut Faults::default()).await.map(drop)
}

/// Writes the rows of a user. If `faults` already has entries, it continues only to find further faults; the caller
/// does not commit the transaction then.
pub(super) async fn insert(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    new: &NewUser,
    canonical: Option<Canonical>,
    verifier: Option<&Verifier>,
    faults: &mut Faults,
) -> Result<UserId, UserError> {
    let (now, tenant) = (control.clock.now(), tx.tenant());
    let id = UserId::new(unix_ms(now), random()?);
    let place = branch::choose(tx, new.branch).await?;
    store::insert(tx, id, (new, place.as_ref().and_then(Place::id)), verifier, now).await?;
    match canonical {
        Some(canonical) => identifiers::assign(tx, id, &canonical, faults).await?,
        // A valid name may still be taken; that is reported although another field is invalid.
        None => {
            if let Ok(username) = shared::identifiers::Identifier::parse(&new.profile.username) {
                let alone = Canonical { username, email: None };
                identifiers::assign(tx, id, &alone, faults).await?;
            }
        }
    }
    ranks::assign(tx, actor, (id, place.as_ref()), (&[], &new.roles), faults).await?;
    tx.changes().user(tenant, id, Priority::InTurn);
    Ok(id)
}

/// Makes the first root-admin of a new tenant, whose password was hashed when it was asked for.
///
/// # Errors
/// See [`TenantError`].
pub async fn insert_first_admin(
    control: &Control,
    tx: &mut TenantTx,
    admin: &KnownAdmin,
) -> Result<(), TenantError> {
    let new = NewUser {
        profile: Profile {
            username: admin.username.clone(),
            email: admin.email.clone(),
            ..Profile::default()
        },
        status: UserStatus::Active,
        roles: vec![String::from("root-admin")],
        branch: None,
        password: None,
        must_change_password: false,
        email_verified: true,
    };
    let verifier =
        Verifier::parse(&admin.verifier).map_err(|_| Failure::Unreadable("first administrator"))?;
    let mut faults = Faults::default();
    let canonical = new.profile.check(&mut faults);
    let actor = Actor::control();
    let inserted = insert(control, tx, &actor, &new, canonical, Some(&verifier), &mut faults).await;
    let id = match inserted {
        Ok(id) if faults.is_empty() => id,
        Err(UserError::Failure(failure)) => return Err(failure.into()),
        Ok(_) | Err(_) => return Err(Failure::Unreadable("first administrator").into()),
    };
    let details = serde_json::json!({ "roles": new.roles });
    audit::record(tx, &actor, control.clock.now(), Action::UserCreated, Some(id.to_string()), details);
    Ok(())
}

/// Checks the first administrator of a tenant that does not exist yet, and is to have these settings, and hashes the
/// password, as a part of what `payer` may have hashed.
///
/// # Errors
/// [`UserError::Fields`] for what does not hold.
pub async fn prepare_first_admin(
    control: &Control,
    payer: TenantId,
    profile: &Profile,
    password: &str,
    settings: &Settings,
) -> Result<KnownAdmin, UserError> {
    let mut faults = Faults::default();
    profile.check(&mut faults);
    let hashed = Hashed::of(&control.hasher, payer, password).await?;
    let policy = Policy::of(control, settings)?;
    match checked_password(hashed.check(&policy, profile.names()), &mut faults) {
        Some(verifier) if faults.is_empty() => Ok(KnownAdmin {
            username: profile.username.clone(),
            email: profile.email.clone(),
            verifier: verifier.to_phc().to_string(),
        }),
        _ => Err(UserError::Fields(faults)),
    }
}

/// The tenant the transaction is in.
pub(super) async fn tenant_of(tx: &mut TenantTx) -> Result<tenants::Tenant, UserError> {
    let id = tx.tenant();
    match tenants::find(tx, id).await {
        Ok(tenant) => Ok(tenant),
        Err(TenantError::Failure(failure)) => Err(failure.into()),
        Err(_) => Err(UserError::NotFound),
    }
}
