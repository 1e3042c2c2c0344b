//! Ending sessions by their owner: `logout` (one, or everywhere) and the old service's `blacklist`.

use std::rc::Rc;

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
use crate::sessions::pace::admit;
use crate::sql::batch::{Batch, BatchRows};
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::{TenantName, find_fresh};
use crate::tenants::target::Bearer;
use crate::tokens::access::{authenticate, session_of_expired};
use crate::tokens::error::TokenError;
use crate::tokens::refresh_token::presented;

/// Ends the sessions that a request has credentials for, or all sessions of their users.
///
/// 1. The Bearer token, `refresh` in the body, and the cookies (with CSRF protection) are all tried, because a client
///    may send an expired credential together with a valid one.
/// 2. Each valid one ends its own session; a cookie's session may have ended before.
/// 3. 204 if one was valid; else the error of the first.
///
/// # Errors
/// 401 and 400 for invalid credentials, 403 at a suspended tenant, 429 over the limits of a session and its tenant,
/// 503 if storage cannot be reached.
pub async fn logout<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    bearer: &Bearer,
    cookies: Option<&CookieSession>,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let everywhere = fields.flag("everywhere")?;
    let known = find_fresh(ctx, named).await?;
    if known.tenant.status != Status::Active {
        return Err(Refusal::tenant_suspended());
    }
    let leaving = Leaving { ctx, known: &known, named, everywhere };
    let mut tried = Tried::default();
    match bearer {
        Bearer::None => {}
        Bearer::Malformed => tried.add(Err(Refusal::bad_authorization_header()))?,
        Bearer::Token(token) => tried.add(leaving.by_access(token).await)?,
    }
    if fields.has("refresh") {
        tried.add(match fields.token("refresh") {
            Ok(token) => leaving.by_refresh(&token).await,
            Err(refusal) => Err(refusal),
        })?;
    }
    if let Some(cookies) = cookies {
        tried.add(leaving.by_cookies(cookies).await)?;
    }
    tried.answer()
}

/// The outcome of the credentials so far.
#[derive(Default)]
struct Tried {
    ended: bool,
    fault: Option<Refusal>,
}

impl Tried {
    /// An invalid credential does not affect the others. If storage cannot be reached, the whole request fails and
    /// the client repeats it.
    fn add(&mut self, result: Result<(), Refusal>) -> Result<(), Refusal> {
        match result {
            Ok(()) => self.ended = true,
            Err(refusal) if matches!(refusal.status, 400 | 401) => {
                self.fault.get_or_insert(refusal);
            }
            Err(refusal) => return Err(refusal),
        }
        Ok(())
    }

    fn answer(self) -> Result<Answer, Refusal> {
        if self.ended {
            return Ok(Answer::no_content());
        }
        Err(self.fault.unwrap_or_else(Refusal::no_credentials))
    }
}

/// A request to end sessions.
struct Leaving<'a, P: Platform> {
    ctx: Context<'a, P>,
    known: &'a Rc<OpenedTenant>,
    named: &'a TenantName,
    everywhere: bool,
}

