//! Silent renewal: a forwarded request whose access cookie is no longer valid, but whose refresh cookie is, proceeds
//! with a new access token, which its answer sets as a cookie.
//!
//! It never rotates, so the refresh cookie stays valid if the answer is lost, or if many requests renew at once.

use std::rc::Rc;

use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::UserId;
use shared::wire::ticket::VouchedTicket;

use crate::browser::cookies::CookieSession;
use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::sessions::advance::{Advance, TokenFamily, advance};
use crate::sessions::family;
use crate::sessions::issued::{IssuedTokens, tokens};
use crate::sessions::pace::admit;
use crate::sql::secs_as_ms;
use crate::tenants::find::{TenantName, renew};
use crate::tenants::state::State;
use crate::tokens::access::authenticate;
use crate::tokens::error::TokenError;
use crate::tokens::refresh_token::VerifiedRefresh;

/// The caller of a forwarded request.
pub enum Caller {
    /// No user; `ended` if the cookies belong to an ended session.
    Anonymous {
        /// Whether the cookies are cleared.
        ended: bool,
    },
    /// An invalid access cookie without a refresh cookie: it is refused like a Bearer token, and cleared, because
    /// otherwise the browser would be refused at open routes, too.
    Bad(Refusal),
    /// A user, by a valid access token; `Some` if it came as a cookie.
    User(UserId, Option<String>),
    /// A user, by a ticket that is valid at the route.
    Ticket(VouchedTicket),
    /// A user, by a renewed access token, which the answer sets.
    Renewed {
        /// The token.
        issued: IssuedTokens,
        /// Whether the refresh cookie is a legacy token, for which there is no CSRF value yet.
        legacy: bool,
    },
}

impl Caller {
    /// The access token that did not come as Bearer.
    #[must_use]
    pub fn access(&self) -> Option<&str> {
        match self {
            Self::Anonymous { .. } | Self::Bad(_) | Self::User(_, None) | Self::Ticket(_) => None,
            Self::User(_, Some(access)) => Some(access),
            Self::Renewed { issued, .. } => Some(&issued.access),
        }
    }
}

/// The caller of a request with cookies.
///
/// 1. A valid access cookie.
/// 2. Else the refresh cookie: a new access token, or no user.
///
/// # Errors
/// 403 at a suspended tenant, 503 if storage cannot be reached.
pub async fn by_cookies<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    presented: CookieSession,
) -> Result<Caller, Refusal> {
    let mut fault = TokenFault::Invalid;
    if let Some(token) = presented.unverified_access {
        match authenticate(ctx, known, named, &token).await {
            Ok(access) => return Ok(Caller::User(access.sub, Some(token))),
            Err(TokenError::Other(refusal)) => return Err(refusal),
            Err(TokenError::Token(found)) => fault = found,
        }
    }
    match presented.refresh {
        Some((_, refresh)) => by_refresh(ctx, known, named, &refresh).await,
        None => Ok(Caller::Bad(fault.as_bearer())),
    }
}

/// The row decides, as for verify.
async fn by_refresh<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    token: &VerifiedRefresh,
) -> Result<Caller, Refusal> {
    admit(ctx, known, token.sid).await?;
    let turned = advance(ctx, named, known, token, Advance::KeepAlive).await?;
    let known = match turned.state {
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
            ctx.app.shard_cache.borrow_mut().forget_name(&named.name);
            return Err(Refusal::unavailable());
        }
    };
    let row = match turned.family {
        TokenFamily::Row(row) => row,
        TokenFamily::Fault(_) => return Ok(Caller::Anonymous { ended: true }),
        TokenFamily::Withheld => return Err(Refusal::unavailable()),
    };
    let window = secs_as_ms(known.tenant.settings.retry_window_secs);
    match family::verify(&row, token.generation, ctx.now(), window) {
        Ok(()) => {
            let issued = tokens(ctx, &known, token.sid, &row).await?;
            Ok(Caller::Renewed { issued, legacy: token.legacy.is_some() })
        }
        // An earlier generation of an active session: a slow tab. The browser has newer cookies.
        Err(_) => Ok(Caller::Anonymous { ended: row.is_over(ctx.now()) }),
    }
}
