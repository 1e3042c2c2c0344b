//! The edge's own public routes: which credentials each reads (Bearer, a token in the body, a cookie), and whether
//! its answer carries cookies. [`crate::serve`] calls them after the method was checked.

use std::rc::Rc;

use shared::contract::refusal::{Refusal, TokenFault};
use shared::contract::routes::Audience;
use shared::ids::{SessionId, UserId};
use shared::tenant::Status;

use crate::body::{self, Fields};
use crate::browser::cookies::{Names, csrf_token};
use crate::browser::origin::{by_cookie, may_set};
use crate::context::Context;
use crate::http::{Answer, Incoming};
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::route::{KeyForm, Own};
use crate::sessions::issued::IssuedTokens;
use crate::sessions::renew::{Caller, by_cookies};
use crate::sessions::{logout, refresh, verify};
use crate::sign_in::challenge::{self, GivenChallenge};
use crate::sign_in::client::Client;
use crate::sign_in::device::DeviceCall;
use crate::sign_in::flow::{self, SignInOutcome};
use crate::sign_in::step_up::{self, LivingSession};
use crate::tenants::find::{find_fresh, find_known};
use crate::tenants::networks;
use crate::tenants::target::{Bearer, Cacheable, Target};
use crate::tokens::access::authenticate;
use crate::tokens::keys;
use crate::tokens::validate::{self, Asker};

/// The edge's own public routes, their method judged already.
pub(crate) async fn edge<P: Platform>(
    ctx: Context<'_, P>,
    own: Own,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    match own {
        Own::Keys(form) => {
            let known = find_fresh(ctx, &target.named).await?;
            published(form, &known, request, target.cached, ctx.now_ms)
        }
        Own::Validate => validate_route(ctx, target, request).await.map_err(without_429),
        Own::Token => token(ctx, target, request).await,
        Own::Login => login(ctx, target, request).await,
        Own::VerifyOtp => verify_otp(ctx, target, request).await,
        Own::StepUp => step_up(ctx, target, request).await,
        Own::Refresh => refreshed(ctx, target, request).await,
        Own::Verify => {
            let (fields, ctx) = arrived(ctx, request).await?;
            verify::verify(ctx, &target.named, &fields).await
        }
        Own::Blacklist => {
            let (fields, ctx) = arrived(ctx, request).await?;
            logout::blacklist(ctx, &target.named, &fields).await
        }
        Own::Logout => leave(ctx, target, request).await,
    }
}

async fn token<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let (mut fields, ctx) = arrived(ctx, request).await?;
    // Its answer sets no cookie, so it cannot remember a device.
    let device = DeviceCall::presenting(target, request, &fields);
    let credentials = fields.take_credentials()?;
    match flow::sign_in(ctx, &target.named, credentials, Client::of(request), &device).await? {
        SignInOutcome::Issued(issued) => Ok(issued.at_token()),
        SignInOutcome::FactorNeeded(GivenChallenge { challenge, methods }) => {
            Err(Refusal::mfa_required(&challenge, methods))
        }
        SignInOutcome::PasswordDue(ticket) => Err(Refusal::password_change_required(&ticket)),
        SignInOutcome::EnrollmentDue(ticket) => Err(Refusal::mfa_enrollment_required(&ticket)),
    }
}

async fn login<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let (mut fields, ctx) = arrived(ctx, request).await?;
    let device = DeviceCall::of(target, request, &fields);
    let credentials = fields.take_credentials()?;
    match flow::sign_in(ctx, &target.named, credentials, Client::of(request), &device).await? {
        SignInOutcome::Issued(issued) => Ok(logged_in(ctx, target, request, &fields, &issued)),
        SignInOutcome::FactorNeeded(given) => Ok(given.at_login()),
        SignInOutcome::PasswordDue(ticket) => Err(Refusal::password_change_required(&ticket)),
        SignInOutcome::EnrollmentDue(ticket) => Err(Refusal::mfa_enrollment_required(&ticket)),
    }
}

