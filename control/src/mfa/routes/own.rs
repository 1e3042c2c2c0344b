//! `GET /api/user/mfa/`, `PATCH` and `DELETE /api/user/mfa/totp/<id>/`, `DELETE /api/user/mfa/totp/`.

use axum::extract::{Path, State as Extracted};
use axum::response::Response;
use shared::contract::openapi as described;
use shared::ids::AuthenticatorId;
use utoipa::ToSchema;

use super::{AuthenticatorOut, StateOut, authenticator_example, changing, checked_name, example};
use crate::access::{Authenticated, Credential, Me, MfaEnrollment, WithTicket};
use crate::control::Control;
use crate::edges::in_force;
use crate::http::answer::{Refused, no_content, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::mfa::{self, MfaError, Which};

/// Reads the caller's second factor.
#[utoipa::path(
    get, path = "/api/user/mfa/", tag = "Second factor", operation_id = "mfa_read", summary = "Read the caller's own second factor",
    description = "For any signed-in user, and with the `ticket` of `mfa_enrollment_required`.",
    responses((status = 200, description = "The caller's second factor, and what the tenant requires", body = StateOut, example = json!(example())))
)]
pub async fn read(
    Extracted(control): Extracted<Control>,
    caller: WithTicket<MfaEnrollment>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, user, tenant, .. } = caller.by;
    let state = mfa::state(&mut tx, user.id).await?;
    let terms = (&tenant.settings, control.clock.now());
    Ok(ok(&StateOut::new(state, &user, terms, AuthenticatorOut::for_owner)))
}

/// A new name for an authenticator.
#[derive(ToSchema)]
#[schema(as = AuthenticatorChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct RenameIn {
    /// At most 100 characters.
    name: String,
}

/// The parsed request.
pub struct Rename {
    name: String,
}

impl FromFields for Rename {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required_text("name");
        Some(Self { name: checked_name(fields, name)? })
    }
}

/// Renames an authenticator: 200; 403 without a recent sign-in or step-up; 404.
#[utoipa::path(
    patch, path = "/api/user/mfa/totp/{id}/", tag = "Second factor", operation_id = "mfa_rename", summary = "Rename an authenticator",
    description = "For any user who used a second factor in the last ten minutes: else 403 `step_up_required`.",
    params(("id" = Uuid, Path)),
    request_body(content = RenameIn, example = json!({"name": "Old phone"})),
    responses((status = 200, description = "Renamed", body = AuthenticatorOut, example = json!(authenticator_example())))
)]
pub async fn rename(
    Extracted(control): Extracted<Control>,
    me: Me,
    Path(id): Path<String>,
    Json(Rename { name }): Json<Rename>,
) -> Result<Response, Refused> {
    let mut by = me.by;
    let credential = Credential::Token(by.session);
    let (user, _) = changing(&control, &mut by, credential).await?;
    let id = parse(&id)?;
    mfa::rename(&control, &mut by.tx, &by.actor, user.id, (id, &name)).await?;
    let state = mfa::state(&mut by.tx, user.id).await?;
    by.tx.commit().await?;
    let renamed = state.authenticators.into_iter().find(|it| it.id == id).ok_or(MfaError::NotFound)?;
    Ok(ok(&AuthenticatorOut::for_owner(renamed)))
}

/// Removes an authenticator: 204; 403 without a recent sign-in or step-up; 404; 409 for the last one if the tenant requires one.
#[utoipa::path(
    delete, path = "/api/user/mfa/totp/{id}/", tag = "Second factor", operation_id = "mfa_remove", summary = "Remove an authenticator",
    description = "For any user who used a second factor in the last ten minutes: else 403 `step_up_required`. All \
        sessions except the current one end; its refresh token gets a new access token. The recovery codes are removed \
        with the last authenticator.",
    params(("id" = Uuid, Path)),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "It is the last one, and the tenant requires a second factor", body = described::Refused),
    )
)]
pub async fn remove(
    Extracted(control): Extracted<Control>,
    me: Me,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    removed(&control, me, Some(&id)).await
}

/// Removes all authenticators: 204; 403 without a recent sign-in or step-up; 409 if the tenant requires one.
#[utoipa::path(
    delete, path = "/api/user/mfa/totp/", tag = "Second factor", operation_id = "mfa_remove_all", summary = "Remove all authenticators",
    description = "As removing each of them. An enrolment that waits for its first code ends, too.",
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "The tenant requires a second factor", body = described::Refused),
    )
)]
pub async fn remove_all(Extracted(control): Extracted<Control>, me: Me) -> Result<Response, Refused> {
    removed(&control, me, None).await
}

async fn removed(control: &Control, me: Me, id: Option<&str>) -> Result<Response, Refused> {
    let mut by = me.by;
    let credential = Credential::Token(by.session);
    let (user, _) = changing(control, &mut by, credential).await?;
    let which = match id {
        Some(id) => Which::One(parse(id)?),
        None => Which::All,
    };
    let whose = (&user, &by.tenant.settings);
    // It showed a second factor: `changing` has asked for that.
    mfa::remove(control, &mut by.tx, &by.actor, whose, (which, by.session)).await?;
    Ok(in_force::commit(control, by.tx).await?.on(no_content()))
}

fn parse(id: &str) -> Result<AuthenticatorId, MfaError> {
    AuthenticatorId::parse(id).map_err(|_| MfaError::NotFound)
}
