//! Notices: mails to the owner of an account about its changes, with what to do if the owner did not make them.
//!
//! They go to the verified address that the account had before the change, unless the tenant's setting `notices`
//! turns the kind off. They have a budget of their own, which unauthenticated requests cannot use up.
//!
//! `MailKind::AddressChanging` is not among them: it holds the link that takes the change back, so no setting turns
//! it off.

use chrono::{DateTime, Utc};
use shared::tenant::notices::Notice;

use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::mail::{self, FactorChange, Facts, MailKind, NewMail, Recipient};
use crate::tenants::{self, TenantError};
use crate::users::User;

/// Notifies a user that their password was changed. `user` is the state before. Call it last in the transaction,
/// because it locks the counters of the budget until the end.
///
/// # Errors
/// The database's, or without randomness.
pub async fn password_changed(control: &Control, tx: &mut TenantTx, user: &User) -> Result<(), Failure> {
    tell(control, tx, user, Notice::PasswordChanged, Facts::default()).await
}

/// Notifies a user, at the former address, that another one was set. If the user requested the change, the notice has
/// a link that takes it back.
///
/// # Errors
/// As [`password_changed`].
pub async fn address_changed(control: &Control, tx: &mut TenantTx, user: &User) -> Result<(), Failure> {
    tell(control, tx, user, Notice::AddressChanged, Facts::default()).await
}

/// Notifies a user that a second factor was added or removed.
///
/// # Errors
/// As [`password_changed`].
pub async fn second_factor_changed(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    factor: FactorChange,
) -> Result<(), Failure> {
    tell(control, tx, user, Notice::SecondFactorChanged, Facts { factor, ..Facts::default() }).await
}

/// Notifies a user that a recovery code was used, and how many are left.
///
/// # Errors
/// As [`password_changed`].
pub async fn recovery_code_used(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    left: i64,
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    let facts = Facts { factor: FactorChange::CodeUsed, codes_left: left, at: Some(at), ..Facts::default() };
    tell(control, tx, user, Notice::SecondFactorChanged, facts).await
}

/// Notifies a user that a browser is remembered.
///
/// # Errors
/// As [`password_changed`].
pub async fn device_remembered(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    let facts = Facts { factor: FactorChange::Remembered, at: Some(at), ..Facts::default() };
    tell(control, tx, user, Notice::SecondFactorChanged, facts).await
}

/// A sign-in from a device or a country that was not seen before; what is not known is empty.
pub struct NewDevice {
    /// The device: "Firefox on Linux".
    pub device: String,
    /// Where it was.
    pub place: String,
    /// Its network.
    pub client: String,
    /// When it signed in.
    pub at: DateTime<Utc>,
}

/// Notifies a user of a sign-in from a new device or country.
///
/// # Errors
/// As [`password_changed`].
pub async fn new_device(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    NewDevice { device, place, client, at }: NewDevice,
) -> Result<(), Failure> {
    let facts = Facts { device, place, client, at: Some(at), ..Facts::default() };
    tell(control, tx, user, Notice::NewDevice, facts).await
}

/// Whether the tenant has turned the notice on.
///
/// # Errors
/// Errors of the database.
pub async fn is_on(tx: &mut TenantTx, notice: Notice) -> Result<bool, Failure> {
    let id = tx.tenant();
    match tenants::find(tx, id).await {
        Ok(tenant) => Ok(tenant.settings.notices.contains(&notice)),
        Err(TenantError::Failure(failure)) => Err(failure),
        Err(_) => Ok(false),
    }
}

async fn tell(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    notice: Notice,
    facts: Facts,
) -> Result<(), Failure> {
    let recipient = if user.email_verified { Recipient::user(user) } else { None };
    let Some(to) = recipient else { return Ok(()) };
    if !is_on(tx, notice).await? {
        return Ok(());
    }
    let facts = Facts { username: user.username.expose().to_owned(), ..facts };
    // Beyond the budget a notice waits.
    let _ = mail::post(tx, control, NewMail { kind: kind(notice), to, link: None, facts }).await?;
    Ok(())
}

fn kind(notice: Notice) -> MailKind {
    match notice {
        Notice::PasswordChanged => MailKind::PasswordChanged,
        Notice::AddressChanged => MailKind::AddressChanged,
        Notice::SecondFactorChanged => MailKind::SecondFactorChanged,
        Notice::NewDevice => MailKind::NewDevice,
    }
}
