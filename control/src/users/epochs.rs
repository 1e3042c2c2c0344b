//! Which change raises which epoch (architecture: Epochs). Pure.

use shared::user::UserStatus;

/// The three counters of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Raised by what ends access tokens.
    pub access: i64,
    /// Raised by what ends sessions.
    pub session: i64,
    /// The access epoch of the last password change.
    pub password: i64,
}

/// Which epochs a change raises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// Status before and after, where it changed.
    pub status: Option<(UserStatus, UserStatus)>,
    /// The set of roles changed.
    pub roles: bool,
    /// The password changed.
    pub password: bool,
    /// An administrator demands a new password; there was no demand before.
    pub must_change_password: bool,
    /// The user's sessions are ended.
    pub sessions: bool,
    /// An authenticator came or went: what a sign-in has to show is another thing now.
    pub second_factor: bool,
}

impl Causes {
    /// Whether anything a token says is no longer so.
    pub fn revokes(self) -> bool {
        self != Self::default()
    }
}

impl Epochs {
    /// The counters after a change. Access tokens end with every cause. Sessions end when a user is no longer active,
    /// with a new password or the requirement of one, and when they are ended explicitly.
    pub fn after(self, causes: Causes) -> Self {
        let stopped = causes
            .status
            .is_some_and(|(before, after)| before == UserStatus::Active && after != UserStatus::Active);
        let access = self.access + i64::from(causes.revokes());
        Self {
            access,
            session: self.session
                + i64::from(stopped || causes.password || causes.must_change_password || causes.sessions),
            password: if causes.password { access } else { self.password },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_raises_what_it_must() {
        use UserStatus::{Active, Inactive, Pending, Suspended};
        let none = Causes::default();
        // cause, (access, session, password) from (5, 3, 2)
        for (causes, expected) in [
            (none, (5, 3, 2)),
            (Causes { roles: true, ..none }, (6, 3, 2)),
            (Causes { password: true, ..none }, (6, 4, 6)),
            (Causes { sessions: true, ..none }, (6, 4, 2)),
            (Causes { second_factor: true, ..none }, (6, 3, 2)),
            (Causes { second_factor: true, sessions: true, ..none }, (6, 4, 2)),
            (Causes { must_change_password: true, ..none }, (6, 4, 2)),
            (Causes { must_change_password: true, password: true, ..none }, (6, 4, 6)),
            (Causes { status: Some((Active, Suspended)), ..none }, (6, 4, 2)),
            (Causes { status: Some((Active, Inactive)), ..none }, (6, 4, 2)),
            (Causes { status: Some((Suspended, Active)), ..none }, (6, 3, 2)),
            (Causes { status: Some((Pending, Active)), ..none }, (6, 3, 2)),
            (Causes { roles: true, password: true, ..none }, (6, 4, 6)),
        ] {
            let after = Epochs { access: 5, session: 3, password: 2 }.after(causes);
            assert_eq!((after.access, after.session, after.password), expected, "{causes:?}");
        }
    }
}
