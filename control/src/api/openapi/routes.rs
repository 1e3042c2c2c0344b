//! `GET /api/schema/`, and `/docs`, where users read it. The reader is Swagger UI, embedded; it loads
//! nothing from elsewhere, and its page may not.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use shared::contract::refusal::Refusal;

use crate::http::answer::{Refused, ok};
use crate::http::gate::public_path;
use crate::http::origin::Origin;

/// The page, where `{at}` stands for the folder of what it loads.
const PAGE: &str = include_str!("reader.html");
const SCRIPT: &str = include_str!("reader.js");
/// What of Swagger UI is served.
const ASSETS: [&str; 4] = ["swagger-ui.css", "swagger-ui-bundle.js", "index.css", "favicon-32x32.png"];
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The document that [`document`] answers with; given where the route is listed, because the document
/// describes this route, too.
#[derive(Clone)]
pub struct Document(pub &'static Value);

#[derive(Serialize)]
struct Served<'a> {
    #[serde(flatten)]
    document: &'a Value,
    servers: [Server<'a>; 1],
}

#[derive(Serialize)]
struct Server<'a> {
    url: &'a str,
}

/// The document, with the address at which it was asked for.
#[utoipa::path(
    get, path = "/api/schema/", tag = "Documentation", operation_id = "schema", summary = "Read the OpenAPI document",
    description = "OpenAPI 3.1 in JSON.",
    responses((status = 200, description = "The document", body = Object))
)]
pub async fn document(
    Extension(origin): Extension<Origin>,
    Extension(Document(document)): Extension<Document>,
) -> Response {
    ok(&Served { document, servers: [Server { url: &origin.base }] })
}

/// The page that shows the document.
#[utoipa::path(
    get, path = "/docs", tag = "Documentation", operation_id = "docs", summary = "Read the documentation page",
    description = "An HTML page that shows the OpenAPI document.",
    responses((status = 200, description = "The page", content_type = "text/html", body = String))
)]
pub async fn reader(request: Request) -> Response {
    // With and without the final slash, relative addresses begin at different places.
    let at = if public_path(request.extensions()).ends_with('/') { "" } else { "docs/" };
    let mut response = file("text/html; charset=utf-8", PAGE.replace("{at}", at));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// What the page loads.
#[utoipa::path(
    get, path = "/docs/{file}", tag = "Documentation", operation_id = "docs_file", summary = "Read a file of the documentation page",
    description = "Scripts, styles and images.",
    params(("file" = String, Path)),
    responses((status = 200, description = "The file", content_type = "*/*", body = String))
)]
pub async fn asset(Path(name): Path<String>) -> Result<Response, Refused> {
    let mut response = if name == "reader.js" {
        file("text/javascript; charset=utf-8", SCRIPT)
    } else {
        let served = ASSETS.contains(&name.as_str()).then(|| swagger_ui(&name)).flatten();
        served.ok_or_else(Refusal::not_found)?
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}

fn swagger_ui(name: &str) -> Option<Response> {
    let found = utoipa_swagger_ui::serve(name, Arc::new(utoipa_swagger_ui::Config::default())).ok()??;
    Some(file(&found.content_type, found.bytes.into_owned()))
}

fn file(content_type: &str, content: impl Into<Body>) -> Response {
    let mut response = Response::new(content.into());
    let mut set = |name: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    };
    set(CONTENT_TYPE, HeaderValue::from_str(content_type).ok());
    set(X_CONTENT_TYPE_OPTIONS, Some(HeaderValue::from_static("nosniff")));
    response
}
