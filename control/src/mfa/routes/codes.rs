//! `POST /api/user/mfa/recovery-codes/`.

use axum::extract::State as Extracted;
use axum::response::Response;
use serde::Serialize;
use shared::contract::openapi as described;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::enrol::texts;
use super::{changing, codes_example};
use crate::access::{Credential, Me};
use crate::control::Control;
use crate::http::answer::{Refused, ok};
use crate::mfa;

/// A new set of recovery codes.
#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCodes)]
struct CodesOut {
    /// Ten codes, each usable once. They are shown only here.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<Zeroizing<String>>,
}

/// Creates new recovery codes: 200; 403 without a recent sign-in or step-up; 409 without an authenticator.
#[utoipa::path(
    post, path = "/api/user/mfa/recovery-codes/", tag = "Second factor", operation_id = "mfa_recovery_codes", summary = "Replace the recovery codes",
    description = "For any user who used a second factor in the last ten minutes: else 403 `step_up_required`. The \
        previous codes become invalid.",
    responses(
        (status = 200, description = "The codes", body = CodesOut, example = json!({"recovery_codes": codes_example()})),
        (status = 409, description = "The user has no authenticator", body = described::Refused),
    )
)]
pub async fn make(Extracted(control): Extracted<Control>, me: Me) -> Result<Response, Refused> {
    let mut by = me.by;
    let credential = Credential::Token(by.session);
    let (user, _) = changing(&control, &mut by, credential).await?;
    let codes = mfa::renew_recovery_codes(&control, &mut by.tx, &by.actor, &user).await?;
    by.tx.commit().await?;
    Ok(ok(&CodesOut { recovery_codes: texts(&codes) }))
}
