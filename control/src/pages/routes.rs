//! `GET /account/<kind>/`, and what these pages load.

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use shared::contract::refusal::Refusal;

use super::refusals::{Worded, refusals};
use super::words::{Common, Input, Texts, common, inputs, texts};
use crate::access::Anyone;
use crate::http::answer::Refused;
use crate::http::gate::public_path;
use crate::language::Language;
use crate::links::LinkKind;

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
/// Content-Security-Policy: only our own scripts run, and no other site may frame the page or receive its form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

#[derive(Template)]
#[template(path = "account.html")]
struct Page<'a> {
    language: &'static str,
    tenant: &'a str,
    common: Common,
    texts: Texts,
    inputs: Vec<Input>,
    refusals: &'static [Worded],
    /// The tenant's base, relative to the page: the page may be under `/t/<slug>`, which control does not see.
    base: &'static str,
    /// The API route that the form posts to, relative to the base.
    action: &'static str,
}

/// The API route for a kind of link.
fn action(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Verify => "api/user/email/verify/",
        LinkKind::Reset => "api/user/password/reset/confirm/",
        LinkKind::Invite => "api/user/invitations/accept/",
        LinkKind::Address => "api/user/email/change/confirm/",
        LinkKind::Undo => "api/user/email/change/undo/",
        LinkKind::Network => "api/user/network/confirm/",
    }
}

/// The page of a kind of link: 404 for an unknown kind; else the form, in the preferred language.
#[utoipa::path(
    get, path = "/account/{kind}/", tag = "Account pages", operation_id = "account_page",
    summary = "Read the page of a mailed link",
    description = "An HTML page. The token is in the link's fragment; the page's form sends it to the API route of \
        its kind. `kind` is `verify`, `reset`, `invite`, `address`, `undo` or `network`. In English or German, chosen by \
        `Accept-Language`, else in the tenant's language.",
    params(("kind" = String, Path)),
    responses((status = 200, description = "The page", content_type = "text/html", body = String))
)]
pub async fn page(
    Anyone { tenant, .. }: Anyone,
    Path(kind): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let kind =
        LinkKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(Refusal::not_found)?;
    let accepted = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let language = Language::accepted(accepted.unwrap_or_default(), &tenant.settings.language);
    let page = Page {
        language: language.tag(),
        tenant: &tenant.name,
        common: common(language),
        texts: texts(kind, language),
        inputs: inputs(kind, language),
        refusals: refusals(language),
        // With and without the final slash, relative addresses begin at different places.
        base: if public_path(request.extensions()).ends_with('/') { "../../" } else { "../" },
        action: action(kind),
    };
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "a page was not rendered");
        Refusal::internal()
    })?;
    Ok(dressed(
        "text/html; charset=utf-8",
        html,
        [
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (X_FRAME_OPTIONS, "DENY"),
            (OPENER_POLICY, "same-origin"),
            (ROBOTS, "noindex"),
            (CONTENT_LANGUAGE, language.tag()),
            (VARY, "Accept-Language"),
        ],
    ))
}

/// The script and the style sheet of the pages.
#[utoipa::path(
    get, path = "/account/files/{file}", tag = "Account pages", operation_id = "account_file",
    summary = "Read a file of these pages", description = "A script and a style sheet.",
    params(("file" = String, Path)),
    responses((status = 200, description = "The file", content_type = "*/*", body = String))
)]
pub async fn file(_: Anyone, Path(name): Path<String>) -> Result<Response, Refused> {
    let (content_type, content) = match name.as_str() {
        "page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "page.css" => ("text/css; charset=utf-8", STYLE),
        _ => return Err(Refusal::not_found().into()),
    };
    Ok(dressed(content_type, content, [(CACHE_CONTROL, "public, max-age=3600")]))
}

fn dressed<const N: usize>(
    content_type: &'static str,
    content: impl Into<Body>,
    headers: [(HeaderName, &'static str); N],
) -> Response {
    let mut response = Response::new(content.into());
    let common = [(CONTENT_TYPE, content_type), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in common.into_iter().chain(headers) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
