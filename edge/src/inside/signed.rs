//! The door of the internal routes: a good service signature of control, or nothing is read.

use serde::de::DeserializeOwned;
use shared::contract::limits::BODY_BYTES;
use shared::contract::refusal::Refusal;
use shared::wire::signature::{Message, Tag, content_digest, verify};

use crate::app::App;
use crate::http::Incoming;
use crate::platform::Platform;

/// Largest internal message: 500 documents and rows stay far below.
const MESSAGE_BYTES: usize = 8 * BODY_BYTES;

/// Reads the message of a signed call.
///
/// 1. The signature over method, this edge's own authority, path, query and the digest that the
///    caller names: 401. A stranger's body is not read, or a few of them would fill the isolate.
/// 2. The body, at most 8 MiB: 413; 401 where its digest is another.
/// 3. The message: 400 where it is none.
///
/// # Errors
/// As above. Nothing is changed by any of them.
pub async fn message<P: Platform, T: DeserializeOwned>(
    app: &App<P>,
    request: &impl Incoming,
    tag: Tag,
    path: &str,
    query: &str,
) -> Result<T, Refusal> {
    let settings = app.settings()?;
    let header = |name| request.header(name).ok_or_else(Refusal::unsigned);
    let (input, signature) = (header("signature-input")?, header("signature")?);
    let claimed_digest = header("content-digest")?;
    let method = request.method();
    let signed = Message {
        method: &method,
        authority: &settings.authority,
        path,
        query,
        content_digest: Some(&claimed_digest),
        headers: &[],
    };
    let now = app.platform.service_now_secs();
    verify(&settings.control_keys, tag, &signed, &input, &signature, now).map_err(|_| Refusal::unsigned())?;
    let body = request.body(MESSAGE_BYTES).await.map_err(|_| Refusal::too_large())?;
    if content_digest(&body) != claimed_digest {
        return Err(Refusal::unsigned());
    }
    serde_json::from_slice(&body).map_err(|error| Refusal::json_parse(&error.to_string()))
}
