//! `DELETE /api/user/users/<id>/attempts/`.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::contract::permissions::Permitted as _;
use shared::contract::permissions::marker::UsersWrite;
use shared::ids::UserId;

use crate::access::{Authenticated, Within, outranked};
use crate::control::Control;
use crate::http::answer::{Refused, no_content};
use crate::users::{UserError, attempts};

/// Resets a user's counters of wrong passwords: 204; 403 for a user at or above the caller's rank.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/attempts/", tag = "Users", operation_id = "users_unlock", summary = "Reset the counters of wrong passwords of a user",
    description = "Needs `users.write` and a rank above the user's. Sign-ins to the account are accepted from every \
        network again within seconds; a job tells the edge. The counter of wrong one-time codes stays; resetting the \
        second factor resets it.",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Reset"))
)]
pub async fn lift(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = within.by;
    let user = UserId::parse(&id).map_err(|_| UserError::NotFound)?;
    match attempts::lift(&control, &mut tx, &actor, user).await {
        Ok(()) => {}
        Err(UserError::Rank) => {
            let (target, permission) = (user.to_string(), UsersWrite::PERMISSION);
            return Err(outranked(&control, tx, &actor, &target, permission).await);
        }
        Err(other) => return Err(other.into()),
    }
    tx.commit().await?;
    Ok(no_content())
}
