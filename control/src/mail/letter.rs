//! A mail that is to be sent, before it has words.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::UserId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::MailKind;
use crate::crypt::personal::Personal;
use crate::failure::Failure;
use crate::links::{LinkKind, LinkToken};
use crate::users::User;
use crate::world::{random, unix_ms};

/// The id of a mail: jobs carry it in place of an address, and its Message-ID is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailId(Uuid);

impl MailId {
    pub(super) fn make(now: DateTime<Utc>) -> Result<Self, Failure> {
        Ok(Self(uuid::Builder::from_unix_timestamp_millis(unix_ms(now), &random()?).into_uuid()))
    }

    /// As the database holds it.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The recipient of a mail. No `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Recipient {
    /// The account that it is about, where there is one. With the account the mail goes, too.
    pub user: Option<UserId>,
    /// The address as typed.
    pub address: String,
    /// The name beside it, or empty.
    pub name: String,
    /// A language tag, or empty for the tenant's language.
    pub language: String,
}

impl Recipient {
    /// An address that belongs to no user.
    #[must_use]
    pub fn address(address: &str, language: &str) -> Self {
        Self { user: None, address: address.to_owned(), name: String::new(), language: language.to_owned() }
    }

    /// A user at the address of their account; `None` for a user without one.
    #[must_use]
    pub fn user(user: &User) -> Option<Self> {
        let address = user.email.as_ref()?.expose();
        Some(Self::user_at(user, address))
    }

    /// A user at another address: the one that they had, or want.
    #[must_use]
    pub fn user_at(user: &User, address: &str) -> Self {
        let name = [&user.first_name, &user.last_name].map(Personal::expose).join(" ");
        Self {
            user: Some(user.id),
            address: address.to_owned(),
            name: name.trim().to_owned(),
            language: user.language.clone(),
        }
    }
}

/// What happened to a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorChange {
    /// There is one more.
    #[default]
    Added,
    /// There is one less.
    Removed,
    /// There are new recovery codes.
    CodesMade,
    /// A recovery code was used.
    CodeUsed,
    /// A browser is remembered.
    Remembered,
}

/// The values of a mail's template; each kind needs some of them. No `Debug`: it may hold a password.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The user name of the account.
    pub username: String,
    /// A one-time password.
    pub password: Option<Zeroizing<String>>,
    /// The name of who invites, or empty.
    pub by: String,
    /// The role that an invitation offers, or empty.
    pub role: String,
    /// When it happened; `None` for the time of [`post`](super::post()).
    pub at: Option<DateTime<Utc>>,
    /// The address of the client that asked for it, or empty.
    pub client: String,
    /// Browser and system of the device, or empty if unknown.
    pub device: String,
    /// Where the device was, or empty.
    #[serde(default)]
    pub place: String,
    /// What happened to a second factor.
    pub factor: FactorChange,
    /// Recovery codes that are left, where one was used.
    #[serde(default)]
    pub codes_left: i64,
    /// When its content expires, if it has no link that says so.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A mail that is to be sent. No `Debug`: its link is a secret.
pub struct NewMail {
    /// What it is.
    pub kind: MailKind,
    /// Whom it goes to.
    pub to: Recipient,
    /// The kind of its link, and the link's token. It must have been made in the same transaction.
    pub link: Option<(LinkKind, LinkToken)>,
    /// What it tells.
    pub facts: Facts,
}

/// A letter as it is stored, sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Content {
    pub to: Recipient,
    pub link: Option<(LinkKind, LinkToken)>,
    pub facts: Facts,
}