/// The answer to a sign-in that is finished, with cookies where it may set them.
fn logged_in<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
    fields: &Fields,
    issued: &IssuedTokens,
) -> Answer {
    let names = may_set(&issued.known, target, request, fields);
    let csrf_token = names.and_then(|_| csrf_token(&issued.known, issued.sid, ctx.now_ms));
    with_cookies(issued.at_login(csrf_token.as_deref()), names, issued, ctx.now_ms)
}

async fn verify_otp<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let (mut fields, ctx) = arrived(ctx, request).await?;
    let token = fields.token("mfa_token")?;
    let factor = fields.take_factor(&["otp", "code"]);
    let factor = factor.ok_or_else(|| Refusal::field("otp", "This field is required."))?;
    let (client, device) = (Client::of(request), DeviceCall::of(target, request, &fields));
    let issued = challenge::verify_otp(ctx, &target.named, (&token, &factor), &client, &device).await?;
    Ok(logged_in(ctx, target, request, &fields, &issued))
}

/// By Bearer, else by cookie. A fault of the session precedes faults of the body.
async fn step_up<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let (mut fields, ctx) = arrived(ctx, request).await?;
    let known = find_fresh(ctx, &target.named).await?;
    if known.tenant.status == Status::Suspended {
        return Err(Refusal::tenant_suspended());
    }
    networks::admit(ctx, &known, &request.client(), Audience::Users).await?;
    let (user, sid) = session(ctx, target, request, &known).await?;
    let proof = fields.take_proof()?;
    let session = LivingSession { user, sid, client: &request.client() };
    let issued = step_up::step_up(ctx, &target.named, known, session, proof).await?;
    let names = may_set(&issued.known, target, request, &fields);
    Ok(with_cookies(issued.at_refresh(), names, &issued, ctx.now_ms))
}

/// The user and the session of a request. A token of the service that the tenant came from has no session of ours.
async fn session<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
    known: &Rc<OpenedTenant>,
) -> Result<(UserId, SessionId), Refusal> {
    match Bearer::read(request) {
        Bearer::Token(token) => {
            let judged = authenticate(ctx, known, &target.named, &token).await;
            let access = judged.map_err(|refused| refused.with(TokenFault::as_bearer))?;
            match access.legacy {
                None => Ok((access.sub, access.sid)),
                Some(_) => Err(TokenFault::Invalid.as_bearer()),
            }
        }
        Bearer::Malformed => Err(Refusal::bad_authorization_header()),
        Bearer::None => {
            let presented = by_cookie(ctx, target, request).await?.ok_or_else(Refusal::no_credentials)?;
            let sid = presented.sid;
            match by_cookies(ctx, known, &target.named, presented).await? {
                Caller::User(user, _) => Ok((user, sid)),
                Caller::Renewed { issued, legacy: false } => Ok((issued.user, issued.sid)),
                Caller::Bad(refusal) => Err(refusal),
                Caller::Renewed { legacy: true, .. } | Caller::Ticket(_) => {
                    Err(TokenFault::Invalid.as_bearer())
                }
                Caller::Anonymous { .. } => Err(Refusal::no_credentials()),
            }
        }
    }
}

async fn refreshed<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let (fields, ctx) = arrived(ctx, request).await?;
    let token = refresh_token(ctx, target, request, &fields).await?;
    let issued = refresh::refresh(ctx, &target.named, &token, &request.client()).await?;
    let names = may_set(&issued.known, target, request, &fields);
    Ok(with_cookies(issued.at_refresh(), names, &issued, ctx.now_ms))
}

fn with_cookies(mut answer: Answer, names: Option<Names>, issued: &IssuedTokens, now_ms: u64) -> Answer {
    if let Some(names) = names {
        issued.set_cookies(&mut answer, names, now_ms);
    }
    answer
}

