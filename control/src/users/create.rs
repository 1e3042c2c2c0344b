//! Making a person.

use shared::ids::{TenantId, UserId};
use shared::passwords::{Password, Verifier};
use shared::person::PersonStatus;

use super::fields::{Canonical, Faults, Profile, check_password};
use super::model::{User, UserError};
use super::{identifiers, ranks, store};
use crate::at_rest::Column;
use crate::audit::{self, Action, Actor};
use crate::control::{Control, Inner};
use crate::db::TenantTx;
use crate::edges::changes::Haste;
use crate::failure::Failure;
use crate::tenants::{self, FirstAdmin, TenantError};
use crate::world::{random, unix_ms};

/// What is asked for.
pub struct NewUser {
    /// Names and address.
    pub profile: Profile,
    /// Their status.
    pub status: PersonStatus,
    /// Their roles by name.
    pub roles: Vec<String>,
    /// Their password; without one they cannot sign in yet.
    pub password: Option<String>,
    /// Whether the address counts as verified.
    pub email_verified: bool,
}

/// Makes a person; commits nothing itself. All faults are said at once. The password is hashed
/// while the transaction has read, but not yet written or locked anything.
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
    let typed = new.password.as_deref();
    let least = tenant.settings.min_password_length;
    let password = typed.and_then(|typed| check_password(typed, least, &new.profile, &mut faults));
    let verifier = match password.filter(|_| faults.is_empty()) {
        Some(password) => Some(hash(control, password).await?),
        None => None,
    };
    ranks::still_stands(tx, actor).await?;
    let id = insert(control, tx, actor, &new, canonical, verifier.as_ref(), &mut faults).await?;
    if !faults.is_empty() {
        return Err(UserError::Fields(faults));
    }
    let details = serde_json::json!({ "roles": new.roles, "status": new.status });
    audit::record(tx, actor, control.clock.now(), Action::UserCreated, Some(id.to_string()), details).await?;
    store::find(tx, id).await
}

/// Writes the rows of a person. Where `faults` has something already, it goes on only so far as to
/// find what else is wrong: the caller's transaction is not committed then.
async fn insert(
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
    let wrapped = verifier.map(|verifier| wrap(control, tenant, id, verifier)).transpose()?;
    store::insert(tx, id, new, wrapped, now).await?;
    match canonical {
        Some(canonical) => identifiers::assign(control, tx, id, &canonical, faults).await?,
        // A name that holds may be taken all the same, though another field does not hold.
        None => {
            if let Ok(username) = shared::identifiers::Identifier::parse(&new.profile.username) {
                let alone = Canonical { username, email: None };
                identifiers::assign(control, tx, id, &alone, faults).await?;
            }
        }
    }
    ranks::assign(tx, actor, id, &[], &new.roles, faults).await?;
    tx.changes().user(tenant, id, Haste::InTurn);
    Ok(id)
}

/// Makes the first root-admin of a new tenant, whose password was hashed when it was asked for.
///
/// # Errors
/// See [`TenantError`].
pub async fn insert_first_admin(
    control: &Control,
    tx: &mut TenantTx,
    admin: &FirstAdmin,
) -> Result<(), TenantError> {
    let new = NewUser {
        profile: Profile {
            username: admin.username.clone(),
            email: admin.email.clone(),
            ..Profile::default()
        },
        status: PersonStatus::Active,
        roles: vec![String::from("root-admin")],
        password: None,
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
    audit::record(tx, &actor, control.clock.now(), Action::UserCreated, Some(id.to_string()), details)
        .await?;
    Ok(())
}

/// Checks the first administrator of a tenant that does not exist yet and hashes the password.
///
/// # Errors
/// [`UserError::Fields`] for what does not hold.
pub async fn prepare_first_admin(
    control: &Control,
    profile: &Profile,
    password: &str,
    least_characters: u64,
) -> Result<FirstAdmin, UserError> {
    let mut faults = Faults::default();
    profile.check(&mut faults);
    let password = check_password(password, least_characters, profile, &mut faults);
    match password {
        Some(password) if faults.is_empty() => Ok(FirstAdmin {
            username: profile.username.clone(),
            email: profile.email.clone(),
            verifier: hash(control, password).await?.to_phc().to_string(),
        }),
        _ => Err(UserError::Fields(faults)),
    }
}

pub(super) async fn hash(control: &Inner, password: Password) -> Result<Verifier, Failure> {
    control.hasher.hash(password).await
}

pub(super) fn wrap(
    control: &Inner,
    tenant: TenantId,
    id: UserId,
    verifier: &Verifier,
) -> Result<Vec<u8>, Failure> {
    control.rest.wrap(tenant, Column::Verifier, &id.to_string(), verifier.to_phc().as_bytes())
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
