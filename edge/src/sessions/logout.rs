//! Ending sessions by their owner: `logout` (one, or everywhere) and the old service's `blacklist`.

use serde::Deserialize;
use serde_json::json;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::{SessionId, UserId};
use shared::tenant::Status;

use crate::body::Fields;
use crate::browser::cookies::CookieSession;
use crate::context::Context;
use crate::http::Answer;
use crate::isolate::opened::OpenedTenant;
use crate::isolate::verified::LegacyTrail;
use crate::platform::Platform;
use crate::sessions::family::{self, FamilyRow};
use crate::sql::batch::Batch;
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::{FoundTenant, TenantName, find_fresh};
use crate::tokens::access::authenticate;
use crate::tokens::error::TokenError;
use crate::tokens::refresh_token::presented;

/// By what a caller says which session to end.
pub enum By<'a> {
    /// An access token in `Authorization`.
    Bearer(&'a str),
    /// `refresh` in the body.
    Body,
    /// Cookies, CSRF judged.
    Cookies(&'a CookieSession),
}

/// Ends the caller's session, or all of them.
///
/// 1. Bearer, else `refresh` in the body, else the cookies, else 401.
/// 2. The session ends; one that has ended already is fine.
///
/// # Errors
/// 401 for a credential that is not good, 403 at a suspended tenant, 503 out of reach.
pub async fn logout<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    by: By<'_>,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let everywhere = fields.flag("everywhere")?;
    let found = find_fresh(ctx, named).await?;
    if found.known.tenant.status != Status::Active {
        return Err(Refusal::tenant_suspended());
    }
    let (user, sid, legacy) = match by {
        By::Bearer(token) => {
            let judged = authenticate(ctx, &found, named, token).await;
            let access = judged.map_err(|refused| refused.with(TokenFault::as_bearer))?;
            (access.sub, access.sid, access.legacy)
        }
        By::Cookies(CookieSession { refresh: Some((_, proven)), .. }) if !everywhere => {
            // Good by its signature alone, it may end its own session, which is what its browser wants.
            end_one(ctx, &found.known, proven.sid, proven.legacy.as_ref()).await?;
            return Ok(Answer::no_content());
        }
        By::Cookies(presented) => {
            let (user, sid) = left_by(ctx, &found, named, presented).await?;
            (user, sid, None)
        }
        By::Body if fields.has("refresh") => {
            let token = fields.token("refresh")?;
            let (user, sid) = end_presented(ctx, &found.known, &token).await?;
            (user, sid, None)
        }
        By::Body => return Err(Refusal::no_credentials()),
    };
    if everywhere {
        end_everywhere(ctx, &found.known, user, sid, legacy.as_ref()).await?;
    } else {
        end_one(ctx, &found.known, sid, legacy.as_ref()).await?;
    }
    Ok(Answer::no_content())
}

/// Whose session the cookies are of: to end others than its own, a refresh cookie has to be good
/// altogether.
async fn left_by<P: Platform>(
    ctx: Context<'_, P>,
    found: &FoundTenant,
    named: &TenantName,
    presented: &CookieSession,
) -> Result<(UserId, SessionId), Refusal> {
    let mut fault = TokenFault::Invalid;
    if let Some(token) = &presented.unverified_access {
        match authenticate(ctx, found, named, token).await {
            Ok(access) => return Ok((access.sub, access.sid)),
            Err(TokenError::Other(refusal)) => return Err(refusal),
            Err(TokenError::Token(found)) => fault = found,
        }
    }
    match &presented.refresh {
        Some((token, _)) => end_presented(ctx, &found.known, token).await,
        None => Err(fault.as_bearer()),
    }
}

/// Ends the session of a refresh token, as the old service's blacklist does.
///
/// # Errors
/// 400 without a token, 401 for one that is not good or has ended, 403 at a suspended tenant, 503.
pub async fn blacklist<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let token = fields.token("refresh")?;
    let known = find_fresh(ctx, named).await?.known;
    if known.tenant.status != Status::Active {
        return Err(Refusal::tenant_suspended());
    }
    end_presented(ctx, &known, &token).await?;
    Ok(Answer::json(200, &json!({})))
}

