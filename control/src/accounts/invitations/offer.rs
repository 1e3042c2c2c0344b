//! What an invitation holds.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::UserId;
use uuid::Uuid;

use crate::requests::RequestId;

/// The address and roles of an invitation. No `Debug`: it holds personal data.
#[derive(Serialize, Deserialize)]
pub struct Invited {
    /// The address as typed.
    pub email: String,
    /// A user name that they need not choose.
    pub username: Option<String>,
    /// Roles by name.
    pub roles: Vec<String>,
    /// The branch that the user will be in, if any.
    #[serde(default)]
    pub branch: Option<Uuid>,
    /// A language tag, or empty.
    pub language: String,
}

/// Who invites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A user of the tenant, whose standing is judged again when the invitation is accepted.
    User(UserId),
    /// The command line, or the platform when it made the tenant: above every rank.
    Platform,
}

/// An invitation as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Offer {
    pub invited: Invited,
    pub by: By,
    /// Whether it has been mailed.
    pub answered: bool,
}

/// An invitation that is open.
pub struct Invitation {
    /// Its id.
    pub id: RequestId,
    pub(super) offer: Offer,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Invitation {
    /// The invited address.
    #[must_use]
    pub fn invited(&self) -> &Invited {
        &self.offer.invited
    }

    /// Who invites, where it is a user.
    #[must_use]
    pub fn by(&self) -> Option<UserId> {
        match self.offer.by {
            By::User(id) => Some(id),
            By::Platform => None,
        }
    }
}
