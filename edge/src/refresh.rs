//! Refresh: one batch rotates the family or says why not, then the answer is made from the row.

use shared::ids::EventId;
use shared::refusal::{Refusal, TokenFault};
use shared::token::Refresh;

use crate::access::access_token_fault;
use crate::issued::{Issued, tokens};
use crate::platform::{Platform, read};
use crate::session::{FamilyRow, Presented, outcome};
use crate::sql::Statement;
use crate::tenants::{Known, Named, State, StateRow, find_known, renew};
use crate::{App, millis, secs_as_ms, sql};

/// The refresh token of a body, verified against the tenant's keys before storage is read.
///
/// # Errors
/// Invalid, or the wrong type (or expired) for an access token of this tenant.
pub async fn presented<P: Platform>(
    app: &App<P>,
    known: &Known,
    unverified_token: &str,
    now_ms: u64,
) -> Result<Refresh, TokenFault> {
    for key in &known.refresh_keys {
        if key.wrote_header_of(unverified_token) {
            return key.verify(unverified_token);
        }
    }
    Err(access_token_fault(app, known, unverified_token, now_ms).await)
}

/// Refreshes.
///
/// 1. The token's own signature: 401 before storage is read.
/// 2. One batch: the family ends, rotates, or neither; the row and the tenant's state are read.
/// 3. The row is worded: the successor, or 401.
/// 4. The tokens of the row's generation: a retry gets the same refresh token.
///
/// # Errors
/// 401 as above, 403 at a suspended tenant, 503 out of reach.
pub async fn refresh<P: Platform>(
    app: &App<P>,
    named: &Named,
    unverified_token: &str,
    now_ms: u64,
) -> Result<Issued, Refusal> {
    let mut known = find_known(app, named, now_ms).await?;
    let token = presented(app, &known, unverified_token, now_ms).await.map_err(TokenFault::at_refresh)?;
    let event = app.event_id(now_ms);
    let statements = statements(named, &known, &token, event, now_ms);
    let rows = app.platform.batch(token.sid.shard(), statements).await.map_err(|_| Refusal::unavailable())?;
    let state = read::<P, StateRow>(&rows, 4)?;
    match StateRow::compare(state.first(), &known) {
        State::Current => {}
        State::Newer => known = renew(app, known.tenant.id).await?,
        State::Suspended => return Err(Refusal::tenant_suspended()),
        State::Gone => return Err(Refusal::not_found()),
        // The name is another tenant's now, and there this token is garbage. If it rotated, a retry
        // at its own tenant gets the successor.
        State::Renamed => {
            app.knowledge.borrow_mut().forget_name(&named.name);
            return Err(TokenFault::Invalid.at_refresh());
        }
    }
    let row = read::<P, FamilyRow>(&rows, 3)?.pop();
    let rotated = !read::<P, serde::de::IgnoredAny>(&rows, 1)?.is_empty();
    let ended_by_us = |row: &FamilyRow| row.ended_by.as_deref() == Some(event.to_string().as_str());
    let presented = Presented {
        generation: token.generation,
        rotated,
        ended: row.as_ref().is_some_and(ended_by_us),
        now: millis(now_ms),
        window: secs_as_ms(known.tenant.settings.retry_window_secs),
    };
    let outcome = outcome(row.as_ref(), presented);
    if presented.ended {
        app.knowledge.borrow_mut().end(known.tenant.id, token.sid);
    }
    let expired = token.expires_at <= millis(now_ms) / 1000;
    match (outcome.fault(expired), row) {
        (None, Some(row)) => tokens(app, &known, token.sid, &row, now_ms).await,
        (fault, _) => Err(fault.unwrap_or(TokenFault::Invalid).at_refresh()),
    }
}

fn statements(named: &Named, known: &Known, token: &Refresh, event: EventId, now_ms: u64) -> Vec<Statement> {
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
        ]),
        sql::RECORD_END.bind([event.into(), now.into(), sid.into()]),
        sql::FAMILY.bind([sid.into(), tenant.into()]),
        sql::TENANT_STATE.bind([tenant.into(), named.name.as_str().into()]),
    ]
}
