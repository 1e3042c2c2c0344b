//! `POST /api/user/network/confirm/`.

use axum::extract::State;
use axum::response::Response;

use super::{MessageOut, TokenIn, UnverifiedToken};
use crate::access::Anyone;
use crate::accounts::network;
use crate::control::Control;
use crate::http::answer::{Refused, ok};
use crate::http::body::Json;

/// Confirms a network with a mailed link, once: 400 if the link is not valid.
#[utoipa::path(
    post, path = "/api/user/network/confirm/", tag = "Accounts", operation_id = "network_confirm", summary = "Confirm a network",
    description = "With the token of a mailed link, sent from the network to be confirmed. After too many wrong \
        passwords, sign-ins to an account are refused from networks that its owner has not used recently. A confirmed \
        network is accepted for an hour, with the correct password; the edge knows it within seconds.",
    request_body(content = TokenIn, example = json!({"token": "pSAWPxW2F9hcs4NRsk0i3F1vuVqyqvJy8QPkUvgIJzI"})),
    responses((status = 200, description = "Confirmed", body = MessageOut, example = json!({
        "detail": "Sign-ins from this network are accepted for an hour.",
    })))
)]
pub async fn confirm(
    State(control): State<Control>,
    anyone: Anyone,
    Json(UnverifiedToken(token)): Json<UnverifiedToken>,
) -> Result<Response, Refused> {
    let (_, mut tx, call) = super::call(anyone);
    network::confirm(&control, &mut tx, &call, &token).await?;
    tx.commit().await?;
    Ok(ok(&MessageOut::new("Sign-ins from this network are accepted for an hour.")))
}
