//! Dispatches requests to endpoints, and adds what all answers have in common.

use std::convert::Infallible;
use std::rc::Rc;

use shared::contract::refusal::Refusal;
use shared::contract::routes::{self, Route, RouteKind};
use shared::ids::TenantId;
use shared::wire::facts::DrainIn;
use shared::wire::push::{Command, Push};
use shared::wire::signature::Tag;

use crate::after::{After, Reply};
use crate::app::App;
use crate::browser::cors::{self, Cors};
use crate::context::Context;
use crate::edge_routes::{edge, published};
use crate::http::{Answer, Body, Incoming, Response};
use crate::inside::{command, copies, drain, push, signed};
use crate::isolate::repeats::{Repeat, Source};
use crate::log::{self, AnswerLine, Level};
use crate::platform::Platform;
use crate::route::{Endpoint, Health, Inside, KeyForm, Own, endpoint};
use crate::tenants::find::{self, find_fresh, find_now};
use crate::tenants::target::{Bearer, Target, place, sent_request_id, target};
use crate::tokens::access::{self, Unproven};
use crate::tokens::validate::{self, Asker};
use crate::{forward, health};

/// Answers a request.
pub async fn handle<P: Platform>(app: &App<P>, request: P::Request) -> Reply<P::Stream> {
    let ctx = Context::new(app);
    let method = request.method();
    let sent = sent_request_id(&request);
    let request_id = sent.clone().unwrap_or_else(|| app.request_id());
    let url = request.url();
    let place = place(app, &request, &url, request_id.clone());
    let route = match &place {
        Ok((_, target)) => routes::find(&target.path),
        Err(_) => None,
    };
    let cors = match (&place, route) {
        (Ok((endpoint, target)), Some(route)) => Cors::of(*endpoint, target, route, &request),
        _ => None,
    };
    let answered = match &place {
        Ok((endpoint, target)) => serve(ctx, *endpoint, target, request).await,
        Err(refusal) => Err(refusal.clone()),
    };
    let refused = |refusal: Refusal| Answer::refusal(&refusal).into_stream().into();
    let Reply { mut response, mut after } = answered.unwrap_or_else(refused);
    // For any answer, including refusals: it may be the only request of this second.
    after.read_feed = app.shard_cache.borrow_mut().take_refresh(ctx.now_ms);
    if let Some(cors) = cors {
        cors.dress(ctx, &mut response).await;
    }
    let asked = place.as_ref().ok().map(|(endpoint, target)| (*endpoint, target));
    log_answer(app, &method, asked, response.status, Some(&request_id));
    let shown_id = if gets_request_id(asked.map(|(endpoint, _)| endpoint), response.status) {
        Some(request_id)
    } else {
        sent
    };
    Reply { response: finish(response, route, &method, shown_id), after }
}

/// Whether an answer gets a request id where the client sent none. At validation, keys and health, where making one costs as
/// much as the rest of the answer, only errors other than 401 get one.
fn gets_request_id(endpoint: Option<Endpoint>, status: u16) -> bool {
    match endpoint {
        Some(Endpoint::Own(Own::Validate | Own::Keys(_)) | Endpoint::Health(_)) => {
            status >= 400 && status != 401
        }
        Some(Endpoint::Own(_) | Endpoint::Inside(_) | Endpoint::Forward(_)) | None => true,
    }
}

/// Logs an answer: every failure, and some of the rest.
fn log_answer<P: Platform>(
    app: &App<P>,
    method: &str,
    asked: Option<(Endpoint, &Target)>,
    status: u16,
    request_id: Option<&str>,
) {
    let (level, turn) = (log::level(status), app.logs_this_answer());
    if level == Level::Info && !turn {
        return;
    }
    let route = asked.map_or("none", |(endpoint, target)| endpoint.as_logged(&target.path));
    let tenant =
        asked.and_then(|(_, target)| app.shard_cache.borrow().tenant_named(&target.named.name).flatten());
    match request_id {
        Some(request_id) => log_line(app, level, log::method(method), (route, tenant), status, request_id),
        // Every line has one, to be told from others.
        None => log_line(app, level, log::method(method), (route, tenant), status, &app.request_id()),
    }
}

