//! Silent renewal: a forwarded request whose access cookie is not good any more, but whose refresh
//! cookie is, goes on with a new access token, which its answer sets.
//!
//! It never rotates. Whatever is lost on the way, an answer or the browser's interest in it, and however
//! many requests do it at once, the refresh cookie stays good.

use std::rc::Rc;

use shared::ids::{EventId, UserId};
use shared::limits::RENEWAL_SECS;
use shared::refusal::{Refusal, TokenFault};

use crate::browser::cookies::Presented;
use crate::context::Context;
use crate::isolate::opened::Known;
use crate::platform::Statement;
use crate::platform::{Platform, read};
use crate::sessions::family::{self, FamilyRow};
use crate::sessions::issued::{Issued, tokens};
use crate::sql;
use crate::sql::millis;
use crate::sql::secs_as_ms;
use crate::tenants::find::{Found, Named, renew};
use crate::tenants::state::{State, StateRow};
use crate::tokens::access::authenticate;
use crate::tokens::error::Refused;
use crate::tokens::refresh_token::Proven;

/// For whom a forwarded request acts.
pub enum Caller {
    /// Nobody; `ended` where its cookies are of a session that is over.
    Nobody {
        /// Whether the cookies are to be taken away.
        ended: bool,
    },
    /// An access cookie that is not good, without a refresh cookie to ask: it is refused as Bearer would be,
    /// and taken away, or else a browser would be refused at open routes, too, for as long as it keeps it.
    Bad(Refusal),
    /// A user, by a good access token, which is here if it came as a cookie.
    Known(UserId, Option<String>),
    /// A user, by a new access token, which goes with the answer.
    Renewed {
        /// The token.
        issued: Issued,
        /// Whether the refresh cookie is still the old service's: that gave no CSRF value of ours.
        legacy: bool,
    },
}

impl Caller {
    /// The access token that did not come as Bearer.
    #[must_use]
    pub fn access(&self) -> Option<&str> {
        match self {
            Self::Nobody { .. } | Self::Bad(_) | Self::Known(_, None) => None,
            Self::Known(_, Some(access)) => Some(access),
            Self::Renewed { issued, .. } => Some(&issued.access),
        }
    }
}

/// For whom a request acts by its cookies.
///
/// 1. A good access cookie.
/// 2. Else, whatever is wrong with it, the refresh cookie: a new access token, or nobody.
///
/// # Errors
/// 403 at a suspended tenant, 503 out of reach.
pub async fn by_cookies<P: Platform>(
    ctx: Context<'_, P>,
    found: &Found,
    named: &Named,
    presented: Presented,
) -> Result<Caller, Refusal> {
    let mut fault = TokenFault::Invalid;
    if let Some(token) = presented.unverified_access {
        match authenticate(ctx, found, named, &token).await {
            Ok(access) => return Ok(Caller::Known(access.sub, Some(token))),
            Err(Refused::Other(refusal)) => return Err(refusal),
            Err(Refused::Token(found)) => fault = found,
        }
    }
    match presented.refresh {
        Some((_, refresh)) => by_refresh(ctx, &found.known, named, &refresh).await,
        None => Ok(Caller::Bad(fault.as_bearer())),
    }
}

/// One batch: a family that was stolen ends, one that is used lives on; the row and the tenant's state
/// are read. The row says who it is, by the same words as for verify.
async fn by_refresh<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<Known>,
    named: &Named,
    token: &Proven,
) -> Result<Caller, Refusal> {
    let event = ctx.event_id();
    let mut batch = token.opening(ctx, known);
    let at = batch.len();
    batch.extend(statements(named, known, token, event, ctx.now_ms));
    let rows = ctx.app.platform.batch(token.sid.shard(), batch).await.map_err(|_| Refusal::unavailable())?;
    let state = read::<P, StateRow>(&rows, at + 4)?;
    let known = match StateRow::compare(state.first(), known) {
        State::Current => known.clone(),
        // Perhaps the document that vouched for a legacy token does not any more: the next request tries
        // it under this one.
        State::Newer if token.legacy.is_some() => {
            renew(ctx.app, known.tenant.id).await?;
            return Err(Refusal::unavailable());
        }
        State::Newer => renew(ctx.app, known.tenant.id).await?,
        State::Suspended => return Err(Refusal::tenant_suspended()),
        State::Gone => return Err(Refusal::not_found()),
        State::NotUnderstood => return Err(Refusal::unavailable()),
        State::Renamed => {
            ctx.app.knowledge.borrow_mut().forget_name(&named.name);
            return Err(Refusal::unavailable());
        }
    };
    let row = read::<P, FamilyRow>(&rows, at + 3)?.pop();
    if row.as_ref().is_some_and(|row| row.ended_by.as_deref() == Some(event.to_string().as_str())) {
        ctx.app.knowledge.borrow_mut().end(known.tenant.id, token.sid);
    }
    let (now, window) = (ctx.now(), secs_as_ms(known.tenant.settings.retry_window_secs));
    let Some(row) = row else { return Ok(Caller::Nobody { ended: true }) };
    match family::verify(&row, token.generation, now, window) {
        Ok(()) => {
            let issued = tokens(ctx, &known, token.sid, &row).await?;
            Ok(Caller::Renewed { issued, legacy: token.legacy.is_some() })
        }
        // Behind, but the session lives: a tab that was slow. The browser has newer cookies by now.
        Err(_) => Ok(Caller::Nobody { ended: row.is_over(now) }),
    }
}

fn statements(named: &Named, known: &Known, token: &Proven, event: EventId, now_ms: u64) -> Vec<Statement> {
    let (sid, tenant, event) = (token.sid.to_string(), known.tenant.id.to_string(), event.to_string());
    let (sid, tenant, event) = (sid.as_str(), tenant.as_str(), event.as_str());
    let (now, settings) = (millis(now_ms), &known.tenant.settings);
    // A session that ends within the hour if it is not used has to be moved sooner to live at all.
    let every_secs = RENEWAL_SECS.min(settings.idle_secs / 2);
    vec![
        sql::END_STOLEN.bind([
            sid.into(),
            tenant.into(),
            token.generation.into(),
            now.into(),
            secs_as_ms(settings.retry_window_secs).into(),
            event.into(),
        ]),
        sql::KEEP_ALIVE.bind([
            sid.into(),
            tenant.into(),
            token.generation.into(),
            now.into(),
            secs_as_ms(settings.idle_secs).into(),
            secs_as_ms(every_secs).into(),
            sql::understood(),
        ]),
        sql::RECORD_END.bind([event.into(), now.into(), sid.into()]),
        sql::FAMILY.bind([sid.into(), tenant.into()]),
        sql::TENANT_STATE.bind([tenant.into(), named.name.as_str().into()]),
    ]
}
