//! Permissions, named `noun.verb`, and the predefined roles.

/// A type that stands for one permission in an extractor's signature.
pub trait Permitted {
    /// The permission it stands for.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A permission. `platform.*` exist at the platform tenant alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[$doc])* $name,)* }

        impl Permission {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// `noun.verb`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        /// A type for each permission, for use in signatures.
        pub mod marker {
            $($(#[$doc])* #[derive(Clone, Copy, Debug)] pub struct $name;
            impl super::Permitted for $name {
                const PERMISSION: super::Permission = super::Permission::$name;
            })*
        }
    };
}

permissions! {
    /// Read the tenant's users.
    UsersRead = "users.read",
    /// Create and edit users of a lower rank: their fields, status, roles and password.
    UsersWrite = "users.write",
    /// Delete users of a lower rank.
    UsersDelete = "users.delete",
    /// Read a personal field of a user that the caller's roles hide, for a reason that is logged.
    UsersUnmask = "users.unmask",
    /// Read the sessions of users of a lower rank, with device and place.
    SessionsRead = "sessions.read",
    /// End users' sessions.
    SessionsEnd = "sessions.end",
    /// Read roles and permissions.
    RolesRead = "roles.read",
    /// Create, edit and delete roles of a lower rank, with permissions that the caller has.
    RolesWrite = "roles.write",
    /// Read the branches of the tenant.
    BranchesRead = "branches.read",
    /// Create, edit, move, archive and delete branches.
    BranchesWrite = "branches.write",
    /// Read the audit log.
    AuditRead = "audit.read",
    /// Read the tenant's own settings.
    TenantRead = "tenant.read",
    /// Edit the tenant's own settings within the platform's bounds.
    TenantWrite = "tenant.write",
    /// List the tenant's signing keys.
    KeysRead = "keys.read",
    /// Rotate the tenant's signing keys.
    KeysRotate = "keys.rotate",
    /// Revoke a signing key at once.
    KeysRevoke = "keys.revoke",
    /// Read every tenant.
    PlatformTenantsRead = "platform.tenants_read",
    /// Create, edit, suspend and resume tenants.
    PlatformTenantsWrite = "platform.tenants_write",
    /// Change the issuer or audience of a tenant, or how its tokens write `user_id`.
    PlatformTenantsClaims = "platform.tenants_claims",
    /// Delete tenants.
    PlatformTenantsDelete = "platform.tenants_delete",
    /// Import signing keys.
    PlatformKeysImport = "platform.keys_import",
    /// Read the queue of jobs, of all tenants.
    PlatformJobsRead = "platform.jobs_read",
    /// Try jobs again and cancel them.
    PlatformJobsWrite = "platform.jobs_write",
}

impl Permission {
    /// Whether it exists only at the platform tenant.
    #[must_use]
    pub fn is_platform(self) -> bool {
        self.as_str().starts_with("platform.")
    }

    /// Whether it exists at a tenant, which is the platform tenant or another one.
    #[must_use]
    pub fn exists(self, at_platform: bool) -> bool {
        at_platform || !self.is_platform()
    }

    /// Whether a role of a branch can have it: what it allows concerns users, or is needed to work with them.
    #[must_use]
    pub fn exists_in_branches(self) -> bool {
        match self {
            Self::UsersRead
            | Self::UsersWrite
            | Self::UsersDelete
            | Self::UsersUnmask
            | Self::SessionsRead
            | Self::SessionsEnd
            | Self::RolesRead
            | Self::BranchesRead
            | Self::AuditRead => true,
            Self::RolesWrite
            | Self::BranchesWrite
            | Self::TenantRead
            | Self::TenantWrite
            | Self::KeysRead
            | Self::KeysRotate
            | Self::KeysRevoke
            | Self::PlatformTenantsRead
            | Self::PlatformTenantsWrite
            | Self::PlatformTenantsClaims
            | Self::PlatformTenantsDelete
            | Self::PlatformKeysImport
            | Self::PlatformJobsRead
            | Self::PlatformJobsWrite => false,
        }
    }

    /// The permission of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == name)
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    /// No permission.
    pub const NONE: Self = Self(0);
    /// Every permission, those of later releases included.
    pub const EVERY: Self = Self(u64::MAX);
    /// A permission that a later release knows. No predefined role below `root-admin` has it, so only a root-admin may
    /// give it away.
    const UNKNOWN: Self = Self(1 << 63);

    const fn bit(permission: Permission) -> u64 {
        1 << (permission as u32)
    }

    /// The set of these permissions.
    #[must_use]
    pub fn of(permissions: &[Permission]) -> Self {
        Self(permissions.iter().fold(0, |bits, permission| bits | Self::bit(*permission)))
    }

    /// The set of these names, as a role stores them.
    #[must_use]
    pub fn named<N: AsRef<str>>(names: &[N]) -> Self {
        let of = |name: &N| match Permission::parse(name.as_ref()) {
            Some(permission) => Self(Self::bit(permission)),
            None => Self::UNKNOWN,
        };
        names.iter().map(of).fold(Self::NONE, Self::with)
    }

    /// The permissions of the set, without those that this release does not know.
    pub fn known(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.holds(*permission))
    }

