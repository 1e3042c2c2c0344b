//! Whether the edge signed a request: the same for forwarded ones and for those of the inside.

use axum::http::HeaderMap;
use shared::wire::signature::{Message, PeerKey, Tag, verify};

use crate::control::Inner;

/// Whether a service key of the edge signed `message` for `tag`, now.
pub fn holds(control: &Inner, tag: Tag, message: &Message<'_>, headers: &HeaderMap) -> bool {
    let peers: Vec<PeerKey> = control.settings.edge.public_keys.0.iter().map(|key| key.0.clone()).collect();
    let Ok(now_secs) = u64::try_from(control.clock.now().timestamp()) else { return false };
    match (only(headers, "signature-input"), only(headers, "signature")) {
        (Some(input), Some(signature)) => verify(&peers, tag, message, input, signature, now_secs).is_ok(),
        _ => false,
    }
}

/// The value of a header that is there exactly once and is text.
pub fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
