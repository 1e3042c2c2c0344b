//! Forwarding: requests for control's routes are authenticated here, then sent as new, signed requests.
//!
//! Only listed headers of the client are forwarded, so a client cannot forge the edge's headers.

use std::rc::Rc;

use shared::contract::refusal::{Refusal, TokenFault};
use shared::contract::routes::{Route, RouteKind};
use shared::tenant::Status;
use shared::tokens::ticket::Ticket;
use shared::wire::signature::{Message, Tag, covered_headers};
use shared::wire::ticket;

use crate::app::App;
use crate::browser::cookies::Names;
use crate::browser::origin::by_cookie;
use crate::captcha;
use crate::context::Context;
use crate::http::{Answer, Incoming, Outgoing, Response, carries_body};
use crate::isolate::opened::OpenedTenant;
use crate::platform::{Limit, Platform};
use crate::sessions::renew::{Caller, by_cookies};
use crate::tenants::find::find_fresh;
use crate::tenants::networks;
use crate::tenants::target::{Bearer, Target};
use crate::tokens::access::authenticate;
use crate::tokens::ticket::look_up;

/// The client's headers that pass.
const PASSED: [&str; 14] = [
    "authorization",
    "accept",
    "accept-language",
    "content-type",
    "content-length",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
    "idempotency-key",
    "user-agent",
    "traceparent",
    "tracestate",
    "baggage",
];

/// Says whether a revoking change is in force: the only `Wardgate-*` header of control's answers that clients get.
const IN_FORCE: &str = "wardgate-in-force";

/// Hop-by-hop headers (RFC 9110, section 7.6.1) and internal ones, which are removed from answers. Only the edge sets
/// cookies and CORS headers.
const DROPPED: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "server",
    "set-cookie",
];

/// Forwards a request. Its path is in the table of routes, so every segment is plain.
///
/// 1. The credential is checked as by `validate`: 401. A cookie counts like a Bearer token; an access cookie that is
///    not valid any more is renewed ([`crate::sessions::renew`]). A ticket is valid only at the routes of its
///    purpose. Without a credential: 401 on a protected route; on an open one, 429 above the network's limit, which
///    protects control's database. On an anonymous route credentials are ignored, and the same limit applies; if the
///    tenant requires a CAPTCHA there: 403 `captcha_required` without a solved one.
/// 2. 415 for a body with a `Content-Encoding`, which is not forwarded.
/// 3. A new request with the listed headers, the authenticated caller, and the edge's signature.
/// 4. A renewed access cookie is added to any answer, and the cookies of an ended session are cleared.
///
/// # Errors
/// As above, 403 at a suspended tenant and from a network that the tenant does not allow, 503 if control or the
/// edge's data cannot be reached.
pub async fn forward<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    route: &Route,
    request: P::Request,
) -> Result<Response<P::Stream>, Refusal> {
    let known = find_fresh(ctx, &target.named).await?;
    if known.tenant.status == Status::Suspended {
        return Err(Refusal::tenant_suspended());
    }
    networks::admit(ctx, &known, &request.client(), route.audience()).await?;
    let caller = match route.kind {
        RouteKind::Anonymous => Caller::Anonymous { ended: false },
        RouteKind::Protected | RouteKind::Open | RouteKind::Edge | RouteKind::EdgeWithoutAllow => {
            caller(ctx, target, route, &known, &request).await?
        }
    };
    let sent = send(ctx, target, route, &known, &caller, request).await;
    let mut response = sent.unwrap_or_else(|refusal| Answer::refusal(&refusal).into_stream());
    match &caller {
        Caller::Renewed { issued, legacy } => {
            if let Some(names) = Names::of(&issued.known) {
                issued.set_access(&mut response, names, ctx.now_ms);
                if *legacy {
                    issued.set_csrf(&mut response, ctx.now_ms);
                }
            }
        }
        Caller::Anonymous { ended: true } => {
            if let Some(names) = Names::of(&known) {
                response.clear_session(names);
            }
        }
        Caller::Bad(_) => {
            if let Some(names) = Names::of(&known) {
                response.clear_access(names);
            }
        }
        Caller::Anonymous { ended: false } | Caller::User(..) | Caller::Ticket(_) => {}
    }
    Ok(response)
}

async fn caller<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    route: &Route,
    known: &Rc<OpenedTenant>,
    request: &P::Request,
) -> Result<Caller, Refusal> {
    let named = &target.named;
    match Bearer::read(request) {
        Bearer::Token(token) => {
            if let (Some(purpose), Some(ticket)) = (route.ticket, Ticket::parse(&token)) {
                let vouched = look_up(ctx, known, &named.network, purpose, &ticket).await;
                return vouched.map(Caller::Ticket).map_err(|refused| refused.with(TokenFault::as_bearer));
            }
            let judged = authenticate(ctx, known, named, &token).await;
            let access = judged.map_err(|refused| refused.with(TokenFault::as_bearer))?;
            Ok(Caller::User(access.sub, None))
        }
        Bearer::Malformed => Err(Refusal::bad_authorization_header()),
        Bearer::None => match by_cookie(ctx, target, request).await? {
            Some(presented) => by_cookies(ctx, known, named, presented).await,
            None => Ok(Caller::Anonymous { ended: false }),
        },
    }
}

