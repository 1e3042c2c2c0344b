//! Refresh: one batch rotates the family or not, then the answer follows from the row.

use std::rc::Rc;

use shared::contract::refusal::{Refusal, TokenFault};
use shared::contract::routes::Audience;
use shared::tokens::jws::Jws;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::sessions::advance::{Advance, AdvancedFamily, TokenFamily, advance};
use crate::sessions::family::{FamilyRow, RefreshAttempt, outcome};
use crate::sessions::issued::{IssuedTokens, tokens};
use crate::sessions::pace::admit;
use crate::tenants::find::{TenantName, find_fresh, find_known, renew};
use crate::tenants::networks;
use crate::tenants::state::State;
use crate::tokens::access::look_again;
use crate::tokens::error::TokenError;
use crate::tokens::refresh_token::{VerifiedRefresh, presented};

/// Refreshes.
///
/// 1. Before storage is read: 401 if the token's signature is not valid; 403 if the client's network is not allowed;
///    429 over the limits by session and tenant.
/// 2. One batch: the family ends, rotates, or neither; the row and the tenant's state are read. For a legacy token,
///    its family is created first if it does not exist.
/// 3. If there is a newer document, it is read, and a legacy token is verified again, because its key may have been
///    removed.
/// 4. The outcome from the row: the next tokens, or 401.
/// 5. The tokens of the row's generation: a retry gets the same refresh token.
///
/// # Errors
/// 401 as above, 403 at a suspended tenant, 503 if storage cannot be reached.
pub async fn refresh<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    unverified_token: &str,
    client: &str,
) -> Result<IssuedTokens, Refusal> {
    let at_refresh = |refused: TokenError| refused.with(TokenFault::at_refresh);
    let (mut known, mut proven) = prove(ctx, named, unverified_token).await.map_err(at_refresh)?;
    networks::admit(ctx, &known, client, Audience::Users).await?;
    admit(ctx, &known, proven.sid).await?;
    let mut turned = advance(ctx, named, &known, &proven, Advance::Rotate).await?;
    if turned.state == State::Newer {
        known = renew(ctx.app, known.tenant.id).await?;
        if proven.legacy.is_some() {
            proven = presented(ctx, &known, unverified_token).await.map_err(at_refresh)?;
            turned = advance(ctx, named, &known, &proven, Advance::Rotate).await?;
        }
    }
    match turned.state {
        State::Current | State::Newer => {}
        State::Suspended => return Err(Refusal::tenant_suspended()),
        State::Gone => return Err(Refusal::not_found()),
        State::NotUnderstood => return Err(Refusal::unavailable()),
        // The name is another tenant's now, and there this token is garbage. If it rotated, a retry
        // at its own tenant gets the successor.
        State::Renamed => {
            ctx.app.shard_cache.borrow_mut().forget_name(&named.name);
            return Err(TokenFault::Invalid.at_refresh());
        }
    }
    let row = word(ctx.now(), proven.generation, turned)?;
    tokens(ctx, &known, proven.sid, &row).await
}

/// Verifies against the cached tenant, however old; the batch checks its state again. An idle isolate may not know a
/// new session root or legacy key of the tenant: so a token with an unknown root is verified after a read of the
/// feed, and a legacy token that fails is verified again after one.
async fn prove<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    unverified_token: &str,
) -> Result<(Rc<OpenedTenant>, VerifiedRefresh), TokenError> {
    let mut known = find_known(ctx, named).await?;
    if known.lacks_root_of(unverified_token) {
        known = find_fresh(ctx, named).await?;
    }
    let judged = presented(ctx, &known, unverified_token).await;
    let invalid = matches!(judged, Err(TokenError::Token(TokenFault::Invalid)));
    if !(invalid && Jws::split(unverified_token).is_some_and(|jws| jws.is_legacy())) {
        return Ok((known, judged?));
    }
    let fresh = look_again(ctx, known, named).await?;
    let proven = presented(ctx, &fresh, unverified_token).await?;
    Ok((fresh, proven))
}

/// The outcome of the batch: the row whose generation is the answer, or the refusal.
fn word(now: i64, generation: i64, turned: AdvancedFamily) -> Result<Box<FamilyRow>, Refusal> {
    let row = match turned.family {
        TokenFamily::Row(row) => row,
        TokenFamily::Fault(fault) => return Err(fault.at_refresh()),
        TokenFamily::Withheld => return Err(Refusal::unavailable()),
    };
    let attempt =
        RefreshAttempt { generation, rotated: turned.moved, ended: turned.ended, now, window: turned.window };
    outcome(&row, attempt).refusal().map_or(Ok(row), Err)
}
