//! Validation of access tokens, without storage while the isolate is in use. `verify`, which takes a refresh token
//! too, is [`crate::sessions::verify`].

use std::rc::Rc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::{SessionId, TenantId};
use shared::tenant::Status;
use shared::tokens::claims::UserIdClaim;

use crate::context::Context;
use crate::http::{Answer, Response};
use crate::isolate::opened::OpenedTenant;
use crate::isolate::verified::VerifiedToken;
use crate::platform::Platform;
use crate::tenants::find::{TenantName, find_fresh, find_known, find_now, remembered};
use crate::tokens::access::{Unproven, authenticate, begin, is_good, judge_now};
use crate::tokens::error::TokenError;

/// The answer for a valid access token, fields in the contract's order.
#[derive(Serialize)]
struct ValidOut<'a> {
    valid: bool,
    user_id: &'a UserIdClaim,
    tenant: TenantId,
    sid: SessionId,
    roles: &'a [String],
    token_type: &'static str,
    exp: i64,
}

/// The kind of caller, derived from the method, so that neither a URL nor a gateway's client can suppress the
/// headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// `POST`: a program that reads the body.
    Service,
    /// `GET` and `HEAD`: a gateway, which reads status and headers.
    Gateway,
}

impl Asker {
    /// Derived from the method of a request.
    #[must_use]
    pub fn of(method: &str) -> Self {
        if matches!(method, "GET" | "HEAD") { Self::Gateway } else { Self::Service }
    }
}

/// Characters that are not encoded in a header: the unreserved characters of RFC 3986, section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a text for a header, because a legacy id and the name of a role may hold any character: it can
/// then not end a line, begin another role, or be a byte that the runtime refuses.
fn header_text(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn user_header(user_id: &UserIdClaim) -> String {
    match user_id {
        UserIdClaim::Integer(number) => number.to_string(),
        UserIdClaim::Text(text) => header_text(text),
    }
}

fn roles_header(roles: &[String]) -> String {
    roles.iter().map(|role| header_text(role)).collect::<Vec<_>>().join(",")
}

/// Says what the claims say: made once for each token. `None` cannot happen.
fn body(access: &VerifiedToken) -> Option<&str> {
    if access.body.get().is_none() {
        let said = ValidOut {
            valid: true,
            user_id: &access.user_id,
            tenant: access.tenant,
            sid: access.sid,
            roles: &access.roles,
            token_type: "access",
            exp: access.exp,
        };
        access.body.set(serde_json::to_string(&said).ok()?.into()).ok()?;
    }
    access.body.get().map(|body| &**body)
}

fn valid<P: Platform>(ctx: Context<'_, P>, access: &VerifiedToken, asker: Asker) -> Answer {
    let Some(body) = body(access) else { return Answer::refusal(&Refusal::internal()) };
    let mut answer = Answer::text(200, "application/json", body.to_owned());
    if asker == Asker::Gateway {
        // All of them, also where a value is empty: some gateways let a client's own header pass in place of
        // one that is missing.
        answer.set("X-Auth-User-Id", user_header(&access.user_id));
        answer.set("X-Auth-Tenant", access.tenant.to_string());
        answer.set("X-Auth-Roles", roles_header(&access.roles));
    }
    // At a crowded tenant: the age of the rows that were read for the token, if they are older.
    if ctx.app.shard_cache.borrow().is_crowded(access.tenant)
        && let Some(standing) = access.standing
    {
        let known = ctx.app.shard_cache.borrow().age_ms(ctx.now_ms).unwrap_or(0);
        answer.set(STATE_AGE, tenths(known.max(standing.age_ms(ctx.now_ms))));
    }
    answer
}

/// The header with the age of the data that a validation used.
const STATE_AGE: &str = "Wardgate-State-Age";

/// Seconds with one decimal.
fn tenths(age_ms: u64) -> String {
    let mut text = (age_ms / 1000).to_string();
    text.extend([
        '.',
        u32::try_from(age_ms / 100 % 10).ok().and_then(|tenths| char::from_digit(tenths, 10)).unwrap_or('0'),
    ]);
    text
}

/// Adds the age of the data, unless the answer has it.
pub fn say_age<P: Platform, S>(ctx: Context<'_, P>, response: &mut Response<S>) {
    if response.header(STATE_AGE).is_none() {
        response.set(STATE_AGE, tenths(ctx.app.shard_cache.borrow().age_ms(ctx.now_ms).unwrap_or(0)));
    }
}

/// Validates without storage and without waiting: a cached token at a cached tenant with recent data. Returns the
/// tenant, too. `None` for everything else.
pub fn validate_now<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    asker: Asker,
    unverified_token: &str,
) -> Option<(Answer, Option<Rc<OpenedTenant>>)> {
    ctx.app.verified.borrow().get(unverified_token)?;
    judged_now(ctx, named, asker, |known| judge_now(ctx, known, unverified_token))
}

