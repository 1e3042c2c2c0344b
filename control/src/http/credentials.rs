//! The credential that a request presents, as it was sent: nothing here says whether it holds.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use shared::contract::refusal::Refusal;

/// The token of `Authorization: Bearer`, if there is one. Another scheme is no credential of ours.
///
/// # Errors
/// Bearer without exactly one token after it.
pub fn bearer(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Refusal::bad_authorization_header())?;
    let mut parts = text.split_whitespace();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(scheme), _, _) if !scheme.eq_ignore_ascii_case("bearer") => Ok(None),
        (None, _, _) => Ok(None),
        (_, Some(token), None) => Ok(Some(token.to_owned())),
        _ => Err(Refusal::bad_authorization_header()),
    }
}
