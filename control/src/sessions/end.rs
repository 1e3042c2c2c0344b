//! Ending sessions: one, or all but the one that asked. Either is a change that revokes, and is pushed: the edge need not
//! answer now. Ending all of a user is [`crate::users::end_sessions`].

use serde_json::json;
use shared::ids::{SessionId, UserId};

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::users::epochs::Causes;
use crate::users::store::raise_epochs;
use crate::users::{self, UserError, epochs_of};

/// Ends one session of a user, by themselves or by an actor who outranks them. A session that is not the user's, or has
/// ended, is left as it is at the edge.
///
/// # Errors
/// [`UserError::NotFound`], [`UserError::Rank`]; errors of the database.
pub async fn one(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    (user, sid): (UserId, SessionId),
) -> Result<(), UserError> {
    let user = users::lock(tx, user).await?;
    users::still_stands(control, tx, actor).await?;
    if !actor.is(user.id) {
        users::outrank(actor, &user)?;
    }
    let (tenant, now) = (tx.tenant(), control.clock.now());
    tx.changes().session_ended(tenant, user.id, sid);
    let target = Some(user.id.to_string());
    audit::record(tx, actor, now, Action::SessionEnded, target, json!({ "sid": sid }));
    count(actor, user.id, "one");
    Ok(())
}

/// Ends every session of the calling user except the session of the request, if it has one, and the access tokens of
/// all of them: the session that is kept gets new ones by its refresh token.
///
/// # Errors
/// [`UserError::NotFound`]; errors of the database.
pub async fn others(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    (user, keeps): (UserId, Option<SessionId>),
) -> Result<(), UserError> {
    let user = users::lock(tx, user).await?;
    let now = control.clock.now();
    let causes = Causes { sessions: true, ..Causes::default() };
    raise_epochs(tx, user.id, epochs_of(&user).after(causes), keeps, now).await?;
    let target = Some(user.id.to_string());
    audit::record(tx, actor, now, Action::SessionsEnded, target, json!({ "kept_session": keeps }));
    count(actor, user.id, "others");
    Ok(())
}

fn count(actor: &Actor, user: UserId, what: &'static str) {
    let by = if actor.is(user) { "owner" } else { "administrator" };
    metrics::counter!("wardgate_sessions_ended_total", "what" => what, "by" => by).increment(1);
}