/// The same for a token whose signature was checked just now and does not hold.
pub fn refuse_now<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    asker: Asker,
) -> Option<(Answer, Option<Rc<OpenedTenant>>)> {
    judged_now(ctx, named, asker, |_| Some(Err(TokenFault::Invalid)))
}

fn judged_now<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    asker: Asker,
    judge: impl FnOnce(&OpenedTenant) -> Option<Result<Rc<VerifiedToken>, TokenFault>>,
) -> Option<(Answer, Option<Rc<OpenedTenant>>)> {
    let known = match find_now(ctx, named)? {
        Ok(known) => known,
        Err(refusal) => return Some((Answer::refusal(&refusal), None)),
    };
    let judged =
        if known.tenant.status == Status::Active { judge(&known) } else { Some(Err(TokenFault::Invalid)) };
    let answer = match judged? {
        Ok(access) => valid(ctx, &access, asker),
        Err(fault) => Answer::refusal(&fault.at_validate()),
    };
    Some((answer, Some(known)))
}

/// Whether the answer to a validation with this token would be given now, but for the age of the data. Everything that
/// [`validate_now`] looks at is looked at, except what the text of the request or the revision of the document decides:
/// a token is good under the revision that it was verified under, and that revision's tenant was active.
pub fn holds<P: Platform>(ctx: Context<'_, P>, named: &TenantName, access: &VerifiedToken) -> bool {
    matches!(find_now(ctx, named), Some(Ok(known)) if is_good(ctx, &known, access))
}

/// Begins to validate a token that was not verified before, at a tenant that is known and young enough. `None` where
/// more than its signature is missing.
pub fn begin_now<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    unverified_token: &str,
) -> Option<Unproven> {
    let known = find_now(ctx, named)?.ok()?;
    if known.tenant.status == Status::Active { begin(ctx, &known, unverified_token) } else { None }
}

/// The tenant of a validation. At a strict tenant the validation reads the tenant's state itself, so cached data of
/// any age is used.
///
/// # Errors
/// 404 for an unknown name, 503 if the data cannot be read.
pub async fn tenant_of<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Result<Rc<OpenedTenant>, Refusal> {
    match remembered(ctx, named) {
        Some(known) if known.tenant.settings.strict => find_known(ctx, named).await,
        Some(_) | None => find_fresh(ctx, named).await,
    }
}

/// Validates an access token.
///
/// 1. The tenant, with data that is at most three seconds old.
/// 2. The token, by [`authenticate`]; every token of a suspended tenant is invalid.
///
/// # Errors
/// 503 if the data cannot be read. An invalid token is not an error here: the answer has `valid: false`.
pub async fn validate<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    asker: Asker,
    unverified_token: &str,
) -> Result<Answer, Refusal> {
    judge_access(ctx, known, named, unverified_token)
        .await
        .map(|access| {
            let mut answer = valid(ctx, &access, asker);
            if let Some(standing) = access.standing.filter(|_| known.tenant.settings.strict) {
                answer.set(STATE_AGE, tenths(standing.age_ms(ctx.now_ms)));
            }
            answer
        })
        .map_err(|refused| refused.with(TokenFault::at_validate))
}

/// Checks the access token; every token of a suspended tenant is invalid.
///
/// # Errors
/// The token's fault, or 503.
pub async fn judge_access<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    unverified_token: &str,
) -> Result<VerifiedToken, TokenError> {
    if known.tenant.status != Status::Active {
        return Err(TokenFault::Invalid.into());
    }
    authenticate(ctx, known, named, unverified_token).await
}