fn log_line<P: Platform>(
    app: &App<P>,
    level: Level,
    method: &'static str,
    (route, tenant): (&'static str, Option<TenantId>),
    status: u16,
    request_id: &str,
) {
    let line =
        log::line(&AnswerLine { level, message: "answered", method, route, status, tenant, request_id });
    app.platform.log(level, &line);
}

/// Does the work that is due after an answer.
pub async fn run_after<P: Platform>(app: &App<P>, After { read_feed, put_copies, .. }: After) {
    // A failure here is repaired later: the next request reads the feed, the cron job writes the copies.
    if read_feed {
        find::read_feed(app).await.ok();
    }
    if put_copies {
        copies::put_copies(app).await.ok();
    }
}

async fn serve<P: Platform>(
    ctx: Context<'_, P>,
    endpoint: Endpoint,
    target: &Target,
    request: P::Request,
) -> Result<Reply<P::Stream>, Refusal> {
    let method = request.method();
    match endpoint {
        Endpoint::Inside(endpoint) => {
            if method != "POST" {
                return Err(Refusal::method_not_allowed(&method));
            }
            inside(ctx, endpoint, target, &request).await.map(streaming)
        }
        Endpoint::Health(endpoint) => {
            health(ctx.app, endpoint, &method).await.map(Reply::from).map(streaming)
        }
        Endpoint::Forward(route) => match method.as_str() {
            "OPTIONS" => options(ctx, target).await.map(streaming),
            _ => forward::forward(ctx, target, route, request).await.map(Reply::from),
        },
        Endpoint::Own(own) => {
            let allowed = routes::find(&target.path).is_some_and(|route| route.allows(&method));
            // An unknown tenant has no routes, so it is looked for before the method is judged.
            if method == "OPTIONS" {
                return options(ctx, target).await.map(streaming);
            }
            if !allowed {
                find_fresh(ctx, &target.named).await?;
                return Err(Refusal::method_not_allowed(&method));
            }
            edge(ctx, own, target, &request).await.map(Reply::from).map(streaming)
        }
    }
}

fn streaming<S>(reply: Reply) -> Reply<S> {
    reply.map(Answer::into_stream)
}

async fn options<P: Platform>(ctx: Context<'_, P>, target: &Target) -> Result<Reply, Refusal> {
    find_fresh(ctx, &target.named).await?;
    Ok(Answer::json(200, &serde_json::json!({})).into())
}

async fn health<P: Platform>(app: &App<P>, endpoint: Health, method: &str) -> Result<Answer, Refusal> {
    match (method, endpoint) {
        ("OPTIONS", Health::Healthz | Health::Readyz | Health::Limits) => {
            Ok(Answer::json(200, &serde_json::json!({})))
        }
        ("GET" | "HEAD", Health::Readyz) => Ok(health::readyz(app).await),
        ("GET" | "HEAD", Health::Healthz) => Ok(health::healthz()),
        ("GET" | "HEAD", Health::Limits) => Ok(health::limits()),
        (_, Health::Healthz | Health::Readyz | Health::Limits) => Err(Refusal::method_not_allowed(method)),
    }
}

/// The signed internal routes.
async fn inside<P: Platform>(
    ctx: Context<'_, P>,
    endpoint: Inside,
    target: &Target,
    request: &P::Request,
) -> Result<Reply, Refusal> {
    let (path, query) = (target.path.as_str(), target.query.as_str());
    match endpoint {
        Inside::Push => {
            let push: Push = signed::message(ctx.app, request, Tag::Push, path, query).await?;
            let response = push::push(ctx, &push).await?;
            let after = After { put_copies: push.document.is_some(), ..After::NOTHING };
            Ok(Reply { response, after })
        }
        Inside::Command => {
            let command: Command = signed::message(ctx.app, request, Tag::Command, path, query).await?;
            command::command(ctx, &command).await.map(Reply::from)
        }
        Inside::Drain => {
            let drain: DrainIn = signed::message(ctx.app, request, Tag::Drain, path, query).await?;
            drain::drain(ctx, &drain).await.map(Reply::from)
        }
    }
}

/// Adds the headers that every answer has.
fn finish<S>(
    mut response: Response<S>,
    route: Option<&Route>,
    method: &str,
    request_id: Option<String>,
) -> Response<S> {
    // RFC 9110, section 15.5.6: a 405 has `Allow`, on every route.
    let told = |route: &&Route| {
        route.kind != RouteKind::EdgeWithoutAllow || response.status == 405 || method == "OPTIONS"
    };
    if let Some(route) = route.filter(told)
        && response.header("allow").is_none()
    {
        response.set("Allow", route.allow.to_owned());
    }
    if response.header("cache-control").is_none() {
        response.set("Cache-Control", String::from("no-store"));
    }
    if let Some(request_id) = request_id
        && response.header("x-request-id").is_none()
    {
        response.set("X-Request-Id", request_id);
    }
    if method == "HEAD" {
        response.body = Body::Empty;
    }
    response
}

/// The synchronous export: `validate` by Bearer, keys and liveness, if neither storage nor cryptography is needed.
/// `None` passes the request to the asynchronous export. What the answer of a validation was concluded from is kept under
/// `number`, for [`again`], if the reply says so.
pub fn handle_now<P: Platform>(
    app: &App<P>,
    request: &impl Incoming,
    number: u32,
) -> Option<Reply<Infallible>> {
    answer_now(app, request, Signature::AskMemory, Some(number))
}

/// What is new of an answer that is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// The age of the data that it was decided by, in milliseconds.
    pub age_ms: u64,
    /// Whether to read the feed afterwards.
    pub read_feed: bool,
}

