//! A call without a session, and what the audit log keeps of it.

use shared::contract::permissions::REGISTRATION_RANK;
use shared::ids::UserId;
use uuid::Uuid;

use crate::audit::{Actor, Who};
use crate::branches::Grants;
use crate::users::User;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The id of the request.
    pub request_id: Option<String>,
    /// The client's address.
    pub client: Option<String>,
}

impl Call {
    /// The user as who acts: a link proved that the call is theirs.
    #[must_use]
    pub fn of(&self, user: &User) -> Actor {
        self.by(user.who())
    }

    /// The service, which carries out what was asked for.
    #[must_use]
    pub fn control(&self) -> Actor {
        self.by(Who::Control)
    }

    fn by(&self, who: Who) -> Actor {
        Actor { who, request_id: self.request_id.clone(), client: self.client.clone() }
    }
}

/// The actor who gives a registered user their role. Its rank is one above the highest that registration may give, and it
/// gives no permission.
#[must_use]
pub(super) fn doorkeeper() -> Actor {
    let id = UserId::from(Uuid::nil());
    let who = Who::User { id, rank: REGISTRATION_RANK + 1, grants: Grants::default() };
    Actor { who, ..Actor::control() }
}
