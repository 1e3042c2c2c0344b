//! `ETag`, `If-None-Match` and `If-Match` of single objects: a copy that is still good is not sent again, and a
//! change of what has changed since it was read is refused. What the fields mean is in
//! [`shared::http::conditions`].
//!
//! The tag is two digests: of what an edit can set, and of all that is answered. So it says exactly whether
//! the answer is still the same, and an edit is refused only where another edit would be lost: a sign-in
//! changes a user's `last_login`, but a sign-in is no edit. So `If-Match` of a change is compared by the first
//! digest alone.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use shared::contract::refusal::Refusal;
use shared::http::conditions::{self, Validator, Verdict};

use super::answer::{Refused, created, ok};

/// Bytes of each digest that make the tag.
const BYTES: usize = 12;

/// An object that is read and edited.
pub trait Editable: Serialize {
    /// The fields that an edit can set, whether the answer shows them or not.
    fn edited(&self) -> impl Serialize;
}

fn digested(what: &impl Serialize) -> Result<String, Refused> {
    let bytes = serde_json::to_vec(what).map_err(|_| Refused(Refusal::internal()))?;
    let digest = digest(&SHA256, &bytes);
    Ok(URL_SAFE_NO_PAD.encode(digest.as_ref().get(..BYTES).unwrap_or_default()))
}

fn validator(body: &impl Editable) -> Result<Validator, Refused> {
    Ok(Validator::of_state(&digested(&body.edited())?, &digested(body)?))
}

fn tagged(mut response: Response, validator: &Validator) -> Result<Response, Refused> {
    let tag = HeaderValue::try_from(validator.to_string()).map_err(|_| Refused(Refusal::internal()))?;
    response.headers_mut().insert(ETAG, tag);
    Ok(response)
}

/// The conditions of a request.
pub struct Conditions(conditions::Conditions);

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let of = |name| field(&parts.headers, name);
        Ok(Self(conditions::Conditions::parse(of(IF_MATCH).as_deref(), of(IF_NONE_MATCH).as_deref())?))
    }
}

/// The lines of a field, joined (RFC 9110, section 5.3).
fn field(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

impl Conditions {
    /// 200 with the object, or 304 to a client that has it already.
    ///
    /// # Errors
    /// 412 where the client asks for another state of it, 500 for what cannot be written.
    pub fn answer(&self, body: &impl Editable) -> Result<Response, Refused> {
        let validator = validator(body)?;
        match self.0.on_read(&validator) {
            Verdict::Proceed => tagged(ok(body), &validator),
            Verdict::NotModified => tagged(StatusCode::NOT_MODIFIED.into_response(), &validator),
            Verdict::Failed => Err(Refusal::precondition_failed().into()),
        }
    }

    /// Whether a change may be made of the object as it is now, whose row has to be locked.
    #[must_use]
    pub fn demand_unchanged(&self) -> bool {
        self.0.are_there()
    }

    /// Lets a change of the object pass only as it was read, where the client said how that was.
    ///
    /// # Errors
    /// 412 where it has changed since.
    pub fn check(&self, now: &impl Editable) -> Result<(), Refused> {
        if !self.0.are_there() || self.0.on_change(&validator(now)?) {
            return Ok(());
        }
        Err(Refusal::precondition_failed().into())
    }
}

/// 200 with an object that has just been changed, and its new tag.
///
/// # Errors
/// 500 for what cannot be written.
pub fn changed(body: &impl Editable) -> Result<Response, Refused> {
    tagged(ok(body), &validator(body)?)
}

/// 201 with an object and its tag.
///
/// # Errors
/// 500 for what cannot be written.
pub fn made(body: &impl Editable) -> Result<Response, Refused> {
    tagged(created(body), &validator(body)?)
}
