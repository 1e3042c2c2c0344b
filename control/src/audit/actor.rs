//! The actor of an action, and the client's address.

use shared::contract::permissions::ROOT_RANK;
use shared::ids::UserId;

use crate::branches::{Grants, Place, Reach};

/// The kinds of actors, as stored and answered.
pub(super) const KINDS: [&str; 5] = ["person", "platform", "operator", "edge", "control"];

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user of the tenant.
    User {
        /// Their id.
        id: UserId,
        /// The highest rank among their roles that belong to no branch.
        rank: i32,
        /// What their roles permit, and over which users.
        grants: Grants,
    },
    /// A user of the platform tenant who acts on another tenant, where ranks are not theirs.
    Platform {
        /// Their id in the platform tenant.
        id: UserId,
        /// The highest rank among their roles there.
        rank: i32,
        /// What their roles permit there.
        grants: Grants,
    },
    /// An operator at the command line, with access to the database: above every rank.
    Operator,
    /// The service itself, carrying out what was planned.
    Control,
}

/// An actor with what the log keeps about the call.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who.
    pub who: Who,
    /// The id of the request, where there is one.
    pub request_id: Option<String>,
    /// The client's address as the edge saw it.
    pub client: Option<String>,
}

impl Actor {
    /// The command line.
    #[must_use]
    pub fn operator() -> Self {
        Self { who: Who::Operator, request_id: None, client: None }
    }

    /// The service itself.
    #[must_use]
    pub fn control() -> Self {
        Self { who: Who::Control, request_id: None, client: None }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.who {
            Who::User { .. } => "person",
            Who::Platform { .. } => "platform",
            Who::Operator => "operator",
            Who::Control => "control",
        }
    }

    pub(super) fn id(&self) -> Option<String> {
        match &self.who {
            Who::User { id, .. } | Who::Platform { id, .. } => Some(id.to_string()),
            Who::Operator | Who::Control => None,
        }
    }

    /// Whether this is the user `id`.
    #[must_use]
    pub fn is(&self, id: UserId) -> bool {
        matches!(self.who, Who::User { id: own, .. } if own == id)
    }

    /// Whether the actor may act on users of `rank` at a place, and grant them or take from them a role of that rank: only
    /// what is below their own rank there, save that root-admins may act on root-admins. The rank of a role of a branch
    /// counts in the branch and below it alone. `None` is the place of users in no branch, and of roles themselves.
    #[must_use]
    pub fn outranks(&self, rank: i32, place: Option<&Place>) -> bool {
        match &self.who {
            Who::User { rank: everywhere, grants, .. } => {
                let own = grants.rank_at(place).max(*everywhere);
                own > rank || own == ROOT_RANK && rank == ROOT_RANK
            }
            Who::Platform { .. } | Who::Operator | Who::Control => true,
        }
    }

    /// Whether the actor may give these permissions to a user or a role: only those that they have, over no more users.
    #[must_use]
    pub fn may_give(&self, grants: &Grants) -> bool {
        match &self.who {
            Who::User { grants: own, .. } => own.includes(grants),
            Who::Platform { .. } | Who::Operator | Who::Control => true,
        }
    }

    /// Whether the actor may change what a role gives: only those permissions are added that they have, over users over
    /// whom they have them.
    #[must_use]
    pub fn may_raise(&self, from: &Grants, to: &Grants) -> bool {
        match &self.who {
            Who::User { grants: own, .. } => own.clone().with(from.clone()).includes(to),
            Who::Platform { .. } | Who::Operator | Who::Control => true,
        }
    }

    /// Whether the actor may move users from `place` out of the reach of `lost` roles and into that of `won` ones, as if
    /// the actor took and granted these roles: all are below the actor's rank there, and the permissions of `won` are the
    /// actor's own. `None` is the place of users in no branch.
    #[must_use]
    pub fn may_move(&self, place: Option<&Place>, lost: Reach, won: Reach) -> bool {
        let has_permissions = match &self.who {
            Who::User { grants: own, .. } => own.at(place).includes(won.permissions),
            Who::Platform { .. } | Who::Operator | Who::Control => true,
        };
        let ranks = [lost.rank, won.rank];
        has_permissions && ranks.into_iter().flatten().all(|rank| self.outranks(rank, place))
    }
}

#[cfg(test)]
mod tests {
    use shared::contract::permissions::{Permission, Permissions};

    use super::*;

    #[test]
    fn nobody_acts_at_or_above_their_own_rank_but_root_admins_on_root_admins() {
        let of = |rank| actor(rank, Permissions::NONE);
        // own rank, the other's, may
        for (own, other, may) in [
            (100, 100, true),
            (100, 80, true),
            (100, 0, true),
            (80, 100, false),
            (80, 80, false),
            (80, 40, true),
            (40, 40, false),
            (40, 80, false),
            (40, 10, true),
            (10, 10, false),
            (0, 0, false),
        ] {
            assert_eq!(of(own).outranks(other, None), may, "{own} on {other}");
        }
        assert!(Actor::operator().outranks(100, None));
    }

    fn actor(rank: i32, permissions: Permissions) -> Actor {
        let who = Who::User { id: UserId::new(1, [1; 10]), rank, grants: Grants::everywhere(permissions) };
        Actor { who, ..Actor::control() }
    }

    #[test]
    fn nobody_gives_what_they_do_not_have() {
        let reads = Permissions::of(&[Permission::UsersRead]);
        let writes = Permissions::of(&[Permission::UsersWrite]);
        let may_give = |actor: Actor, given| actor.may_give(&Grants::everywhere(given));
        assert!(may_give(actor(80, reads), reads) && may_give(actor(80, reads), Permissions::NONE));
        assert!(!may_give(actor(80, reads), writes) && !may_give(actor(80, reads), reads.with(writes)));
        assert!(may_give(Actor::operator(), Permissions::EVERY));
    }
}
