//! Authentication of internal routes: control's service signature is verified before the body is read.

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
/// 1. 401 unless the signature over method, this edge's own authority, path, query and the given digest is valid. The
///    body of an unauthenticated caller is not read, because it could fill the isolate's memory.
/// 2. The body: 413 over 8 MiB; 401 if its digest differs.
/// 3. 400 if the message does not parse.
///
/// # Errors
/// As above. No error changes data.
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