/// Ends the session of a presented refresh token, and says whose it was.
///
/// A token that is behind ends its session, too: who presents it wants that, or is a thief.
async fn end_presented<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    unverified_token: &str,
) -> Result<(UserId, SessionId), Refusal> {
    let token = presented(ctx, known, unverified_token).await;
    let token = token.map_err(|refused| refused.with(TokenFault::at_sign_out))?;
    let mut batch = Batch::new(token.sid.shard());
    let legacy_user = token.open_to_end(ctx, known, &mut batch);
    let params = [token.sid.to_string().into(), known.tenant.id.to_string().into()];
    let family = batch.add::<FamilyRow>(sql::FAMILY.bind(params));
    end_by_owner(ctx, known, token.sid, &mut batch);
    let rows = ctx.run(batch).await?;
    ctx.app.knowledge.borrow_mut().end(known.tenant.id, token.sid);
    let Some(row_before) = rows.take_one(family)? else {
        let fault = token.without_row(&rows, legacy_user, ctx.now_secs())?;
        return Err(fault.map_or_else(Refusal::unavailable, TokenFault::at_sign_out));
    };
    let window = secs_as_ms(known.tenant.settings.retry_window_secs);
    family::verify(&row_before, token.generation, ctx.now(), window).map_err(TokenFault::at_sign_out)?;
    Ok((row_before.user, token.sid))
}

/// Ends a session by its owner, and records it.
fn end_by_owner<P: Platform>(ctx: Context<'_, P>, known: &OpenedTenant, sid: SessionId, batch: &mut Batch) {
    let (sid, event) = (sid.to_string(), ctx.event_id().to_string());
    batch.also(sql::END_FAMILY.bind([
        sid.as_str().into(),
        known.tenant.id.to_string().into(),
        ctx.now().into(),
        event.as_str().into(),
        "signed_out".into(),
    ]));
    batch.also(sql::RECORD_END.bind([event.into(), ctx.now().into(), sid.into()]));
}

async fn end_one<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    sid: SessionId,
    legacy: Option<&LegacyTrail>,
) -> Result<(), Refusal> {
    let mut batch = Batch::new(sid.shard());
    // A legacy access token has no session; one is made and ended, and denies it from then on.
    if let Some(trail) = legacy {
        batch.also(trail.family_to_end(ctx, known));
    }
    end_by_owner(ctx, known, sid, &mut batch);
    ctx.run(batch).await?;
    ctx.app.knowledge.borrow_mut().end(known.tenant.id, sid);
    Ok(())
}

#[derive(Deserialize)]
struct EndedRow {
    id: SessionId,
}

async fn end_everywhere<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    user: UserId,
    sid: SessionId,
    legacy: Option<&LegacyTrail>,
) -> Result<(), Refusal> {
    let (tenant, user, event) = (known.tenant.id.to_string(), user.to_string(), ctx.event_id().to_string());
    let (tenant, user, event, now) = (tenant.as_str(), user.as_str(), event.as_str(), ctx.now());
    let mut batch = Batch::new(known.tenant.shard());
    if let Some(trail) = legacy {
        batch.also(trail.family_to_end(ctx, known));
    }
    let params = [tenant.into(), user.into(), now.into(), event.into()];
    let ended = batch.add::<EndedRow>(sql::END_FAMILIES.bind(params));
    batch.also(sql::RECORD_SIGN_OUT_EVERYWHERE.bind([
        event.into(),
        tenant.into(),
        now.into(),
        user.into(),
        sid.to_string().into(),
    ]));
    batch.also(sql::END_LEGACY.bind([tenant.into(), user.into(), now.into()]));
    let rows = ctx.run(batch).await?;
    let mut knowledge = ctx.app.knowledge.borrow_mut();
    for ended in rows.take(ended)? {
        knowledge.end(known.tenant.id, ended.id);
    }
    Ok(())
}
