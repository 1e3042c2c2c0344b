//! `POST /api/user/email/change/`, `.../confirm/`, `.../undo/`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{MessageOut, TokenIn, UnverifiedToken};
use crate::access::{Anyone, Authenticated, Me};
use crate::accounts::{address, answer, current};
use crate::audit::Action;
use crate::control::Control;
use crate::http::answer::{Refused, json, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::requests::RequestKind;
use crate::users::{Faults, UserError, check_address};

/// A new email address for the caller.
#[derive(ToSchema)]
#[schema(as = AddressChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ChangeIn {
    email: String,
    #[schema(format = "password")]
    current_password: String,
}

/// The parsed [`ChangeIn`]. No `Debug`: it holds a password.
pub struct Change {
    email: String,
    current_password: Zeroizing<String>,
}

impl FromFields for Change {
    fn read(fields: &mut Fields) -> Option<Self> {
        let email = fields.required_text("email");
        let password = match fields.has("current_password") {
            true => fields.untrimmed("current_password"),
            false => fields.required_text("current_password"),
        };
        Some(Self { email: email?, current_password: Zeroizing::new(password?) })
    }
}

/// The answer to every request.
const ASKED: MessageOut = MessageOut::new("A message is on its way to the new address.");

/// Requests a change of address: 400 for a malformed address or a wrong password; else 202, whether it is taken or not.
#[utoipa::path(
    post, path = "/api/user/email/change/", tag = "Accounts", operation_id = "email_change", summary = "Request a change of the caller's email address",
    description = "The account keeps its address until the link that is mailed to the new one is used. The former \
        address, if it is verified, gets a link that takes the change back, for 7 days.",
    request_body(content = ChangeIn, example = json!({
        "email": "grace@navy.example", "current_password": "correct horse battery staple",
    })),
    responses((status = 202, description = "Accepted", body = MessageOut, example = json!({
        "detail": "A message is on its way to the new address.",
    })))
)]
pub async fn change(
    State(control): State<Control>,
    me: Me,
    Json(Change { email, current_password }): Json<Change>,
) -> Result<Response, Refused> {
    let Authenticated { tx, user, actor, .. } = me.by;
    let mut faults = Faults::default();
    if check_address(&email, &mut faults).is_none() {
        return Err(UserError::Fields(faults).into());
    }
    let asks = (&actor, Action::EmailChangeAsked);
    let mut tx = current::check(&control, tx, asks, &user, current_password).await?;
    crate::users::still_stands(&control, &mut tx, &actor).await?;
    let id = address::put(&control, &mut tx, &actor, user.id, &email).await?;
    answer::soon(&mut tx, RequestKind::Address, id).await?;
    tx.commit().await?;
    Ok(json(StatusCode::ACCEPTED, &ASKED))
}

/// Confirms a new address with a mailed link, once: 400 if the link is not valid, or another user has the address by
/// now.
#[utoipa::path(
    post, path = "/api/user/email/change/confirm/", tag = "Accounts", operation_id = "email_change_confirm", summary = "Confirm a new email address",
    description = "With the token of the link that was mailed to it.",
    request_body(content = TokenIn, example = json!({"token": "pSAWPxW2F9hcs4NRsk0i3F1vuVqyqvJy8QPkUvgIJzI"})),
    responses((status = 200, description = "The address is the account's", body = MessageOut, example = json!({
        "detail": "The address has been changed.",
    })))
)]
pub async fn confirm(
    State(control): State<Control>,
    anyone: Anyone,
    Json(UnverifiedToken(token)): Json<UnverifiedToken>,
) -> Result<Response, Refused> {
    let (_, mut tx, call) = super::call(anyone);
    address::confirm(&control, &mut tx, &call, &token).await?;
    tx.commit().await?;
    Ok(ok(&MessageOut::new("The address has been changed.")))
}

/// Takes a change of address back with a mailed link, once: 400 if the link is not valid.
#[utoipa::path(
    post, path = "/api/user/email/change/undo/", tag = "Accounts", operation_id = "email_change_undo", summary = "Take a change of email address back",
    description = "With the token of the link that was mailed to the former address; also before the new address was \
        confirmed. The password is deleted, every session ends, and a link that sets a new password is mailed to the \
        former address.",
    request_body(content = TokenIn, example = json!({"token": "pSAWPxW2F9hcs4NRsk0i3F1vuVqyqvJy8QPkUvgIJzI"})),
    responses((status = 200, description = "The former address is the account's", body = MessageOut, example = json!({
        "detail": "The account has this address. A link that sets a new password is on its way to it.",
    })))
)]
pub async fn undo(
    State(control): State<Control>,
    anyone: Anyone,
    Json(UnverifiedToken(token)): Json<UnverifiedToken>,
) -> Result<Response, Refused> {
    let (_, mut tx, call) = super::call(anyone);
    address::undo(&control, &mut tx, &call, &token).await?;
    tx.commit().await?;
    Ok(ok(&MessageOut::new(
        "The account has this address. A link that sets a new password is on its way to it.",
    )))
}
