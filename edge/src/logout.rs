//! Ending sessions by their owner: `logout` (one, or everywhere) and the old service's `blacklist`.

use serde_json::json;
use shared::ids::{SessionId, UserId};
use shared::refusal::{Refusal, TokenFault};
use shared::tenant::Status;

use crate::access::{Refused, authenticate};
use crate::body::Fields;
use crate::cookies::Presented;
use crate::http::Answer;
use crate::platform::{Platform, read};
use crate::refresh::presented;
use crate::session::{self, FamilyRow};
use crate::tenants::{Found, Known, Named, find_fresh};
use crate::{App, millis, secs_as_ms, sql};

/// By what a caller says which session to end.
pub enum By<'a> {
    /// An access token in `Authorization`.
    Bearer(&'a str),
    /// `refresh` in the body.
    Body,
    /// Cookies, CSRF judged.
    Cookies(&'a Presented),
}

/// Ends the caller's session, or all of them.
///
/// 1. Bearer, else `refresh` in the body, else the cookies, else 401.
/// 2. The session ends; one that has ended already is fine.
///
/// # Errors
/// 401 for a credential that is not good, 403 at a suspended tenant, 503 out of reach.
pub async fn logout<P: Platform>(
    app: &App<P>,
    named: &Named,
    by: By<'_>,
    fields: &Fields,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    let everywhere = fields.flag("everywhere")?;
    let found = find_fresh(app, named, now_ms).await?;
    if found.known.tenant.status != Status::Active {
        return Err(Refusal::tenant_suspended());
    }
    let (user, sid) = match by {
        By::Bearer(token) => {
            let judged = authenticate(app, &found, named, token, now_ms).await;
            let access = judged.map_err(|refused| refused.with(TokenFault::as_bearer))?;
            (access.sub, access.sid)
        }
        By::Cookies(presented) => left_by(app, &found, named, presented, everywhere, now_ms).await?,
        By::Body if fields.has("refresh") => {
            let token = fields.token("refresh")?;
            end_presented(app, &found.known, &token, now_ms).await?
        }
        By::Body => return Err(Refusal::no_credentials()),
    };
    if everywhere {
        end_everywhere(app, &found, user, sid, now_ms).await?;
    } else {
        end_one(app, &found.known, sid, now_ms).await?;
    }
    Ok(Answer::no_content())
}

/// Whose session the cookies are of. A refresh cookie that is good by its signature alone may end its
/// own session, which is what its browser wants; to end the others it has to be good altogether.
async fn left_by<P: Platform>(
    app: &App<P>,
    found: &Found,
    named: &Named,
    presented: &Presented,
    everywhere: bool,
    now_ms: u64,
) -> Result<(UserId, SessionId), Refusal> {
    let mut fault = TokenFault::Invalid;
    if let Some(token) = &presented.unverified_access {
        match authenticate(app, found, named, token, now_ms).await {
            Ok(access) => return Ok((access.sub, access.sid)),
            Err(Refused::Other(refusal)) => return Err(refusal),
            Err(Refused::Token(found)) => fault = found,
        }
    }
    match &presented.refresh {
        Some((token, _)) if everywhere => end_presented(app, &found.known, token, now_ms).await,
        Some((_, refresh)) => Ok((refresh.user, refresh.sid)),
        None => Err(fault.as_bearer()),
    }
}

/// Ends the session of a refresh token, as the old service's blacklist does.
///
/// # Errors
/// 400 without a token, 401 for one that is not good or has ended, 403 at a suspended tenant, 503.
pub async fn blacklist<P: Platform>(
    app: &App<P>,
    named: &Named,
    fields: &Fields,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    let token = fields.token("refresh")?;
    let known = find_fresh(app, named, now_ms).await?.known;
    if known.tenant.status != Status::Active {
        return Err(Refusal::tenant_suspended());
    }
    end_presented(app, &known, &token, now_ms).await?;
    Ok(Answer::json(200, &json!({})))
}

/// Ends the session of a presented refresh token, and says whose it was.
///
/// A token that is behind ends its session, too: who presents it wants that, or is a thief.
async fn end_presented<P: Platform>(
    app: &App<P>,
    known: &Known,
    unverified_token: &str,
    now_ms: u64,
) -> Result<(UserId, SessionId), Refusal> {
    let token = presented(app, known, unverified_token, now_ms).await.map_err(TokenFault::at_verify)?;
    let (sid, tenant) = (token.sid.to_string(), known.tenant.id.to_string());
    let event = app.event_id(now_ms).to_string();
    let now = millis(now_ms);
    let statements = vec![
        sql::FAMILY.bind([sid.as_str().into(), tenant.as_str().into()]),
        sql::END_FAMILY.bind([
            sid.as_str().into(),
            tenant.as_str().into(),
            now.into(),
            event.as_str().into(),
            "signed_out".into(),
        ]),
        sql::RECORD_END.bind([event.as_str().into(), now.into(), sid.as_str().into()]),
    ];
    let rows = app.platform.batch(token.sid.shard(), statements).await.map_err(|_| Refusal::unavailable())?;
    app.knowledge.borrow_mut().end(known.tenant.id, token.sid);
    let row_before = read::<P, FamilyRow>(&rows, 0)?.pop();
    let window = secs_as_ms(known.tenant.settings.retry_window_secs);
    session::verify(row_before.as_ref(), token.generation, now, window, token.expires_at)
        .map_err(TokenFault::at_verify)?;
    Ok((token.user, token.sid))
}

async fn end_one<P: Platform>(
    app: &App<P>,
    known: &Known,
    sid: SessionId,
    now_ms: u64,
) -> Result<(), Refusal> {
    let (text, tenant) = (sid.to_string(), known.tenant.id.to_string());
    let event = app.event_id(now_ms).to_string();
    let now = millis(now_ms);
    let statements = vec![
        sql::END_FAMILY.bind([
            text.as_str().into(),
            tenant.as_str().into(),
            now.into(),
            event.as_str().into(),
            "signed_out".into(),
        ]),
        sql::RECORD_END.bind([event.as_str().into(), now.into(), text.as_str().into()]),
    ];
    app.platform.batch(sid.shard(), statements).await.map_err(|_| Refusal::unavailable())?;
    app.knowledge.borrow_mut().end(known.tenant.id, sid);
    Ok(())
}

async fn end_everywhere<P: Platform>(
    app: &App<P>,
    found: &Found,
    user: UserId,
    sid: SessionId,
    now_ms: u64,
) -> Result<(), Refusal> {
    let tenant = found.known.tenant.id;
    let (tenant_text, user_text) = (tenant.to_string(), user.to_string());
    let event = app.event_id(now_ms).to_string();
    let now = millis(now_ms);
    let statements = vec![
        sql::END_FAMILIES.bind([
            tenant_text.as_str().into(),
            user_text.as_str().into(),
            now.into(),
            event.as_str().into(),
        ]),
        sql::RECORD_SIGN_OUT_EVERYWHERE.bind([
            event.as_str().into(),
            tenant_text.as_str().into(),
            now.into(),
            user_text.as_str().into(),
            sid.to_string().into(),
        ]),
    ];
    let rows = app
        .platform
        .batch(found.known.tenant.shard(), statements)
        .await
        .map_err(|_| Refusal::unavailable())?;
    let mut knowledge = app.knowledge.borrow_mut();
    for ended in read::<P, EndedRow>(&rows, 0)? {
        knowledge.end(tenant, ended.id);
    }
    Ok(())
}

#[derive(serde::Deserialize)]
struct EndedRow {
    id: SessionId,
}
