//! A one-time password that is mailed to a user at an administrator's request.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::ONE_TIME_PASSWORD_SECS;
use shared::ids::{TenantId, UserId};
use shared::passwords::{Password, Verifier};
use shared::tenant::settings::Settings;
use shared::user::UserStatus;
use shared::wire::push::PasswordDue;
use zeroize::Zeroizing;

use super::count;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::mail::{self, Facts, MailKind, NewMail, Recipient};
use crate::users::password::{self, NewPassword};
use crate::users::{self, User, UserError};
use crate::world::random;

/// Crockford's base 32 in lower case: no letter that is read as a digit or another letter.
const ALPHABET: [u8; 32] = *b"0123456789abcdefghjkmnpqrstvwxyz";
/// Five bits each: 100 bits.
const LETTERS: usize = 20;
const GROUP: usize = 4;

/// A password of random letters and its verifier. No `Debug`.
pub struct OneTimePassword {
    text: Zeroizing<String>,
    verifier: Verifier,
}

impl OneTimePassword {
    /// Makes one and hashes it, as a part of what the tenant may have hashed.
    ///
    /// # Errors
    /// Without randomness; [`Failure::Busy`] if too many wait.
    pub async fn make(control: &Control, tenant: TenantId) -> Result<Self, Failure> {
        let text = letters(&random()?);
        let password = Password::parse(&text).map_err(|_| Failure::Crypto("making a password"))?;
        let verifier = control.hasher.hash(tenant, password).await?;
        Ok(Self { text, verifier })
    }
}

/// `x7kd-29ma-...`, of random bytes.
fn letters(bytes: &[u8; LETTERS]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(LETTERS + LETTERS / GROUP));
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        let letter = ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or_default();
        text.push(char::from(letter));
    }
    text
}

/// Why no password was made.
#[derive(Debug, thiserror::Error)]
pub enum RegenerateError {
    /// The user is not there, or the actor may not, or an internal failure.
    #[error(transparent)]
    User(#[from] UserError),
    /// The user is not active.
    #[error("the user is not active")]
    NotActive,
    /// The user has no address, or has not proven it.
    #[error("the user has no proven address")]
    NoProvenAddress,
}

impl From<Failure> for RegenerateError {
    fn from(failure: Failure) -> Self {
        Self::User(failure.into())
    }
}

/// Whether the actor may regenerate a user's password. Checked before the hash; [`regenerate`] checks again.
///
/// # Errors
/// See [`RegenerateError`].
pub async fn may_regenerate(tx: &mut TenantTx, actor: &Actor, id: UserId) -> Result<(), RegenerateError> {
    let user = users::find(tx, id).await?;
    recipient(actor, &user).map(drop)
}

fn recipient(actor: &Actor, user: &User) -> Result<Recipient, RegenerateError> {
    users::outrank(actor, user)?;
    if user.status != UserStatus::Active {
        return Err(RegenerateError::NotActive);
    }
    let to = if user.email_verified { Recipient::user(user) } else { None };
    to.ok_or(RegenerateError::NoProvenAddress)
}

/// Sets a one-time password and queues the mail that carries it; returns when it expires. Only the mail holds it in
/// clear. Every session of the user ends, and links that could change the account become invalid.
///
/// # Errors
/// See [`RegenerateError`].
pub async fn regenerate(
    control: &Control,
    tx: &mut TenantTx,
    settings: &Settings,
    actor: &Actor,
    id: UserId,
    made: OneTimePassword,
) -> Result<DateTime<Utc>, RegenerateError> {
    let user = users::store::lock(tx, id).await?;
    // A password was hashed since the request began.
    users::still_stands(control, tx, actor).await?;
    let to = recipient(actor, &user)?;
    let OneTimePassword { text, verifier } = made;
    let now = control.clock.now();
    let until = now + TimeDelta::seconds(ONE_TIME_PASSWORD_SECS);
    let due = Some(PasswordDue::Must);
    let new = NewPassword {
        verifier: &verifier,
        due,
        valid_until: Some(until),
        keeps: None,
        proves_address: false,
    };
    password::set(control, tx, settings, &user, new).await?;
    let target = Some(id.to_string());
    audit::record(tx, actor, now, Action::UserPasswordRegenerated, target, serde_json::json!({}));
    let facts = Facts {
        username: user.username.expose().to_owned(),
        password: Some(text),
        expires_at: Some(until),
        ..Facts::default()
    };
    // It says that an administrator did this, so no notice goes with it. Beyond the budget it waits.
    let letter = NewMail { kind: MailKind::OneTimePassword, to, link: None, facts };
    let _ = mail::post(tx, control, letter).await?;
    count("regenerated");
    Ok(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_time_passwords_are_of_readable_letters_in_groups() {
        let first = letters(&std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(first.as_str(), "0123-4567-89ab-cdef-ghjk");
        let last = letters(&[255; LETTERS]);
        assert_eq!(last.as_str(), "zzzz-zzzz-zzzz-zzzz-zzzz");
        let mut sorted = ALPHABET;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]), "a letter is there twice");
        for alike in *b"ilou" {
            assert!(!ALPHABET.contains(&alike), "{}", char::from(alike));
        }
    }
}
