//! The actions of audit entries.

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// An action, done or refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// `noun.verb`, as stored and answered.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

actions! {
    /// A tenant was committed; its cell may follow.
    TenantCreated = "tenant.created",
    /// A tenant's cell exists and it is in use.
    TenantActivated = "tenant.activated",
    /// Name, hosts or settings were edited.
    TenantEdited = "tenant.edited",
    /// Issuer, audience, or how tokens write `user_id`, was changed: from what, to what.
    TenantClaimsChanged = "tenant.claims_changed",
    /// A tenant was stopped.
    TenantSuspended = "tenant.suspended",
    /// A suspended tenant is in use again.
    TenantResumed = "tenant.resumed",
    /// Users were imported: how many, and how many were refused.
    TenantImported = "tenant.imported",
    /// Refresh tokens of a legacy service that are still out were put on the tenant's list.
    LegacyTokensListed = "legacy.tokens_listed",
    /// The date came from which a legacy service's tokens are not accepted.
    LegacyEnded = "legacy.ended",
    /// A tenant is gone for good.
    TenantDeleted = "tenant.deleted",
    /// A user was made.
    UserCreated = "user.created",
    /// A user's fields were edited.
    UserEdited = "user.edited",
    /// A user's status changed.
    UserStatusChanged = "user.status_changed",
    /// A user's roles changed.
    UserRolesChanged = "user.roles_changed",
    /// An entry was added to a user's profile: to which section, and its id.
    ProfileEntryAdded = "profile.entry_added",
    /// An entry of a user's profile was edited or moved: which one, which fields, and where to.
    ProfileEntryEdited = "profile.entry_edited",
    /// An entry of a user's profile was deleted: which one.
    ProfileEntryDeleted = "profile.entry_deleted",
    /// A user was put into a branch or taken out of one: the ids of both.
    UserBranchChanged = "user.branch_changed",
    /// A branch was created: its name, and the branch that it is below.
    BranchCreated = "branch.created",
    /// A branch was renamed, moved, archived or taken out of the archive: the values before and after.
    BranchEdited = "branch.edited",
    /// A branch was deleted: the name that it had, and the branch that it was below.
    BranchDeleted = "branch.deleted",
    /// A custom role was created: its rank, permissions and branch.
    RoleCreated = "role.created",
    /// A custom role was edited: which texts, and rank, permissions and branch before and after.
    RoleEdited = "role.edited",
    /// A custom role was deleted: the rank and the permissions that it had.
    RoleDeleted = "role.deleted",
    /// A user's password was changed by its owner: by what proof, and which session went on.
    UserPasswordChanged = "user.password_changed",
    /// A user's password was set by an administrator or operator.
    UserPasswordSet = "user.password_set",
    /// A user enrolled an authenticator: which, and whether recovery codes were made. Or a code of it was wrong.
    SecondFactorAdded = "second_factor.added",
    /// A user gave an authenticator another name: which.
    SecondFactorRenamed = "second_factor.renamed",
    /// A user removed authenticators: which, and which session went on.
    SecondFactorRemoved = "second_factor.removed",
    /// An administrator removed all of a user's second factor: which authenticators.
    SecondFactorReset = "second_factor.reset",
    /// A user got new recovery codes.
    RecoveryCodesMade = "second_factor.codes_made",
    /// Remembered devices of a user were forgotten: which one; null for all.
    DevicesForgotten = "devices.forgotten",
    /// A link that sets a new password was mailed to a user.
    UserResetMailed = "user.reset_mailed",
    /// A user set a new password with a link from a mail.
    UserPasswordReset = "user.password_reset",
    /// A one-time password was mailed to a user by an administrator.
    UserPasswordRegenerated = "user.password_regenerated",
    /// A user confirmed a network with a link from a mail: sign-ins from it are accepted for an hour.
    NetworkConfirmed = "network.confirmed",
    /// An administrator lifted the counts of wrong passwords of a user.
    AttemptsLifted = "attempts.lifted",
    /// A user came from another service.
    UserImported = "user.imported",
    /// An imported hash was replaced by Argon2id at its owner's sign-in.
    UserPasswordTakenOver = "user.password_taken_over",
    /// A caller whose roles hide personal fields of a user was shown them in clear: which fields, and the reason.
    UserUnmasked = "user.unmasked",
    /// A person registered: with which roles, and whether the address was proven.
    UserRegistered = "user.registered",
    /// The owner of an address proved it.
    EmailVerified = "email.verified",
    /// A user asked for another address.
    EmailChangeAsked = "email.change_asked",
    /// The owner of a new address proved it, and it is the user's.
    EmailChanged = "email.changed",
    /// The owner of a former address took a change back: password and sessions are gone.
    EmailChangeUndone = "email.change_undone",
    /// An account lost an address that it had not proven, to its owner, and with it password and sessions.
    EmailDisowned = "email.disowned",
    /// A person was invited: with which roles.
    InvitationCreated = "invitation.created",
    /// An invitation was revoked.
    InvitationRevoked = "invitation.revoked",
    /// An invitation was accepted: which one, who invited, and with which roles.
    InvitationAccepted = "invitation.accepted",
    /// A user is gone.
    UserDeleted = "user.deleted",
    /// A session of a user was ended: which.
    SessionEnded = "session.ended",
    /// All sessions of a user were ended, or all but one: which.
    SessionsEnded = "sessions.ended",
    /// A key was made or promoted by plan.
    KeysAdvanced = "keys.advanced",
    /// A rotation was planned.
    KeysRotated = "keys.rotated",
    /// A key was revoked.
    KeyRevoked = "keys.revoked",
    /// A key was imported.
    KeyImported = "keys.imported",
    /// A tenant got a new session root, which signs later.
    SessionRootBegun = "session_root.begun",
    /// The edge knows it: from when it signs.
    SessionRootPlanned = "session_root.planned",
    /// It signs: when the former one leaves.
    SessionRootSwitched = "session_root.switched",
    /// The former one left.
    SessionRootRemoved = "session_root.removed",
    /// A new session root took the place of every other at once; every session ended.
    SessionRootReplaced = "session_root.replaced",
    /// The key of the index of a tenant's searches was changed.
    SearchRotated = "search.rotated",
    /// The search index was rebuilt: after a change of its key, a crash of the database or a restore.
    SearchRebuilt = "search.rebuilt",
    /// A tenant got another lookup root, which is not in force yet.
    LookupRotationBegan = "lookup.rotation_began",
    /// That root came into force.
    LookupSwitched = "lookup.switched",
    /// An operator gave up hashes that could not be recomputed under the new root.
    LookupForgotten = "lookup.forgotten",
    /// The old lookup root is gone.
    LookupRotated = "lookup.rotated",
    /// An operator accepted that a restore took entries of this log.
    AuditRestoreAccepted = "audit.restore_accepted",
    /// Entries were written into an archive: from which, to which.
    AuditArchived = "audit.archived",
    /// The log was exported.
    AuditExported = "audit.exported",
    /// Data keys of tenants were rewrapped by another key-encryption key: which one, and how many.
    TenantKeysRewrapped = "tenant_keys.rewrapped",
    /// A tenant got another data key: which version.
    TenantKeyRotated = "tenant_key.rotated",
    /// Nothing is sealed under former data keys of the tenant any more, and they were deleted: which versions.
    TenantKeyDeleted = "tenant_key.deleted",
    /// A job that had failed is tried again: of which kind and tenant, and why it had failed.
    JobRetried = "job.retried",
    /// A job was cancelled: its id and kind.
    JobCancelled = "job.cancelled",
    /// A tenant asks for a CAPTCHA, or for another one: when, of which service, and what holds where that does not answer.
    CaptchaSet = "captcha.set",
    /// A tenant asks for no CAPTCHA any more.
    CaptchaRemoved = "captcha.removed",
    /// A tenant got a mail server of its own, or another one: which.
    MailSenderSet = "mail.sender_set",
    /// A tenant has no mail server of its own any more.
    MailSenderRemoved = "mail.sender_removed",
    /// A tenant's mail was tested: whether the server took it.
    MailTested = "mail.tested",
    /// A server took a mail: of which kind.
    MailSent = "mail.sent",
    /// A mail was refused for good: of which kind, and why.
    MailRefused = "mail.refused",
    /// Permission was refused.
    PermissionRefused = "permission.refused",
    /// A request needed a more recent proof of who its sender is: how old it may be.
    StepUpRefused = "step_up.refused",
    /// A setup token was printed.
    SetupIssued = "setup.issued",
    /// The platform's first administrator was made with a setup token.
    SetupUsed = "setup.used",
    /// History was raised after a restore; every session ended.
    EdgeReseeded = "edge.reseeded",
    /// All values at the edge are resealed under another key-encryption key: which one.
    EdgeResealed = "edge.resealed",
    /// The edge's database was restored and got a new incarnation.
    EdgeRestored = "edge.restored",
}
