//! `ETag`, `If-None-Match` and `If-Match` of single objects (RFC 9110, sections 8.8.3 and 13.1): a copy
//! that is still good is not sent again, and a change of what has changed since it was read is refused.
//!
//! The tag is a digest of what is answered, so it says exactly whether that is still the same. A proxy
//! that compresses the answer makes it a weak one, as Cloudflare does; it comes back weak and still is
//! our digest. So `If-Match` is compared by the digest alone, where the RFC would let no such client edit.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::FromRequestParts;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headers::{ETag, Header as _, HeaderMapExt as _, IfNoneMatch};
use serde::Serialize;
use shared::contract::refusal::{Code, Refusal};

use super::answer::{Refused, created, ok};

/// Bytes of the digest that make the tag.
const BYTES: usize = 16;

fn tag(body: &impl Serialize) -> Result<ETag, Refused> {
    let internal = || Refused(Refusal::internal());
    let bytes = serde_json::to_vec(body).map_err(|_| internal())?;
    let digest = digest(&SHA256, &bytes);
    let text = URL_SAFE_NO_PAD.encode(digest.as_ref().get(..BYTES).unwrap_or_default());
    format!("\"{text}\"").parse().map_err(|_| internal())
}

fn tagged(mut response: Response, tag: ETag) -> Response {
    response.headers_mut().typed_insert(tag);
    response
}

/// The conditions of a request.
pub struct Conditions {
    known: Option<IfNoneMatch>,
    /// Of `If-Match`, whose form is the same; see the module for why it is compared the same way.
    read: Option<IfNoneMatch>,
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let of = |name| tags(&parts.headers, name);
        Ok(Self { known: of(IF_NONE_MATCH)?, read: of(IF_MATCH)? })
    }
}

/// The tags that a header lists, or `*`.
fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<IfNoneMatch>, Refusal> {
    if !headers.contains_key(&name) {
        return Ok(None);
    }
    let listed = IfNoneMatch::decode(&mut headers.get_all(&name).iter());
    listed.map(Some).map_err(|_| Refusal::field(name.as_str(), "Enter entity tags."))
}

/// Whether `tag` is among the listed ones, weak or not.
fn lists(listed: &IfNoneMatch, tag: &ETag) -> bool {
    !listed.precondition_passes(tag)
}

impl Conditions {
    /// 200 with the object, or 304 to who has it already.
    ///
    /// # Errors
    /// 500 for what cannot be written.
    pub fn answer(&self, body: &impl Serialize) -> Result<Response, Refused> {
        let tag = tag(body)?;
        let response = match &self.known {
            Some(known) if lists(known, &tag) => StatusCode::NOT_MODIFIED.into_response(),
            _ => ok(body),
        };
        Ok(tagged(response, tag))
    }

    /// Whether a change may be made of the object as it is now, whose row has to be locked.
    #[must_use]
    pub fn demand_unchanged(&self) -> bool {
        self.read.is_some()
    }

    /// Lets a change of the object pass only as it was read, where the client said how that was.
    ///
    /// # Errors
    /// 412 where it has changed since.
    pub fn check(&self, now: &impl Serialize) -> Result<(), Refused> {
        match &self.read {
            Some(read) if !lists(read, &tag(now)?) => {
                let detail = "The object has been changed since it was read.";
                Err(Refusal::new(412, detail, Code::PreconditionFailed).into())
            }
            _ => Ok(()),
        }
    }
}

/// 200 with an object that has just been changed, and its new tag.
///
/// # Errors
/// 500 for what cannot be written.
pub fn changed(body: &impl Serialize) -> Result<Response, Refused> {
    Ok(tagged(ok(body), tag(body)?))
}

/// 201 with an object and its tag.
///
/// # Errors
/// 500 for what cannot be written.
pub fn made(body: &impl Serialize) -> Result<Response, Refused> {
    Ok(tagged(created(body), tag(body)?))
}