impl<P: Platform> Leaving<'_, P> {
    /// A valid access token ends its session. A token that has only expired still identifies its session, like an
    /// `id_token_hint` (OpenID Connect RP-Initiated Logout 1.0, section 2): it ends that session if it is active, and
    /// no others.
    async fn by_access(&self, unverified_token: &str) -> Result<(), Refusal> {
        let judged = match authenticate(self.ctx, self.known, self.named, unverified_token).await {
            Ok(access) => {
                admit(self.ctx, self.known, access.sid).await?;
                return self.end(access.sub, access.sid, access.legacy.as_ref()).await;
            }
            Err(TokenError::Token(TokenFault::Expired)) if !self.everywhere => {
                self.by_expired(unverified_token).await
            }
            Err(refused) => Err(refused),
        };
        judged.map_err(|refused| refused.with(TokenFault::as_bearer))
    }

    async fn by_expired(&self, unverified_token: &str) -> Result<(), TokenError> {
        let (ctx, known) = (self.ctx, self.known);
        let sid = session_of_expired(ctx, known, unverified_token).await?;
        admit(ctx, known, sid).await?;
        match end_family(ctx, known, sid, Batch::new(sid.shard())).await?.0 {
            Some(row_before) if !row_before.is_over(ctx.now()) => Ok(()),
            Some(_) | None => Err(TokenFault::Expired.into()),
        }
    }

    async fn by_refresh(&self, unverified_token: &str) -> Result<(), Refusal> {
        let (user, sid) = end_presented(self.ctx, self.known, unverified_token).await?;
        if self.everywhere { self.end(user, sid, None).await } else { Ok(()) }
    }

    /// A refresh cookie with a valid signature may end its own session. To end others, it must be fully valid.
    async fn by_cookies(&self, cookies: &CookieSession) -> Result<(), Refusal> {
        if let (Some((_, proven)), false) = (&cookies.refresh, self.everywhere) {
            admit(self.ctx, self.known, proven.sid).await?;
            return end_one(self.ctx, self.known, proven.sid, proven.legacy.as_ref()).await;
        }
        let mut tried = Tried::default();
        if let Some(token) = &cookies.unverified_access {
            tried.add(self.by_access(token).await)?;
        }
        match &cookies.refresh {
            Some((token, _)) if !tried.ended => self.by_refresh(token).await,
            Some(_) | None => tried.answer().map(drop),
        }
    }

    async fn end(&self, user: UserId, sid: SessionId, legacy: Option<&LegacyTrail>) -> Result<(), Refusal> {
        let (ctx, known) = (self.ctx, self.known);
        if self.everywhere {
            end_everywhere(ctx, known, user, sid, legacy).await
        } else {
            end_one(ctx, known, sid, legacy).await
        }
    }
}

/// Ends the session of a refresh token, like SimpleJWT's blacklist.
///
/// # Errors
/// 400 without a token, 401 for an invalid one or an ended session, 403 at a suspended tenant, 503.
pub async fn blacklist<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let token = fields.token("refresh")?;
    let known = find_fresh(ctx, named).await?;
    if known.tenant.status != Status::Active {
        return Err(Refusal::tenant_suspended());
    }
    end_presented(ctx, &known, &token).await?;
    Ok(Answer::json(200, &json!({})))
}

/// Ends the session of a presented refresh token, and returns its user.
///
/// A token of an earlier generation ends its session, too: its sender wants to sign out, or has stolen it.
async fn end_presented<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    unverified_token: &str,
) -> Result<(UserId, SessionId), Refusal> {
    let token = presented(ctx, known, unverified_token).await;
    let token = token.map_err(|refused| refused.with(TokenFault::at_sign_out))?;
    admit(ctx, known, token.sid).await?;
    let mut batch = Batch::new(token.sid.shard());
    let legacy_user = token.open_to_end(ctx, known, &mut batch);
    let (row_before, rows) = end_family(ctx, known, token.sid, batch).await?;
    let Some(row_before) = row_before else {
        let fault = token.without_row(&rows, legacy_user, ctx, known)?;
        return Err(fault.map_or_else(Refusal::unavailable, TokenFault::at_sign_out));
    };
    let window = secs_as_ms(known.tenant.settings.retry_window_secs);
    family::verify(&row_before, token.generation, ctx.now(), window).map_err(TokenFault::at_sign_out)?;
    Ok((row_before.user, token.sid))
}

/// Adds to a batch: reads the family, and ends it.
async fn end_family<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    sid: SessionId,
    mut batch: Batch,
) -> Result<(Option<FamilyRow>, BatchRows<P::Rows>), Refusal> {
    let params = [sid.to_string().into(), known.tenant.id.to_string().into()];
    let family = batch.add::<FamilyRow>(sql::FAMILY.bind(params));
    end_by_owner(ctx, known, sid, &mut batch);
    let rows = ctx.run(batch).await?;
    ctx.app.shard_cache.borrow_mut().end(known.tenant.id, sid);
    Ok((rows.take_one(family)?, rows))
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
    // A legacy access token has no session; an ended one is created, which denies the token from then on.
    if let Some(trail) = legacy {
        batch.also(trail.family_to_end(ctx, known));
    }
    end_by_owner(ctx, known, sid, &mut batch);
    ctx.run(batch).await?;
    ctx.app.shard_cache.borrow_mut().end(known.tenant.id, sid);
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
    batch.also(sql::FORGET_DEVICES.bind([tenant.into(), user.into(), None::<&str>.into()]));
    let rows = ctx.run(batch).await?;
    let mut cache = ctx.app.shard_cache.borrow_mut();
    for ended in rows.take(ended)? {
        cache.end(known.tenant.id, ended.id);
    }
    Ok(())
}
