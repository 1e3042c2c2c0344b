//! Signed calls of the edge: not in the public route table, also with `direct`.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, Method};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use shared::contract::refusal::Refusal;
use shared::wire::password::{PATH, PasswordIn, PasswordOut};
use shared::wire::signature::{Message, Tag, content_digest};

use crate::control::Control;
use crate::http::answer::{Refused, ok};
use crate::http::signed;
use crate::legacy::passwords;

/// A password of 1,024 bytes with JSON escapes, and the rest of the message.
const QUESTION_BYTES: usize = 16 * 1024;

pub(super) fn router(control: &Control) -> Router {
    Router::new().route(PATH, any(password)).layer(from_fn(fresh)).with_state(control.clone())
}

/// Checks a password against a user's imported hash:
/// 1. the signature, over method, path and the body's digest: 401;
/// 2. the message: 400;
/// 3. the check: 200; 503 while too many wait.
///
/// A signature is valid for a minute, and a replay within it is answered again. That reveals nothing: the request
/// holds the password, the answer is the same, and every check counts toward the user's limit.
async fn password(State(control): State<Control>, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, QUESTION_BYTES).await.map_err(|_| Refusal::unsigned())?;
    let digest = content_digest(&body);
    let message = Message {
        method: Method::POST.as_str(),
        authority: &control.settings.http.authority,
        path: PATH,
        query: "",
        content_digest: Some(&digest),
        headers: &[],
    };
    let asked_so = parts.method == Method::POST && parts.uri.query().is_none();
    if !asked_so || !signed::holds(&control, Tag::Password, &message, &parts.headers) {
        return Err(Refusal::unsigned().into());
    }
    let question: PasswordIn =
        serde_json::from_slice(&body).map_err(|error| Refusal::json_parse(&error.to_string()))?;
    let matched = passwords::check(&control, &question).await?;
    Ok(ok(&PasswordOut { matched }))
}

async fn fresh(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
