//! `/api/user/users/<id>/mfa/`.

use axum::extract::{Path, State as Extracted};
use axum::response::Response;
use shared::contract::permissions::Permitted as _;
use shared::contract::permissions::marker::{UsersRead, UsersWrite};
use shared::ids::UserId;

use super::{AuthenticatorOut, StateOut};
use crate::access::{Authenticated, Within, outranked};
use crate::control::Control;
use crate::edges::in_force;
use crate::http::answer::{Refused, no_content, ok};
use crate::mfa;
use crate::users::{self, UserError};

/// Reads the second factor of a user.
#[utoipa::path(
    get, path = "/api/user/users/{id}/mfa/", tag = "Second factor", operation_id = "users_mfa_read", summary = "Read the second factor of a user",
    description = "Needs `users.read`. Names of authenticators, and when they were used, are not shown.",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The user's second factor, and what the tenant requires", body = StateOut, example = json!({
        "enabled": true, "required": true, "required_from": null,
        "authenticators": [{"id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "created_at": "2026-01-02T03:04:05.678901Z"}],
        "recovery_codes_left": 9, "methods": ["totp", "recovery_code"],
    })))
)]
pub async fn read(
    Extracted(control): Extracted<Control>,
    within: Within<UsersRead>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, tenant, .. } = within.by;
    let user = users::find(&mut tx, parse(&id)?).await?;
    let state = mfa::state(&mut tx, user.id).await?;
    let terms = (&tenant.settings, control.clock.now());
    let shown = |it| AuthenticatorOut::for_administrators(&it);
    Ok(ok(&StateOut::new(state, &user, terms, shown)))
}

/// Removes a user's second factor: 204; 403 for a user at or above the caller's rank.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/mfa/", tag = "Second factor", operation_id = "users_mfa_reset", summary = "Reset the second factor of a user",
    description = "Needs `users.write`, a rank above the user's and every permission of the user. Authenticators and \
        recovery codes are removed, sessions end, and the user is notified by mail. If the tenant requires a second factor of the user, the next \
        sign-in gets a ticket for enrolling one.",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Reset"))
)]
pub async fn reset(
    Extracted(control): Extracted<Control>,
    within: Within<UsersWrite>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = within.by;
    let user = parse(&id)?;
    match mfa::reset(&control, &mut tx, &actor, user).await {
        Ok(()) => {}
        Err(UserError::Rank) => {
            let (target, permission) = (user.to_string(), UsersWrite::PERMISSION);
            return Err(outranked(&control, tx, &actor, &target, permission).await);
        }
        Err(other) => return Err(other.into()),
    }
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}

fn parse(id: &str) -> Result<UserId, UserError> {
    UserId::parse(id).map_err(|_| UserError::NotFound)
}
