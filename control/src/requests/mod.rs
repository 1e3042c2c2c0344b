//! Stored requests that wait for the proof of an address: a registration, a reset, an invitation, a change of
//! address.
//!
//! A request without a credential does the same work for every name and address: it stores the input in a row,
//! encrypted under the row's own key, enqueues a job with the row's id, and is answered. The job then looks up the
//! user. So neither the response nor its time reveals which names and addresses exist.

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

/// The kind of a stored request.
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
    /// A network that a user has confirmed, until the edge has it.
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