    /// The permissions of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `permission` is in the set.
    #[must_use]
    pub const fn holds(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    /// Whether every permission of `other` is in the set.
    #[must_use]
    pub const fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A predefined role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name in tokens and answers.
    pub name: &'static str,
    /// Its rank: a user can act only on users of a lower rank; root-admins also on root-admins.
    pub rank: i32,
    /// Its permissions.
    pub permissions: &'static [Permission],
}

impl Role {
    /// The predefined role of a name.
    #[must_use]
    pub fn predefined(name: &str) -> Option<&'static Self> {
        ROLES.iter().find(|role| role.name == name)
    }

    /// The set of its permissions.
    #[must_use]
    pub fn grants(&self) -> Permissions {
        if self.rank == ROOT_RANK { Permissions::EVERY } else { Permissions::of(self.permissions) }
    }
}

/// The rank of `root-admin`. Every other role has a lower one.
pub const ROOT_RANK: i32 = 100;
/// The highest rank of registered users: below `staff`, who may read other users.
pub const REGISTRATION_RANK: i32 = 39;

/// The four predefined roles, highest rank first. A root-admin of the platform tenant also has the `platform.*`
/// permissions.
pub const ROLES: [Role; 4] = {
    use Permission as P;
    [
        Role {
            name: "root-admin",
            rank: ROOT_RANK,
            permissions: &[
                P::UsersRead,
                P::UsersWrite,
                P::UsersDelete,
                P::UsersUnmask,
                P::SessionsRead,
                P::SessionsEnd,
                P::RolesRead,
                P::RolesWrite,
                P::BranchesRead,
                P::BranchesWrite,
                P::AuditRead,
                P::TenantRead,
                P::TenantWrite,
                P::KeysRead,
                P::KeysRotate,
                P::KeysRevoke,
                P::PlatformTenantsRead,
                P::PlatformTenantsWrite,
                P::PlatformTenantsClaims,
                P::PlatformTenantsDelete,
                P::PlatformKeysImport,
                P::PlatformJobsRead,
                P::PlatformJobsWrite,
            ],
        },
        Role {
            name: "co-admin",
            rank: 80,
            permissions: &[
                P::UsersRead,
                P::UsersWrite,
                P::UsersDelete,
                P::UsersUnmask,
                P::SessionsRead,
                P::SessionsEnd,
                P::RolesRead,
                P::BranchesRead,
                P::AuditRead,
                P::TenantRead,
                P::KeysRead,
            ],
        },
        Role { name: "staff", rank: 40, permissions: &[P::UsersRead, P::RolesRead, P::BranchesRead] },
        Role { name: "client", rank: 10, permissions: &[] },
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_noun_dot_verb_and_unique() {
        let mut names: Vec<_> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        assert!(names.iter().all(|name| name.split('.').count() == 2));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Permission::ALL.len());
    }

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        assert!(Permission::ALL.len() < 63, "a set has 63 places, and one for what it does not know");
        let some = Permissions::of(&[Permission::UsersRead, Permission::RolesWrite]);
        for permission in Permission::ALL {
            let expected = matches!(permission, Permission::UsersRead | Permission::RolesWrite);
            assert_eq!(some.holds(*permission), expected, "{}", permission.as_str());
            assert!(Permissions::EVERY.holds(*permission) && !Permissions::NONE.holds(*permission));
        }
        assert_eq!(Permissions::named(&["roles.write", "users.read"]), some);
        assert!(some.includes(Permissions::named(&["users.read"])) && some.includes(Permissions::NONE));
        assert!(!some.includes(Permissions::named(&["users.read", "users.write"])));
        assert!(Permissions::NONE.is_empty() && !some.is_empty());
    }

    #[test]
    fn only_a_root_admin_has_a_permission_of_a_later_release() {
        let later = Permissions::named(&["reports.read"]);
        assert!(Permission::ALL.iter().all(|permission| !later.holds(*permission)));
        assert!(!Permissions::of(Permission::ALL).includes(later));
        assert_eq!(ROLES.map(|role| role.grants().includes(later)), [true, false, false, false]);
    }

    #[test]
    fn the_documentation_has_every_permission_and_role() {
        let documentation = include_str!("../../../docs/roles.md");
        for permission in Permission::ALL.iter().filter(|permission| !permission.is_platform()) {
            let line = documentation.lines().find(|line| {
                line.starts_with('|')
                    && line.split('|').nth(1).is_some_and(|name| name.contains(permission.as_str()))
            });
            assert!(line.is_some(), "docs/roles.md has no line for {}", permission.as_str());
        }
        for role in &ROLES[1..] {
            let mut names: Vec<_> =
                role.permissions.iter().map(|name| format!("`{}`", name.as_str())).collect();
            names.sort_unstable();
            let names = if names.is_empty() { String::from("none") } else { names.join(", ") };
            let row = format!("| `{}` | {} | {names} |", role.name, role.rank);
            assert!(documentation.contains(&row), "docs/roles.md has no line {row}");
        }
    }

    #[test]
    fn a_higher_role_may_do_whatever_a_lower_one_may() {
        for pair in ROLES.windows(2) {
            assert!(pair[0].rank > pair[1].rank);
            assert!(pair[1].permissions.iter().all(|permission| pair[0].permissions.contains(permission)));
        }
        assert_eq!(ROLES[0].permissions.len(), Permission::ALL.len());
    }
}
