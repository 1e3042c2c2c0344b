//! Requests that wait for the proof of an address: a registration, a reset, an invitation, a change of address.
//!
//! A request without a credential does the same work whatever it names: it puts what was typed into a row, sealed under
//! the row's own key, enqueues a job that names the row, and is answered. The job looks up whom it concerns. So neither
//! answer nor time tells a stranger which names and addresses are known.

mod room;
mod sought;
mod store;

pub use room::{LATER_SECS, count, take_room};
pub use sought::{about, mark, unmark};
pub use store::{ForgetExpired, Request, all, find, of_user, prune, put, remove, replace};

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::failure::Failure;
use crate::world::{random, unix_ms};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// An account.
    Registration,
    /// A link by mail that sets a new password.
    Reset,
    /// The mail of a registration once more.
    Resend,
    /// An account for another person.
    Invitation,
    /// Another address for a user.
    Address,
    /// A network from which a user wants to sign in, on its way to the edge.
    Network,
}

impl RequestKind {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Reset => "reset",
            Self::Resend => "resend",
            Self::Invitation => "invitation",
            Self::Address => "address",
            Self::Network => "network",
        }
    }
}

/// The id of a request; jobs carry it in place of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new one.
    fn make(now: DateTime<Utc>) -> Result<Self, Failure> {
        Ok(Self(uuid::Builder::from_unix_timestamp_millis(unix_ms(now), &random()?).into_uuid()))
    }

    /// Reads an id, in any spelling of a UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        shared::ids::uuid(text).ok().map(Self)
    }

    /// As the database holds it.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for RequestId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