/// The refresh token of the body, else of the cookie: 400 without one. For a form the cookie is not read, because the
/// answer could not set its successor.
async fn refresh_token<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
    fields: &Fields,
) -> Result<String, Refusal> {
    let asks_cookie = !fields.has("refresh") && !fields.is_form();
    let presented = if asks_cookie { by_cookie(ctx, target, request).await? } else { None };
    match presented.and_then(|presented| presented.refresh) {
        Some((token, _)) => Ok(token),
        None => fields.token("refresh"),
    }
}

/// Logout: by Bearer, by `refresh` in the body, and by cookie. The cookies go with the answer; by cookie
/// also where the session had ended already.
async fn leave<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let (fields, ctx) = arrived(ctx, request).await?;
    let bearer = Bearer::read(request);
    let others = bearer != Bearer::None || fields.has("refresh");
    let presented = match by_cookie(ctx, target, request).await {
        // If there is another credential, cookies without CSRF protection are ignored.
        Err(refusal) if others && refusal == Refusal::csrf_failed() => None,
        judged => judged?,
    };
    let left = logout::logout(ctx, &target.named, &bearer, presented.as_ref(), &fields).await;
    let mut answer = match left {
        Ok(answer) => answer,
        Err(refusal) if refusal.status == 401 && presented.is_some() => Answer::refusal(&refusal),
        Err(refusal) => return Err(refusal),
    };
    let known = find_known(ctx, &target.named).await?;
    let judged = presented.and_then(|_| Names::of(&known));
    if let Some(names) = judged.or_else(|| may_set(&known, target, request, &fields)) {
        answer.clear_session(names);
    }
    Ok(answer)
}

/// The fields of a body, and the request's context when it has arrived.
async fn arrived<'a, P: Platform>(
    ctx: Context<'a, P>,
    request: &P::Request,
) -> Result<(Fields, Context<'a, P>), Refusal> {
    let fields = body::fields(request).await?;
    Ok((fields, ctx.arrived()))
}

/// The public keys, as JWKS or alone.
pub(crate) fn published(
    form: KeyForm,
    known: &OpenedTenant,
    request: &impl Incoming,
    cached: Cacheable,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    match form {
        KeyForm::Jwks => keys::jwks(known, request, cached),
        KeyForm::PublicKey => keys::public_key(known, request, now_ms, cached),
    }
}

/// The contract of `validate` has no 429: the answer is a 503, and the caller repeats the request.
fn without_429(refusal: Refusal) -> Refusal {
    if refusal.status == 429 { Refusal::unavailable() } else { refusal }
}

/// By Bearer; else by `token` in the body, which a gateway's `GET` does not have; else by cookie. A token in the
/// query is not read, because URLs are logged.
async fn validate_route<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let asker = Asker::of(&request.method());
    let (token, ctx) = match (Bearer::read(request), asker) {
        (Bearer::Token(token), _) => (Ok(token), ctx),
        (Bearer::Malformed, _) => (Err(TokenFault::Invalid.at_validate()), ctx),
        (Bearer::None, Asker::Gateway) => {
            let by_cookie = access_cookie(ctx, target, request).await?;
            (by_cookie.ok_or_else(Refusal::no_credentials_at_validate), ctx)
        }
        (Bearer::None, Asker::Service) => {
            let (fields, ctx) = arrived(ctx, request).await?;
            let asks_cookie = !fields.has("token");
            let by_cookie = if asks_cookie { access_cookie(ctx, target, request).await? } else { None };
            (Ok(by_cookie.map_or_else(|| fields.token("token"), Ok)?), ctx)
        }
    };
    let known = validate::tenant_of(ctx, &target.named).await?;
    let answer = match token {
        Ok(token) => validate::validate(ctx, &known, &target.named, asker, &token).await,
        Err(refusal) => Err(refusal),
    };
    let mut answer = answer.unwrap_or_else(|refusal| Answer::refusal(&refusal));
    validate::say_age(ctx, &mut answer);
    Ok(answer)
}

async fn access_cookie<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Option<String>, Refusal> {
    let presented = by_cookie(ctx, target, request).await?;
    Ok(presented.and_then(|presented| presented.unverified_access))
}
