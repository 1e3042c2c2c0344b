//! Accepting an invitation.

use serde_json::json;
use shared::contract::permissions::Permission;
use shared::user::UserStatus;

use super::offer::{By, Invited, Offer};
use super::{canonical, count};
use crate::accounts::{AccountError, Call, chosen};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::links::{self, Holder, LinkKind};
use crate::passwords::Hashed;
use crate::requests::{self, RequestId, RequestKind};
use crate::tenants::Tenant;
use crate::users::{self, Faults, NewUser, Profile, User, UserError};

/// The fields that an invited user chooses. No `Debug`: it holds a password.
#[derive(Default)]
pub struct Acceptance {
    /// User name; may be absent where the invitation has one.
    pub username: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Telephone number.
    pub phone: String,
}

impl Acceptance {
    /// The profile of the account, checked; the address is the invitation's.
    fn profile(&self, invited: &Invited, faults: &mut Faults) -> Profile {
        let username = self.username.clone().or_else(|| invited.username.clone());
        if username.is_none() {
            faults.add("username", "This field is required.");
        }
        Profile {
            username: username.unwrap_or_default(),
            email: Some(invited.email.clone()),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            phone: self.phone.clone(),
            language: invited.language.clone(),
        }
    }
}

/// Checks a link before a password is hashed, and the profile that the account would have.
///
/// # Errors
/// [`AccountError::Link`]; [`UserError::Fields`].
pub async fn offered(
    control: &Control,
    tx: &mut TenantTx,
    unverified_token: &str,
    chosen: &Acceptance,
) -> Result<Profile, AccountError> {
    let now = control.clock.now();
    let holder = links::look(tx, LinkKind::Invite, unverified_token, now).await?;
    let (_, offer) = offer(control, tx, holder).await?;
    authority(tx, &offer).await?;
    let mut faults = Faults::default();
    let profile = chosen.profile(&offer.invited, &mut faults);
    if faults.is_empty() {
        profile.check(&mut faults);
    }
    if faults.is_empty() { Ok(profile) } else { Err(UserError::Fields(faults).into()) }
}

/// Uses a link that offers an account:
/// 1. the link is used up: of many requests at once one succeeds; it stays valid if a later step is refused;
/// 2. the inviter must still be allowed to grant these roles: else the link counts as invalid;
/// 3. an account with the address as an unverified one loses it; the account is created with a verified address.
///
/// # Errors
/// [`AccountError::Link`]; a name or an address of another user; an unacceptable password.
pub async fn accept(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    call: &Call,
    (unverified_token, chosen, password): (&str, &Acceptance, &Hashed),
) -> Result<User, AccountError> {
    let now = control.clock.now();
    let holder = links::take(tx, LinkKind::Invite, unverified_token, now).await?;
    let (id, offer) = offer(control, tx, holder).await?;
    let address = canonical(&offer.invited.email)?;
    // It may lock the tenant's row, which is locked before rows of roles.
    users::release_address(control, tx, &call.control(), &address, None).await?;
    let authority = authority(tx, &offer).await?;
    let mut faults = Faults::default();
    let profile = chosen.profile(&offer.invited, &mut faults);
    let verifier = chosen::verifier(control, &tenant.settings, password, &profile, &mut faults)?;
    let Some(verifier) = verifier.filter(|_| faults.is_empty()) else {
        return Err(UserError::Fields(faults).into());
    };
    let (roles, branch) = (offer.invited.roles.clone(), offer.invited.branch);
    let new = NewUser {
        profile,
        status: UserStatus::Active,
        roles,
        branch,
        password: None,
        must_change_password: false,
        email_verified: true,
    };
    let user = users::join(control, tx, &authority, new, Some(verifier)).await?;
    requests::remove(tx, id).await?;
    // Other registrations with this address end.
    for request in requests::about(tx, RequestKind::Registration, &address, now).await? {
        requests::remove(tx, request).await?;
    }
    let by = match offer.by {
        By::User(id) => Some(id),
        By::Platform => None,
    };
    let details = json!({ "invitation": id.to_string(), "by": by, "roles": user.roles });
    let target = Some(user.id.to_string());
    audit::record(tx, &call.of(&user), now, Action::InvitationAccepted, target, details);
    count("accepted");
    Ok(user)
}

async fn offer(
    control: &Control,
    tx: &mut TenantTx,
    holder: Option<Holder>,
) -> Result<(RequestId, Offer), AccountError> {
    let Some(Holder::Request(id)) = holder else { return Err(AccountError::Link) };
    let now = control.clock.now();
    let found = requests::find::<Offer>(tx, RequestKind::Invitation, id, now).await?;
    Ok((id, found.ok_or(AccountError::Link)?.content))
}

/// Who gives the roles, if they still may give them in the branch, and if roles and branch are still there.
async fn authority(tx: &mut TenantTx, offer: &Offer) -> Result<Actor, AccountError> {
    let place = match users::choose_branch(tx, offer.invited.branch).await {
        Err(UserError::Fields(_)) => return Err(AccountError::Link),
        place => place?,
    };
    let mut faults = Faults::default();
    let actor = match offer.by {
        By::Platform => Actor::operator(),
        By::User(id) => {
            let user = match users::find(tx, id).await {
                Err(UserError::NotFound) => return Err(AccountError::Link),
                found => found?,
            };
            let may = user.grants.at(place.as_ref()).holds(Permission::UsersWrite);
            if user.status != UserStatus::Active || !may {
                return Err(AccountError::Link);
            }
            Actor { who: user.who(), ..Actor::control() }
        }
    };
    match users::may_give(tx, &actor, (&offer.invited.roles, place.as_ref()), &mut faults).await {
        Err(UserError::Rank) => Err(AccountError::Link),
        Ok(()) if !faults.is_empty() => Err(AccountError::Link),
        given => {
            given?;
            Ok(actor)
        }
    }
}
