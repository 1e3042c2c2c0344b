//! Validation: `validate` for access tokens, without storage while the isolate is busy, and
//! `verify`, which takes a refresh token, too.

use std::rc::Rc;

use serde::Serialize;
use serde_json::json;
use shared::claims::UserIdClaim;
use shared::ids::{SessionId, TenantId};
use shared::jws::Jws;
use shared::refusal::{Refusal, TokenFault};
use shared::tenant::Status;

use crate::app::App;
use crate::body::Fields;
use crate::http::Answer;
use crate::platform::{Platform, read};
use crate::sessions::family::{self, FamilyRow};
use crate::sessions::refresh::{Proven, presented};
use crate::sql;
use crate::sql::millis;
use crate::sql::secs_as_ms;
use crate::tenants::find::{Found, Named, find_fresh, find_now};
use crate::tenants::known::Known;
use crate::tokens::access::{Refused, authenticate, judge_now};
use crate::tokens::verified::Access;

/// The answer to a good access token, in the contract's order.
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

fn valid(access: &Access) -> Answer {
    Answer::json(
        200,
        &ValidOut {
            valid: true,
            user_id: &access.user_id,
            tenant: access.tenant,
            sid: access.sid,
            roles: &access.roles,
            token_type: "access",
            exp: access.exp,
        },
    )
}

/// An answer, and whether the feed is to be refreshed after it.
pub struct Validated {
    /// The answer.
    pub answer: Answer,
    /// The tenant, if there is one.
    pub known: Option<Rc<Known>>,
    /// Whether a refresh is due.
    pub refresh_after: bool,
}

/// Validates without storage and without waiting: a token that was verified before, at a tenant
/// that is known and young enough. `None` for everything else.
pub fn validate_now<P: Platform>(
    app: &App<P>,
    named: &Named,
    unverified_token: &str,
    now_ms: u64,
) -> Option<Validated> {
    // The cache is asked first, so that a lease is taken only by a request that serves.
    app.verified.borrow().get(unverified_token)?;
    let found = match find_now(app, named, now_ms)? {
        Ok(found) => found,
        Err(refusal) => {
            let answer = Answer::refusal(&refusal);
            return Some(Validated { answer, known: None, refresh_after: false });
        }
    };
    let judged = if found.known.tenant.status == Status::Active {
        judge_now(app, &found.known, unverified_token, now_ms)
    } else {
        Some(Err(TokenFault::Invalid))
    };
    let answer = match judged {
        Some(Ok(access)) => valid(&access),
        Some(Err(fault)) => Answer::refusal(&fault.at_validate()),
        None => return None,
    };
    Some(Validated { answer, known: Some(found.known), refresh_after: found.refresh_after })
}

/// Validates an access token.
///
/// 1. The tenant, and knowledge that is at most three seconds old.
/// 2. The token, by [`authenticate`]; a suspended tenant has no good token.
///
/// # Errors
/// 503 where nothing can be known. What is wrong with a token is an answer, with `valid: false`.
pub async fn validate<P: Platform>(
    app: &App<P>,
    found: &Found,
    named: &Named,
    unverified_token: &str,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    judge_access(app, found, named, unverified_token, now_ms)
        .await
        .map(|access| valid(&access))
        .map_err(|refused| refused.with(TokenFault::at_validate))
}

async fn judge_access<P: Platform>(
    app: &App<P>,
    found: &Found,
    named: &Named,
    unverified_token: &str,
    now_ms: u64,
) -> Result<Access, Refused> {
    if found.known.tenant.status != Status::Active {
        return Err(TokenFault::Invalid.into());
    }
    authenticate(app, found, named, unverified_token, now_ms).await
}

/// Verifies an access or a refresh token; the latter costs one read of its row.
///
/// # Errors
/// 400 without a token, 401 for one that is not good, 503 out of reach.
pub async fn verify<P: Platform>(
    app: &App<P>,
    named: &Named,
    fields: &Fields,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    let unverified_token = fields.token("token")?;
    let found = find_fresh(app, named, now_ms).await?;
    if found.known.tenant.status == Status::Active && may_be_refresh(&found.known, &unverified_token) {
        match presented(app, &found.known, &unverified_token, now_ms).await {
            Ok(token) => return verify_refresh(app, &found, &token, now_ms).await,
            Err(Refused::Token(TokenFault::WrongType)) => {}
            Err(refused) => return Err(refused.with(TokenFault::at_verify)),
        }
    }
    match judge_access(app, &found, named, &unverified_token, now_ms).await {
        Ok(_) => Ok(Answer::json(200, &json!({}))),
        Err(refused) => Err(refused.with(TokenFault::at_verify)),
    }
}

/// Whether only the signature can tell what it is: a refresh token of ours by its header, or one of the
/// service that the tenant came from.
fn may_be_refresh(known: &Known, unverified_token: &str) -> bool {
    known.refresh_keys.iter().any(|key| key.wrote_header_of(unverified_token))
        || Jws::split(unverified_token).is_some_and(|jws| jws.is_legacy())
}

async fn verify_refresh<P: Platform>(
    app: &App<P>,
    found: &Found,
    token: &Proven,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    let tenant = &found.known.tenant;
    let mut batch: Vec<_> = token.legacy.iter().map(|trail| trail.user(&found.known)).collect();
    let at = batch.len();
    batch.push(sql::FAMILY.bind([token.sid.to_string().into(), tenant.id.to_string().into()]));
    let rows = app.platform.batch(token.sid.shard(), batch).await.map_err(|_| Refusal::unavailable())?;
    let window = secs_as_ms(tenant.settings.retry_window_secs);
    let judged = match read::<P, FamilyRow>(&rows, at)?.pop() {
        Some(row) => family::verify(&row, token.generation, millis(now_ms), window),
        None => token.without_row::<P>(&rows, at, now_ms)?.map_or(Ok(()), Err),
    };
    judged.map(|()| Answer::json(200, &json!({}))).map_err(TokenFault::at_verify)
}