async fn send<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    route: &Route,
    known: &OpenedTenant,
    caller: &Caller,
    request: P::Request,
) -> Result<Response<P::Stream>, Refusal> {
    let app = ctx.app;
    let name = match caller {
        Caller::User(user, _) => user.to_string(),
        Caller::Renewed { issued, .. } => issued.user.to_string(),
        Caller::Ticket(ticket) => ticket.user.to_string(),
        Caller::Bad(refusal) => return Err(refusal.clone()),
        Caller::Anonymous { .. } if route.kind == RouteKind::Protected => {
            return Err(Refusal::no_credentials());
        }
        Caller::Anonymous { .. } => {
            if !app.platform.admits(Limit::Network, &format!("open/{}", target.named.network)).await {
                return Err(Refusal::throttled(60));
            }
            captcha::admit_stranger(ctx, known, route, &request).await?;
            String::from("anonymous")
        }
    };
    let encoding = request.header("content-encoding").unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Refusal::unsupported_media_type(&encoding));
    }
    let mut headers = vec![
        ("wardgate-tenant", known.tenant.id.to_string()),
        ("wardgate-client", request.client()),
        ("wardgate-caller", name),
        ("wardgate-base", target.base.clone()),
        ("x-request-id", target.request_id.clone()),
    ];
    // A cookie's token moves to `Authorization`; there is no Bearer beside it.
    if let Caller::Ticket(vouched) = caller {
        headers.push((ticket::HEADER, vouched.to_header()));
    }
    headers.extend(caller.access().map(|access| ("authorization", format!("Bearer {access}"))));
    // The ticket itself is not forwarded: the vouched data replaces it.
    let stays = route.kind == RouteKind::Anonymous || matches!(caller, Caller::Ticket(_));
    let passes = |name: &str| !stays || name != "authorization";
    let passed = PASSED.into_iter().filter(|name| passes(name));
    headers.extend(passed.filter_map(|name| Some((name, passed_value(&request, name)?))));
    let outgoing = sign(app, target, &request, headers)?;
    let mut response = app.platform.send(outgoing, request).await?;
    response.headers.retain(|(name, _)| keeps(name));
    Ok(response)
}

fn keeps(name: &str) -> bool {
    let begins = |with: &str| name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    (!begins("wardgate-") || name.eq_ignore_ascii_case(IN_FORCE))
        && !begins("access-control-")
        && !DROPPED.iter().any(|dropped| dropped.eq_ignore_ascii_case(name))
}

fn sign<P: Platform>(
    app: &App<P>,
    target: &Target,
    request: &P::Request,
    mut headers: Vec<(&'static str, String)>,
) -> Result<Outgoing, Refusal> {
    let settings = app.settings()?;
    let read = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let covered = covered_headers(read);
    let covered: Vec<(&str, &str)> = covered.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (method, query) = (request.method(), encoded(&target.query));
    let message = Message {
        method: &method,
        authority: &settings.control_authority,
        path: &target.path,
        query: &query,
        content_digest: None,
        headers: &covered,
    };
    let signed = settings.service_key.sign(Tag::Forward, &message, app.platform.service_now_secs());
    headers.push(("signature-input", signed.input));
    headers.push(("signature", signed.signature));
    let query = if query.is_empty() { query } else { format!("?{query}") };
    Ok(Outgoing { url: format!("{}{}{query}", settings.control_url, target.path), method, headers })
}

/// A client's header in the form in which control receives it, because control would refuse a signature over another
/// form.
fn passed_value(request: &impl Incoming, name: &str) -> Option<String> {
    // Control reads no header that is not ASCII.
    let value = request.header(name).filter(|value| value.is_ascii())?;
    match name {
        // Only Bearer is forwarded; other schemes are dropped.
        "authorization" => (Bearer::read(request) != Bearer::None).then_some(value),
        "content-type" => carries_body(&request.method()).then_some(value),
        // Without leading zeros, as it is written again on the way.
        "content-length" if carries_body(&request.method()) => {
            value.parse::<u64>().ok().map(|length| length.to_string())
        }
        "content-length" => None,
        _ => Some(value),
    }
}

/// The query as fetch sends it (URL Standard, the special-query percent-encode set).
fn encoded(query: &str) -> String {
    let mut encoded = String::with_capacity(query.len());
    for byte in query.bytes() {
        match byte {
            b'"' | b'#' | b'<' | b'>' | b'\'' | ..=b' ' | 0x7f.. => {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            other => encoded.push(char::from(other)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_nothing_of_one_hop_or_of_the_inside() {
        for dropped in [
            "Connection",
            "transfer-encoding",
            "Wardgate-Anything",
            "Server",
            "Set-Cookie",
            "Access-Control-Allow-Origin",
        ] {
            assert!(!keeps(dropped), "{dropped}");
        }
        for kept in ["Content-Type", "Allow", "ETag", "X-Request-Id", "Link", "Wardgate-In-Force"] {
            assert!(keeps(kept), "{kept}");
        }
    }
}
