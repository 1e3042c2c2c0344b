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
/// Nothing runs that is not a file of ours, and no other site may show the page or be sent its form.
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
    /// The tenant's base, relative to the page: the page may lie under `/t/<slug>`, which control does not see.
    base: &'static str,
    /// The route that the form is sent to, from the base on.
    action: &'static str,
}

/// The route that takes a kind's token.
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

/// The page of a kind of link: 1. 404 for a kind that does not exist; 2. the form, in the best liked language.
#[utoipa::path(
    get, path = "/account/{kind}/", tag = "Account pages", operation_id = "account_page",
    summary = "A page that a link in a mail leads to",
    description = "For people. The link's fragment holds the token, which the page's form sends to the route of its kind. \
        `kind` is `verify`, `reset`, `invite`, `address`, `undo` or `network`. In English and German, by `Accept-Language`, else in the language of the tenant.",
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

/// What the pages load.
#[utoipa::path(
    get, path = "/account/files/{file}", tag = "Account pages", operation_id = "account_file",
    summary = "What those pages load", description = "A script and a style.",
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
