//! Registration: the request is stored, sealed, until its address is verified. Only a mail reveals that a name or
//! address is taken.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::contract::limits::REGISTRATION_SECS;
use shared::identifiers::Identifier;
use shared::passwords::Verifier;
use shared::tenant::registration::Registration as Policy;
use shared::tenant::settings::Settings;
use shared::user::UserStatus;

use super::call::doorkeeper;
use super::{AccountError, Call, letters};
use crate::audit::{self, Action};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::links::{self, Holder, LinkKind};
use crate::mail::Recipient;
use crate::requests::{self, RequestId, RequestKind};
use crate::tenants::Tenant;
use crate::users::{self, NewUser, Profile, User, UserError};

/// The account that a registration asks for. No `Debug`.
#[derive(Default, Serialize, Deserialize)]
pub struct Registration {
    /// User name as typed.
    pub username: String,
    /// Address as typed.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Telephone number.
    pub phone: String,
    /// A language tag, or empty.
    pub language: String,
    /// The verifier of the password, as PHC text.
    pub verifier: String,
    /// Whether it has been answered.
    #[serde(default)]
    pub answered: bool,
}

impl Registration {
    /// The input of [`Profile::check`].
    #[must_use]
    pub fn profile(&self) -> Profile {
        Profile {
            username: self.username.clone(),
            email: Some(self.email.clone()),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            phone: self.phone.clone(),
            language: self.language.clone(),
        }
    }

    pub(super) fn recipient(&self) -> Recipient {
        Recipient::address(&self.email, &self.language)
    }

    pub(super) fn address(&self) -> Result<Identifier, Failure> {
        Identifier::parse(&self.email).map_err(|_| Failure::Unreadable("registration"))
    }
}

/// Whether the tenant's policy lets this address register.
#[must_use]
pub fn admits(settings: &Settings, address: &Identifier) -> bool {
    match settings.registration {
        Policy::Open => true,
        Policy::Domain => {
            let domain = address.as_str().rsplit_once('@').map(|(_, domain)| domain);
            settings.registration_domains.iter().any(|listed| Some(listed.as_str()) == domain)
        }
        Policy::Closed | Policy::Invitation => false,
    }
}

/// Stores the request, without looking up users.
///
/// # Errors
/// [`AccountError::TooMany`]; errors of the database.
pub async fn put(
    control: &Control,
    tx: &mut TenantTx,
    wanted: &Registration,
) -> Result<RequestId, AccountError> {
    let now = control.clock.now();
    if !requests::take_room(tx, RequestKind::Registration, now).await? {
        return Err(AccountError::TooMany);
    }
    let lives = TimeDelta::seconds(REGISTRATION_SECS);
    let id = requests::put(tx, RequestKind::Registration, None, wanted, now, lives).await?;
    requests::mark(tx, id, &wanted.address()?).await?;
    count("asked");
    Ok(id)
}

/// Answers a registration, once:
/// 1. an address that the tenant does not admit: nothing happens;
/// 2. an address of a user: that user gets a mail; a taken user name: a mail to the address says so;
/// 3. else a link that verifies the address. If the tenant requires no verification, the account is created at once.
///
/// An account with the address as an unverified one does not prevent the registration.
///
/// # Errors
/// See [`AccountError`].
pub(super) async fn answer(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    id: RequestId,
) -> Result<(), AccountError> {
    let now = control.clock.now();
    let found = requests::find::<Registration>(tx, RequestKind::Registration, id, now).await?;
    let Some(wanted) = found.map(|found| found.content).filter(|wanted| !wanted.answered) else {
        return Ok(());
    };
    if !admits(&tenant.settings, &wanted.address()?) {
        forget(tx, id).await?;
        count("not_admitted");
        return Ok(());
    }
    match standing(tx, &wanted.email, Some(&wanted.username)).await? {
        Standing::Known(user) => {
            forget(tx, id).await?;
            count("address_taken");
            letters::already_registered(control, tx, &user).await?;
        }
        Standing::NameTaken => {
            forget(tx, id).await?;
            count("name_taken");
            letters::name_taken(control, tx, wanted.recipient()).await?;
        }
        Standing::Free if !tenant.settings.registration_verify => {
            forget(tx, id).await?;
            let user = make(control, tx, &Call::default(), &wanted, &tenant.settings, Proof::None).await?;
            let token = links::make(tx, LinkKind::Verify, Holder::User(user.id), now).await?;
            let to = Recipient { user: Some(user.id), ..wanted.recipient() };
            letters::verify(control, tx, to, token).await?;
        }
        Standing::Free | Standing::Claimed => {
            let wanted = Registration { answered: true, ..wanted };
            requests::replace(tx, id, &wanted).await?;
            let token = links::make(tx, LinkKind::Verify, Holder::Request(id), now).await?;
            let mailed = letters::verify(control, tx, wanted.recipient(), token).await?;
            count(if mailed { "mailed" } else { "dropped" });
        }
    }
    Ok(())
}

