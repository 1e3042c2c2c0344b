//! `/mail`: the kept mails for a developer's browser.
//!
//! They hold links that set passwords, so the page is for this machine alone: it listens on loopback, and it
//! answers no other `Host`, because a site whose name resolves to 127.0.0.1 would otherwise read it (DNS
//! rebinding). What a mail says is escaped; its HTML is shown in a frame that may load and run nothing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::kept::Kept;
use crate::shown::{Line, Shown};

const STYLE: &str = include_str!("../templates/style.css");
const POLICY: &str = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// Of a mail's HTML: styles stand in its tags, as mail programs want them, and nothing is fetched.
const MAIL_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'self'";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    mail: Shown,
}

struct Served {
    kept: Kept,
    hosts: [String; 2],
}

/// Serves the page on this port of loopback until the process ends.
///
/// # Errors
/// The port is taken.
pub async fn serve(kept: Kept, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let port = listener.local_addr()?.port();
    axum::serve(listener, router(kept, port)).await
}

/// The routes, for a page that is reached at `port`.
pub fn router(kept: Kept, port: u16) -> Router {
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let served = Arc::new(Served { kept, hosts });
    Router::new()
        .route("/", get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "/mail")]) }))
        .route("/style.css", get(|| async { typed("text/css; charset=utf-8", STYLE) }))
        .route("/mail", get(list))
        .route("/mail/", get(list))
        .route("/mail/{number}", get(mail))
        .route("/mail/{number}/html", get(html))
        .route("/mail/{number}/raw", get(raw))
        .layer(from_fn_with_state(Arc::clone(&served), guard))
        .with_state(served)
}

/// Checks the `Host` of a request, and sets the security headers of every response.
async fn guard(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let is_ours = |name: &str| served.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name));
    let mut response = if host.is_some_and(is_ours) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "This page is served to this machine by its own names alone.\n")
            .into_response()
    };
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "SAMEORIGIN"),
        (RESOURCE_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn list(State(served): State<Arc<Served>>) -> Response {
    match Line::all(&served.kept) {
        Ok(lines) => rendered(&ListPage { lines }),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn mail(State(served): State<Arc<Served>>, Path(number): Path<u64>) -> Response {
    match served.kept.get(number) {
        Some(mail) => rendered(&MailPage { mail: Shown::of(number, &mail) }),
        None => not_found(),
    }
}

async fn html(State(served): State<Arc<Served>>, Path(number): Path<u64>) -> Response {
    let Some(mail) = served.kept.get(number) else { return not_found() };
    let mut response = typed("text/html; charset=utf-8", mail.html());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(MAIL_POLICY));
    response
}

async fn raw(State(served): State<Arc<Served>>, Path(number): Path<u64>) -> Response {
    match served.kept.get(number) {
        // The text as it came, which may be in any charset.
        Some(mail) => typed("text/plain; charset=utf-8", mail.raw),
        None => not_found(),
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "There is no mail of this number; the oldest are deleted.\n").into_response()
}

fn rendered(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => typed("text/html; charset=utf-8", html),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn typed(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, content_type)], body.into()).into_response()
}
