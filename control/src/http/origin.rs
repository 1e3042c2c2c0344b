//! Where a request comes from, as the [`gate`](super::gate) has established it.

use shared::ids::TenantId;
use shared::wire::ticket::VouchedTicket;

/// The origin of a request. Trusted.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The tenant it is for.
    pub tenant: TenantId,
    /// The client's address, from the edge or the socket.
    pub client: Option<String>,
    /// The prefix of absolute URLs in the answer.
    pub base: String,
    /// The ticket that the edge vouches for, in place of a token.
    pub ticket: Option<VouchedTicket>,
}
