//! `/api/user/sessions/`: the caller's own sessions.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use shared::tenant::visibility::Visibility;
use utoipa::ToSchema;

use super::{SessionOut, answer, example, living, parse, unless_gone};
use crate::access::{Authenticated, Me};
use crate::control::Control;
use crate::edges::in_force;
use crate::failure::chain;
use crate::http::answer::{Refused, no_content, ok};
use crate::http::described::Paging;
use crate::http::list::{ListQuery, Unfiltered};
use crate::http::page::ListOut;
use crate::sessions::end as ending;

/// Lists the caller's active sessions: 200; 503 if the edge does not answer.
#[utoipa::path(
    get, path = "/api/user/sessions/", tag = "Sessions", operation_id = "sessions_list", summary = "List the caller's own sessions",
    description = "For any signed-in user: device, place and last use. Read from the edge: 503 if it does not answer \
        within two seconds. The most recently used session comes first.",
    params(Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<SessionOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    me: Me,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    let Authenticated { tx, user, tenant, session, .. } = me.by;
    // No connection is held while the edge is asked.
    drop(tx);
    answer(living(&control, (tenant.id, user.id)).await?, session, Visibility::Clear, &part)
}

/// The answer: how many sessions ended.
#[derive(Serialize, ToSchema)]
#[schema(as = EndedSessions)]
pub struct EndedOut {
    /// The number of other active sessions at the time of the request; null if the edge did not answer.
    #[schema(required)]
    ended: Option<usize>,
}

/// Ends every session of the caller except the current one: 200.
#[utoipa::path(
    delete, path = "/api/user/sessions/", tag = "Sessions", operation_id = "sessions_end_others", summary = "End the caller's other sessions",
    description = "For any signed-in user. The current session continues: its access tokens are refused within \
        seconds, and its refresh token gets new ones. With a legacy token every session ends. If the edge does not \
        answer, the change is stored and sent later.",
    responses((
        status = 200, description = "Ended", body = EndedOut,
        headers(("Wardgate-In-Force" = String, description = "`edge`: the edge has confirmed the change; `pending`: it will be sent again until it does")),
        example = json!({"ended": 2}),
    ))
)]
pub async fn end_others(State(control): State<Control>, me: Me) -> Result<Response, Refused> {
    let Authenticated { tx, user, actor, session, .. } = me.by;
    let ask = control.edge.sessions(tx.tenant(), user.id, control.clock.now());
    let (living, mut tx) = tx.pause(&control.db, ask).await?;
    let others = living.map(|living| living.iter().filter(|it| Some(it.sid) != session).count());
    let ended = others.inspect_err(|error| {
        tracing::warn!(error = %chain(error), "the edge does not say how many sessions there are: their end is kept");
    });
    ending::others(&control, &mut tx, &actor, (user.id, session)).await?;
    Ok(in_force::commit(&control, tx).await?.on(ok(&EndedOut { ended: ended.ok() })))
}

/// Ends one session of the caller: 204; 404.
#[utoipa::path(
    delete, path = "/api/user/sessions/{id}/", tag = "Sessions", operation_id = "sessions_end", summary = "End one of the caller's own sessions",
    description = "For any signed-in user; it may be the current session. If the edge does not answer, the change is \
        stored and sent later; the answer is then 204 even if there is no such session.",
    params(("id" = String, Path)),
    responses((status = 204, description = "Ended", headers(("Wardgate-In-Force" = String, description = "`edge`: the edge has confirmed the change; `pending`: it will be sent again until it does"))))
)]
pub async fn end(
    State(control): State<Control>,
    me: Me,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { tx, user, actor, .. } = me.by;
    let sid = parse(&id)?;
    let mut tx = unless_gone(&control, tx, user.id, sid).await?;
    ending::one(&control, &mut tx, &actor, (user.id, sid)).await?;
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}
