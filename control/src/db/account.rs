//! The share that a transaction uses.

use shared::ids::TenantId;

/// On whose behalf, and from which connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub lane: Lane,
    /// The tenant whose share is used. A platform administrator who acts on another tenant uses the platform's share,
    /// so that a flooded tenant can still be suspended.
    pub tenant: TenantId,
}

/// The pool of connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    /// Those for requests, within the share of the tenant's users.
    Users,
    /// Connections for unauthenticated requests, within their share.
    Strangers,
    /// Those of jobs and the drain.
    Work,
    /// Those of the pusher.
    Push,
}
