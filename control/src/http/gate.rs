//! The origin of a request, and whether its path exists.
//!
//! `Wardgate-*` headers exist only under a good forward signature; the tenant is `Wardgate-Tenant`,
//! never the host. A request without a signature is refused, unless `direct` is on.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use shared::contract::refusal::Refusal;
use shared::contract::routes::{self, Route};
use shared::ids::{self, TenantId};
use shared::wire::signature::{FORWARD_HEADERS, Message, Tag, covered_headers};
use shared::wire::ticket::{self, VouchedTicket};

use super::answer::{Refused, json};
use super::direct;
use super::origin::Origin;
use super::signed::{holds, only};
use crate::control::{Control, Inner};

/// Establishes the origin, answers what needs no handler, and completes every answer's headers.
pub async fn pass(State(control): State<Control>, mut request: Request, next: Next) -> Response {
    let route = routes::find(request.uri().path());
    let mut response = match enter(&control, &mut request, route).await {
        Ok(()) => next.run(request).await,
        Err(answer) => *answer,
    };
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(route) = route {
        headers.insert(ALLOW, HeaderValue::from_static(route.allow));
    }
    response
}

async fn enter(control: &Control, request: &mut Request, route: Option<&Route>) -> Result<(), Box<Response>> {
    let refuse = |refusal: Refusal| Box::new(Refused(refusal).into_response());
    let origin = match forwarded(control, request) {
        Some(origin) => Some(origin.map_err(|Unsigned| refuse(Refusal::unsigned()))?),
        None if control.settings.http.direct => None,
        None => return Err(refuse(Refusal::unsigned())),
    };
    if route.is_none() {
        return Err(refuse(Refusal::not_found()));
    }
    if request.method() == Method::OPTIONS {
        return Err(Box::new(json(StatusCode::OK, &serde_json::json!({}))));
    }
    let origin = match origin {
        Some(origin) => origin,
        None => {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
            let origin = direct::origin(control, request.headers(), peer).await;
            origin.map_err(|refused| Box::new(refused.into_response()))?
        }
    };
    request.extensions_mut().insert(origin);
    Ok(())
}

/// No signature, or one that does not hold.
struct Unsigned;

/// The origin by the forward signature; `None` without one.
fn forwarded(control: &Inner, request: &Request) -> Option<Result<Origin, Unsigned>> {
    let headers = request.headers();
    let claims_signature = headers.contains_key("signature-input") || headers.contains_key("signature");
    claims_signature.then(|| verified(control, request).ok_or(Unsigned))
}

fn verified(control: &Inner, request: &Request) -> Option<Origin> {
    let headers = request.headers();
    // A header that is there twice, or is no text, is not one that was signed.
    if FORWARD_HEADERS.iter().any(|name| headers.contains_key(*name) && only(headers, name).is_none()) {
        return None;
    }
    let covered = covered_headers(|name| only(headers, name).map(ToOwned::to_owned));
    let covered: Vec<_> = covered.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let message = Message {
        method: request.method().as_str(),
        authority: &control.settings.http.authority,
        path: original_path(request),
        query: request.uri().query().unwrap_or_default(),
        content_digest: None,
        headers: &covered,
    };
    if !holds(control, Tag::Forward, &message, headers) {
        return None;
    }
    let ticket = match only(headers, ticket::HEADER) {
        // Beside a token it says whose request this is a second time.
        Some(_) if headers.contains_key(AUTHORIZATION) => return None,
        Some(value) => Some(VouchedTicket::parse(value)?),
        None => None,
    };
    Some(Origin {
        tenant: TenantId::parse(only(headers, "wardgate-tenant")?).ok()?,
        client: only(headers, "wardgate-client").map(ToOwned::to_owned),
        base: only(headers, "wardgate-base")?.trim_end_matches('/').to_owned(),
        ticket,
    })
}

/// The path as it was sent, which is what was signed, and as answers link to it.
#[derive(Clone, Debug)]
struct OriginalPath {
    sent: String,
    public: String,
}

fn original_path(request: &Request) -> &str {
    request.extensions().get::<OriginalPath>().map_or(request.uri().path(), |path| &path.sent)
}

/// Gives one thing one path: the final slash is cut, and ids are written canonically. So routes, cursors,
/// idempotency keys and the log, which compare or keep paths, see one text; the path as sent is kept.
#[must_use]
pub fn with_one_path(mut request: Request) -> Request {
    let sent = request.uri().path().to_owned();
    let public = with_canonical_ids(&sent);
    let cut = public.strip_suffix('/').filter(|cut| !cut.is_empty() && !cut.ends_with('/'));
    let path = cut.unwrap_or(&public);
    if path != sent {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(uri) = format!("{path}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request.extensions_mut().insert(OriginalPath { sent, public });
    request
}

/// The path with every id in it written canonically. No other segment of a route reads as a UUID: names of
/// keys and sessions have other lengths.
fn with_canonical_ids(path: &str) -> String {
    let canonical = |segment: &str| {
        let decoded = percent_decode_str(segment).decode_utf8().ok()?;
        ids::uuid(&decoded).ok().map(|id| id.hyphenated().to_string())
    };
    let segments = path.split('/').map(|segment| canonical(segment).unwrap_or_else(|| segment.to_owned()));
    segments.collect::<Vec<_>>().join("/")
}

/// The path of this request as the client knows it, for links.
#[must_use]
pub fn public_path(extensions: &axum::http::Extensions) -> String {
    extensions.get::<OriginalPath>().map(|path| path.public.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn one_thing_has_one_path() {
        for (sent, path, public) in [
            ("/api/user/users/", "/api/user/users", "/api/user/users/"),
            ("/api/user/users", "/api/user/users", "/api/user/users"),
            ("/api/user/users//", "/api/user/users//", "/api/user/users//"),
            ("/", "/", "/"),
            (
                "/t/0190A5DAC96774BBCCEB302099A8057F/keys/?page=2",
                "/t/0190a5da-c967-74bb-cceb-302099a8057f/keys",
                "/t/0190a5da-c967-74bb-cceb-302099a8057f/keys/",
            ),
            (
                "/t/%7B0190a5da-c967-74bb-cceb-302099a8057f%7D",
                "/t/0190a5da-c967-74bb-cceb-302099a8057f",
                "/t/0190a5da-c967-74bb-cceb-302099a8057f",
            ),
            ("/t/%ff/%7B%7D/a%2Fb", "/t/%ff/%7B%7D/a%2Fb", "/t/%ff/%7B%7D/a%2Fb"),
        ] {
            let request = with_one_path(Request::get(sent).body(Body::empty()).unwrap());
            assert_eq!(request.uri().path(), path);
            assert_eq!(public_path(request.extensions()), public);
            assert_eq!(original_path(&request), sent.split('?').next().unwrap());
            assert_eq!(request.uri().query(), sent.split_once('?').map(|(_, query)| query));
        }
    }
}
