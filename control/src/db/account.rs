//! Whom a transaction is counted for.

use shared::ids::TenantId;

/// On whose behalf, and from which connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub lane: Lane,
    /// Whose share is used. A platform administrator who acts on another tenant uses that of the platform:
    /// a tenant that is flooded can still be stopped, and none is kept out by what is done to it.
    pub tenant: TenantId,
}

/// Which connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    /// Those for requests, within the share of the tenant's users.
    Users,
    /// Those for requests, within the share of what strangers cause there.
    Strangers,
    /// Those of jobs and the drain.
    Work,
    /// Those of the pusher.
    Push,
}