/// Deletes the typed data. The row stays as long as that of an open registration, so that the limit of registrations
/// does not reveal whether the address is known.
async fn forget(tx: &mut TenantTx, id: RequestId) -> Result<(), Failure> {
    requests::unmark(tx, id).await?;
    requests::replace(tx, id, &Registration { answered: true, ..Registration::default() }).await
}

/// Whether the user name or the address of a registration is taken.
pub(super) enum Standing {
    /// The address is this user's.
    Known(Box<User>),
    /// The user name is taken, or the address is another user's user name.
    NameTaken,
    /// The name is free. The address is claimed by an account that never proved it.
    Claimed,
    /// Both are free.
    Free,
}

/// Looks up the users of an address and a user name.
pub(super) async fn standing(
    tx: &mut TenantTx,
    email: &str,
    username: Option<&str>,
) -> Result<Standing, AccountError> {
    let address = Identifier::parse(email).map_err(|_| Failure::Unreadable("address"))?;
    let mut claims = None;
    if let Some(user) = named(tx, email).await? {
        if !users::has_address(&user, &address) {
            return Ok(Standing::NameTaken);
        }
        if user.email_verified {
            return Ok(Standing::Known(Box::new(user)));
        }
        claims = Some(user);
    }
    let has_name = match username {
        Some(username) => named(tx, username).await?,
        None => None,
    };
    Ok(match (claims, has_name) {
        // Name and address belong to one account: its owner needs a new password, not a new account.
        (Some(claims), Some(user)) if claims.id == user.id => Standing::Known(Box::new(user)),
        (_, Some(_)) => Standing::NameTaken,
        (Some(_), None) => Standing::Claimed,
        (None, None) => Standing::Free,
    })
}

async fn named(tx: &mut TenantTx, name: &str) -> Result<Option<User>, AccountError> {
    match users::find_by_name(tx, name).await {
        Ok(user) => Ok(Some(user)),
        Err(UserError::NotFound) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// Whether the address of a new account is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Not verified: the tenant does not require it.
    None,
    /// Its owner proved it.
    Owner,
    /// Verified, but several registrations named the address, and each caused a mail. So the owner may have used the
    /// link of another person's registration, whose password must not become the account's.
    Contested,
}

/// Makes the account that a registration asks for.
///
/// # Errors
/// [`UserError::Fields`] for a name or address that another user has by now.
pub(super) async fn make(
    control: &Control,
    tx: &mut TenantTx,
    call: &Call,
    wanted: &Registration,
    settings: &Settings,
    proof: Proof,
) -> Result<User, AccountError> {
    let proven = proof != Proof::None;
    let verifier = Verifier::parse(&wanted.verifier).map_err(|_| Failure::Unreadable("registration"))?;
    let new = NewUser {
        profile: wanted.profile(),
        status: UserStatus::Active,
        roles: vec![settings.registration_role.clone()],
        branch: None,
        password: None,
        must_change_password: false,
        email_verified: proven,
    };
    let user = users::join(control, tx, &doorkeeper(), new, (proof != Proof::Contested).then_some(&verifier))
        .await?;
    let actor = call.of(&user);
    let (now, target) = (control.clock.now(), Some(user.id.to_string()));
    let details = serde_json::json!({ "roles": user.roles, "email_verified": proven });
    audit::record(tx, &actor, now, Action::UserRegistered, target, details);
    count("made");
    Ok(user)
}

/// Counts registrations by outcome.
pub(super) fn count(outcome: &'static str) {
    metrics::counter!("wardgate_registrations_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use shared::ids::HostName;

    use super::*;

    #[test]
    fn a_tenant_admits_by_domain_alone() {
        let domain = |text: &str| HostName::parse(text).unwrap();
        let listed = vec![domain("acme.example"), domain("xn--bcher-kva.example")];
        let settings = |registration| Settings {
            registration,
            registration_domains: listed.clone(),
            ..Settings::default()
        };
        for (address, admitted) in [
            ("ada@acme.example", true),
            ("ADA@ACME.EXAMPLE", true),
            ("ada@b\u{fc}cher.example", true),
            ("ada@sub.acme.example", false),
            ("ada@notacme.example", false),
            ("ada@acme.example.test", false),
        ] {
            let address = Identifier::parse(address).unwrap();
            assert_eq!(admits(&settings(Policy::Domain), &address), admitted, "{}", address.as_str());
            assert!(admits(&settings(Policy::Open), &address));
            assert!(!admits(&settings(Policy::Closed), &address));
            assert!(!admits(&settings(Policy::Invitation), &address));
        }
    }
}
