//! The client of a sign-in: its network for counting, and its data that a session stores.

use shared::ids::{SessionId, TenantId};
use shared::network;
use shared::wire::client::ClientInfo;
use shared::wire::seal::{Context as Place, Kind, NONCE_BYTES, Sealed};

use crate::context::Context;
use crate::http::Incoming;
use crate::platform::Platform;

/// The client of a sign-in.
pub struct Client {
    /// Its address.
    pub address: String,
    /// The network that it is counted under.
    pub network: String,
    /// Its `User-Agent` and place.
    pub info: ClientInfo,
}

impl Client {
    /// The client of a request. Values that the runtime does not report are absent.
    #[must_use]
    pub fn of(request: &impl Incoming) -> Self {
        let [country, city] = request.place();
        let agent = request.header("user-agent");
        let address = request.client();
        Self {
            network: network::of(&address),
            info: ClientInfo::new(agent.as_deref(), country.as_deref(), city.as_deref()),
            address,
        }
    }
}

/// The sealed client for the session's row, unreadable in a copy of D1. `None` if nothing is known.
pub(super) fn sealed<P: Platform>(
    ctx: Context<'_, P>,
    tenant: TenantId,
    sid: SessionId,
    info: &ClientInfo,
) -> Option<String> {
    if info.is_unknown() {
        return None;
    }
    let settings = ctx.app.settings().ok()?;
    let key = settings.edge_keys.first()?.for_clients(tenant);
    let plaintext = serde_json::to_vec(info).ok()?;
    let (subject, nonce) = (sid.to_string(), ctx.app.random::<NONCE_BYTES>());
    let place = Place { edge: &settings.edge_id, tenant, kind: Kind::Client, subject: &subject };
    Sealed::seal(&key, &place, nonce, &plaintext).ok().map(|sealed| sealed.to_string())
}
