//! The clients of sessions, opened for control: D1 stores them sealed under a key that only this edge has.

use shared::ids::{SessionId, TenantId};
use shared::wire::client::ClientInfo;
use shared::wire::seal::{Context, Kind, Sealed};

use crate::settings::Settings;

/// Unseals the client of a session. `None` if the value is sealed under a key that this edge no longer has.
#[must_use]
pub fn opened(settings: &Settings, tenant: TenantId, sid: SessionId, sealed: &str) -> Option<ClientInfo> {
    let keys: Vec<_> = settings.edge_keys.iter().map(|key| key.for_clients(tenant)).collect();
    let subject = sid.to_string();
    let context = Context { edge: &settings.edge_id, tenant, kind: Kind::Client, subject: &subject };
    let plaintext = Sealed::parse(sealed).ok()?.open(&keys, &context).ok()?;
    serde_json::from_slice(&plaintext).ok()
}
