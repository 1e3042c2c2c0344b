//! The request's id, its log line and its numbers.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use shared::contract::limits::REQUEST_ID_BYTES;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::control::Control;
use crate::world::{random, unix_ms};

/// The name of the header.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// The id of the request being served, in every log line and in the audit log.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Takes over the id of the caller if it is one, else makes one, and answers with it.
pub async fn follow(State(control): State<Control>, mut request: Request, next: Next) -> Response {
    let id = taken_over(&request).unwrap_or_else(|| made(&control));
    let span = tracing::info_span!("request", id = %id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    #[allow(clippy::disallowed_methods, reason = "a duration is only reported")]
    let began = Instant::now();
    let answer = async {
        let mut response = next.run(request).await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        report(&method, &path, &response, began.elapsed().as_secs_f64());
        response
    };
    answer.instrument(span).await
}

fn report(method: &Method, path: &str, response: &Response, secs: f64) {
    let status = response.status().as_u16();
    let route = shared::contract::routes::find(path).map_or("unknown", |route| route.path);
    // A client may send any text as the method; a metric label must be a known one.
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let label = if known.contains(method) { method.as_str().to_owned() } else { String::from("other") };
    let labels = [("route", route.to_owned()), ("method", label), ("status", status.to_string())];
    metrics::counter!("wardgate_http_requests_total", &labels).increment(1);
    metrics::histogram!("wardgate_http_request_seconds", "route" => route).record(secs);
    let ms = secs * 1000.0;
    tracing::info!(%method, path, status, ms, "served");
}

fn taken_over(request: &Request) -> Option<String> {
    let text = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    (plain && (1..=REQUEST_ID_BYTES).contains(&text.len())).then(|| text.to_owned())
}

fn made(control: &Control) -> String {
    let random = random().unwrap_or_default();
    let id: Uuid =
        uuid::Builder::from_unix_timestamp_millis(unix_ms(control.clock.now()), &random).into_uuid();
    id.simple().to_string()
}
