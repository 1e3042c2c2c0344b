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
    /// End users's sessions.
    SessionsEnd = "sessions.end",
    /// Read roles and permissions.
    RolesRead = "roles.read",
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

/// The rank of `root-admin`.
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
                P::AuditRead,
                P::TenantRead,
                P::KeysRead,
            ],
        },
        Role { name: "staff", rank: 40, permissions: &[P::UsersRead, P::RolesRead] },
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
    fn a_higher_role_may_do_whatever_a_lower_one_may() {
        for pair in ROLES.windows(2) {
            assert!(pair[0].rank > pair[1].rank);
            assert!(pair[1].permissions.iter().all(|permission| pair[0].permissions.contains(permission)));
        }
        assert_eq!(ROLES[0].permissions.len(), Permission::ALL.len());
    }
}
