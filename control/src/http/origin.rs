//! Where a request comes from, as the [`gate`](super::gate) has established it.

use shared::ids::TenantId;
use shared::wire::ticket::VouchedTicket;

/// The origin of a request. Trusted.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The tenant it is for.
    pub tenant: TenantId,
    /// The client's address, where the edge or the socket told it.
    pub client: Option<String>,
    /// What every absolute URL in the answer starts with.
    pub base: String,
    /// The ticket that the edge vouches for, in place of a token.
    pub ticket: Option<VouchedTicket>,
}
