//! Requests that no edge forwarded: development, tests, emergencies. By Bearer token alone, the
//! client being the socket's peer.

use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::header::HOST;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use shared::ids::TenantId;
use shared::tokens::jws::Jws;

use super::answer::Refused;
use super::credentials;
use super::origin::Origin;
use crate::control::Control;

#[derive(Deserialize)]
struct Claimed {
    tenant: TenantId,
}

/// The tenant that the token claims, which decides under whose keys it must verify; without a token
/// the platform tenant, which has the one route without a credential.
pub(super) async fn origin(
    control: &Control,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
) -> Result<Origin, Refused> {
    let claimed = match credentials::bearer(headers) {
        Ok(Some(token)) => claimed_tenant(&token),
        Ok(None) | Err(_) => None,
    };
    let tenant = match claimed {
        Some(tenant) => tenant,
        None => control.db.platform().await?,
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Ok(Origin {
        tenant,
        client: peer.map(|address| address.ip().to_string()),
        base: format!("http://{host}"),
        // Only the edge knows tickets.
        ticket: None,
    })
}

fn claimed_tenant(unverified_token: &str) -> Option<TenantId> {
    let payload = Jws::split(unverified_token)?.payload;
    let claimed: Claimed = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(claimed.tenant)
}