/// Whether the answer that [`handle_now`] gave under this number is still the answer to the same request. `None` where it
/// is not, or where that is not known without reading.
pub fn again<P: Platform>(app: &App<P>, number: u32) -> Option<Again> {
    let ctx = Context::new(app);
    let repeat = app.repeats.borrow().get(&number).map(Rc::clone)?;
    let Repeat { named, source, method, route, status } = &*repeat;
    let holds = match source {
        Source::Token(access) => validate::holds(ctx, named, access),
        Source::Document(_, revision) => {
            matches!(find_now(ctx, named), Some(Ok(known)) if known.tenant.revision() == *revision)
        }
    };
    if !holds {
        return None;
    }
    let read_feed = app.shard_cache.borrow_mut().take_refresh(ctx.now_ms);
    if app.logs_this_answer() {
        let of = (*route, Some(source.tenant()));
        log_line(app, Level::Info, method, of, *status, &app.request_id());
    }
    let age_ms = app.shard_cache.borrow().age_ms(ctx.now_ms)?;
    Some(Again { age_ms, read_feed })
}

/// As [`handle_now`], once the check that [`begin_now`] began has ended.
pub fn handle_checked<P: Platform>(
    app: &App<P>,
    request: &impl Incoming,
    unproven: Unproven,
    holds: bool,
) -> Option<Reply<Infallible>> {
    if holds {
        access::proved(app, unproven);
        answer_now(app, request, Signature::AskMemory, None)
    } else {
        answer_now(app, request, Signature::Broken, None)
    }
}

/// Begins `validate` by Bearer where the token's signature is all that is missing. `None` sends the request on the
/// ordinary way.
pub fn begin_now<P: Platform>(app: &App<P>, request: &impl Incoming) -> Option<Unproven> {
    let settings = app.settings().ok()?;
    let target = target(settings, request, &request.url(), String::new())?;
    match (request.method().as_str(), endpoint(settings.routes, &target.path)?) {
        ("POST" | "GET" | "HEAD", Endpoint::Own(Own::Validate)) => {
            let Bearer::Token(token) = Bearer::read(request) else { return None };
            validate::begin_now(Context::new(app), &target.named, &token)
        }
        _ => None,
    }
}

/// What is known of a token's signature when the answer is made.
#[derive(Clone, Copy)]
enum Signature {
    /// Not checked in this request: what the isolate remembers decides.
    AskMemory,
    /// It was checked, and does not hold.
    Broken,
}

fn answer_now<P: Platform>(
    app: &App<P>,
    request: &impl Incoming,
    signature: Signature,
    number: Option<u32>,
) -> Option<Reply<Infallible>> {
    let (method, url) = (request.method(), request.url());
    let settings = app.settings().ok()?;
    let ctx = Context::new(app);
    let target = target(settings, request, &url, String::new())?;
    let asked = endpoint(settings.routes, &target.path)?;
    let mut source = None;
    let response = match (method.as_str(), asked) {
        ("POST" | "GET" | "HEAD", Endpoint::Own(Own::Validate)) => {
            let Bearer::Token(token) = Bearer::read(request) else { return None };
            let asker = Asker::of(&method);
            let (mut answer, known) = match signature {
                Signature::AskMemory => validate::validate_now(ctx, &target.named, asker, &token)?,
                Signature::Broken => validate::refuse_now(ctx, &target.named, asker)?,
            };
            validate::say_age(ctx, &mut answer);
            if let Some(known) = &known {
                cors::dress_now(known, &target, request, &mut answer);
                if answer.status == 200 && method != "HEAD" {
                    source = app.verified.borrow().get(&token).map(|access| Source::Token(Rc::clone(access)));
                }
            }
            answer
        }
        ("GET", Endpoint::Own(Own::Keys(form))) => {
            let known = find_now(ctx, &target.named)?.ok()?;
            // Not the PEM form: which key signs changes with the time, without a new revision.
            if form == KeyForm::Jwks {
                source = Some(Source::Document(known.tenant.id, known.tenant.revision()));
            }
            published(form, &known, request, target.cached, ctx.now_ms).ok()?
        }
        ("GET", Endpoint::Health(Health::Healthz)) => health::healthz(),
        _ => return None,
    };
    let read_feed = app.shard_cache.borrow_mut().take_refresh(ctx.now_ms);
    let mut request_id = sent_request_id(request);
    // Not kept if the client sent a request id, which the answer repeats.
    let kept = number.zip(source).filter(|_| request_id.is_none());
    let after = After { read_feed, keep: kept.is_some(), ..After::NOTHING };
    if let Some((number, source)) = kept {
        let (method, route) = (log::method(&method), asked.as_logged(&target.path));
        let status = response.status;
        let repeat = Repeat { named: target.named.clone(), source, method, route, status };
        app.repeats.borrow_mut().insert(number, Rc::new(repeat));
    }
    if gets_request_id(Some(asked), response.status) {
        request_id = request_id.or_else(|| Some(app.request_id()));
    }
    log_answer(app, &method, Some((asked, &target)), response.status, request_id.as_deref());
    Some(Reply { response: finish(response.into_stream(), None, &method, request_id), after })
}
