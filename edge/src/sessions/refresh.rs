//! Refresh: one batch rotates the family or says why not, then the answer is made from the row.

use std::rc::Rc;

use shared::ids::EventId;
use shared::jws::Jws;
use shared::refusal::{Refusal, TokenFault};

use crate::context::Context;
use crate::isolate::opened::Known;
use crate::platform::Statement;
use crate::platform::{Platform, read};
use crate::sessions::family::{FamilyRow, Presented, outcome};
use crate::sessions::issued::{Issued, tokens};
use crate::sql;
use crate::sql::millis;
use crate::sql::secs_as_ms;
use crate::tenants::find::{Named, find_known, renew};
use crate::tenants::state::{State, StateRow};
use crate::tokens::access::look_again;
use crate::tokens::error::Refused;
use crate::tokens::refresh_token::{Proven, presented};

/// Refreshes.
///
/// 1. The token's own signature: 401 before storage is read.
/// 2. One batch: the family ends, rotates, or neither; the row and the tenant's state are read. For a
///    legacy token, its family is made first, unless it is there.
/// 3. A newer document is read, and a legacy token tried under it again: its key may be gone.
/// 4. The row is worded: the successor, or 401.
/// 5. The tokens of the row's generation: a retry gets the same refresh token.
///
/// # Errors
/// 401 as above, 403 at a suspended tenant, 503 out of reach.
pub async fn refresh<P: Platform>(
    ctx: Context<'_, P>,
    named: &Named,
    unverified_token: &str,
) -> Result<Issued, Refusal> {
    let at_refresh = |refused: Refused| refused.with(TokenFault::at_refresh);
    let (mut known, mut proven) = prove(ctx, named, unverified_token).await.map_err(at_refresh)?;
    let mut turned = turn(ctx, named, &known, &proven).await?;
    if turned.state == State::Newer {
        known = renew(ctx.app, known.tenant.id).await?;
        if proven.legacy.is_some() {
            proven = presented(ctx, &known, unverified_token).await.map_err(at_refresh)?;
            turned = turn(ctx, named, &known, &proven).await?;
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
            ctx.app.knowledge.borrow_mut().forget_name(&named.name);
            return Err(TokenFault::Invalid.at_refresh());
        }
    }
    let row = turned.judged?;
    tokens(ctx, &known, proven.sid, &row).await
}

/// What a token is of, by what is known of the tenant at any age, since the batch asks for its state. Of
/// a legacy token that is not enough: an isolate that slept may not know that the tenant has such a key.
async fn prove<P: Platform>(
    ctx: Context<'_, P>,
    named: &Named,
    unverified_token: &str,
) -> Result<(Rc<Known>, Proven), Refused> {
    let known = find_known(ctx, named).await?;
    let judged = presented(ctx, &known, unverified_token).await;
    let invalid = matches!(judged, Err(Refused::Token(TokenFault::Invalid)));
    if !(invalid && Jws::split(unverified_token).is_some_and(|jws| jws.is_legacy())) {
        return Ok((known, judged?));
    }
    let fresh = look_again(ctx, known, named).await?;
    let proven = presented(ctx, &fresh, unverified_token).await?;
    Ok((fresh, proven))
}

/// What one batch made of a token.
struct Turned {
    state: State,
    /// The row whose generation is the answer, or the refusal.
    judged: Result<FamilyRow, Refusal>,
}

async fn turn<P: Platform>(
    ctx: Context<'_, P>,
    named: &Named,
    known: &Known,
    proven: &Proven,
) -> Result<Turned, Refusal> {
    let event = ctx.event_id();
    let mut batch = proven.opening(ctx, known);
    let at = batch.len();
    batch.extend(statements(named, known, proven, event, ctx.now_ms));
    let rows = ctx.app.platform.batch(proven.sid.shard(), batch).await.map_err(|_| Refusal::unavailable())?;
    let state = StateRow::compare(read::<P, StateRow>(&rows, at + 4)?.first(), known);
    let rotated = !read::<P, serde::de::IgnoredAny>(&rows, at + 1)?.is_empty();
    let judged = match read::<P, FamilyRow>(&rows, at + 3)?.pop() {
        // A legacy token that could have a family and got none: its document is outdated.
        None => Err(proven
            .without_row::<P>(&rows, at, ctx.now_ms)?
            .map_or_else(Refusal::unavailable, TokenFault::at_refresh)),
        Some(row) => {
            let presented = Presented {
                generation: proven.generation,
                rotated,
                ended: row.ended_by.as_deref() == Some(event.to_string().as_str()),
                now: ctx.now(),
                window: secs_as_ms(known.tenant.settings.retry_window_secs),
            };
            if presented.ended {
                ctx.app.knowledge.borrow_mut().end(known.tenant.id, proven.sid);
            }
            outcome(&row, presented).refusal().map_or(Ok(row), Err)
        }
    };
    Ok(Turned { state, judged })
}

fn statements(named: &Named, known: &Known, token: &Proven, event: EventId, now_ms: u64) -> Vec<Statement> {
    let (sid, tenant, event) = (token.sid.to_string(), known.tenant.id.to_string(), event.to_string());
    let (sid, tenant, event) = (sid.as_str(), tenant.as_str(), event.as_str());
    let (now, settings) = (millis(now_ms), &known.tenant.settings);
    vec![
        sql::END_STOLEN.bind([
            sid.into(),
            tenant.into(),
            token.generation.into(),
            now.into(),
            secs_as_ms(settings.retry_window_secs).into(),
            event.into(),
        ]),
        sql::ROTATE.bind([
            sid.into(),
            tenant.into(),
            token.generation.into(),
            now.into(),
            secs_as_ms(settings.idle_secs).into(),
            sql::understood(),
        ]),
        sql::RECORD_END.bind([event.into(), now.into(), sid.into()]),
        sql::FAMILY.bind([sid.into(), tenant.into()]),
        sql::TENANT_STATE.bind([tenant.into(), named.name.as_str().into()]),
    ]
}
