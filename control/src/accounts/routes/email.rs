//! `POST /api/user/email/verify/`, `POST /api/user/email/verify/resend/`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;

use super::{MessageOut, TokenIn, UnverifiedToken};
use crate::access::Anyone;
use crate::accounts::resend::{self, Resend};
use crate::accounts::{answer, verify};
use crate::control::Control;
use crate::http::answer::{Refused, json, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::requests::RequestKind;
use crate::users::{Faults, UserError, check_address};

/// Verifies an address with a mailed link, once: 400 if the link is not valid, or another user has the name or the
/// address by now.
#[utoipa::path(
    post, path = "/api/user/email/verify/", tag = "Accounts", operation_id = "email_verify", summary = "Verify an email address",
    description = "With the token of a mailed link. A registration becomes an account; an account's address becomes \
        verified. If several registrations named the address, the account gets no password, and a link that sets one is \
        mailed. Another account with this address as an unverified one loses the address, its password and its sessions.",
    request_body(content = TokenIn, example = json!({"token": "pSAWPxW2F9hcs4NRsk0i3F1vuVqyqvJy8QPkUvgIJzI"})),
    responses(
        (status = 200, description = "Verified", body = MessageOut, example = json!({"detail": "The address is verified."})),
    )
)]
pub async fn prove(
    State(control): State<Control>,
    anyone: Anyone,
    Json(UnverifiedToken(token)): Json<UnverifiedToken>,
) -> Result<Response, Refused> {
    let (tenant, mut tx, call) = super::call(anyone);
    let proven = verify::verify(&control, &mut tx, &tenant, &call, &token).await?;
    tx.commit().await?;
    Ok(ok(&MessageOut::new(match proven.needs_password {
        false => "The address is verified.",
        true => "The address is verified. A link that sets a password is on its way to it.",
    })))
}

/// An email address.
#[derive(ToSchema)]
#[schema(as = Address)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct AddressIn {
    email: String,
}

impl FromFields for Resend {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { email: fields.required_text("email")? })
    }
}

/// The answer to every request.
const ASKED: MessageOut = MessageOut::new("If the address waits to be proven, a message is on its way.");

/// Requests the verification link again: 202 for known and unknown addresses alike, because none is looked up.
#[utoipa::path(
    post, path = "/api/user/email/verify/resend/", tag = "Accounts", operation_id = "email_verify_resend", summary = "Request the verification link again",
    description = "The previous link becomes invalid. The answer does not reveal whether the address is known.",
    request_body(content = AddressIn, example = json!({"email": "grace@acme.example"})),
    responses((status = 202, description = "Accepted", body = MessageOut, example = json!({
        "detail": "If the address waits to be proven, a message is on its way.",
    })))
)]
pub async fn again(
    State(control): State<Control>,
    anyone: Anyone,
    Json(wanted): Json<Resend>,
) -> Result<Response, Refused> {
    let (_, mut tx, _) = super::call(anyone);
    let mut faults = Faults::default();
    if check_address(&wanted.email, &mut faults).is_none() {
        return Err(UserError::Fields(faults).into());
    }
    let id = resend::put(&control, &mut tx, &wanted).await?;
    answer::soon(&mut tx, RequestKind::Resend, id).await?;
    tx.commit().await?;
    Ok(json(StatusCode::ACCEPTED, &ASKED))
}
