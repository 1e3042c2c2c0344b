//! Bodies: read whole before a handler begins its transaction, then parsed strictly.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use shared::json;
use shared::limits::{BODY_BYTES, BODY_VALUES};
use shared::refusal::Refusal;

use super::answer::Refused;
use super::fields::Fields;

/// A client that takes longer for a mebibyte holds no connection of the database meanwhile, but
/// must not hold memory for ever either.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is read of a body that is too large, before it is refused: whoever is still sending does not
/// listen yet, and a connection that is cut under their hands loses them the answer.
const LINGER_BYTES: usize = 2 * BODY_BYTES;

/// Reads the body within its limit: 413. What is cut short or too slow is a 400.
pub async fn buffer(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(PATIENCE, whole(body)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(refusal)) => Refused(refusal).into_response(),
        Err(_) => Refused(Refusal::json_parse("the body ended early")).into_response(),
    }
}

async fn whole(body: Body) -> Result<Bytes, Refusal> {
    match to_bytes(body, LINGER_BYTES).await {
        Ok(bytes) if bytes.len() <= BODY_BYTES => Ok(bytes),
        Err(error) if !is_too_large(&error) => Err(Refusal::json_parse("the body ended early")),
        Ok(_) | Err(_) => Err(Refusal::too_large()),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        // `to_bytes` wraps http-body's error, whose type axum does not export.
        if inner.to_string() == "length limit exceeded" {
            return true;
        }
        source = inner.source();
    }
    false
}

/// A type that is read from the fields of a body. Faults are added to the fields.
pub trait FromFields: Sized {
    /// Reads; `None` only where a fault was added.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// A body of a type of the domain: JSON, or a form.
pub struct Json<T>(pub T);

impl<T: FromFields, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        Ok(Self::of(read_object(request).await?)?)
    }
}

impl<T: FromFields> Json<T> {
    /// Reads the type from an object.
    pub(super) fn of(object: Map<String, Value>) -> Result<Self, Refusal> {
        let mut fields = Fields::new(object);
        match T::read(&mut fields) {
            Some(value) if fields.faults().is_empty() => Ok(Self(value)),
            _ => Err(Refusal::fields(fields.into_faults())),
        }
    }
}

/// The object that the body of a request is.
pub(super) async fn read_object(request: Request) -> Result<Map<String, Value>, Refusal> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES).await.map_err(|_| Refusal::too_large())?;
    object(&parts.headers, &bytes)
}

/// The object that a body is.
fn object(headers: &HeaderMap, bytes: &Bytes) -> Result<Map<String, Value>, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !matches!(text(CONTENT_ENCODING), "" | "identity") {
        return Err(Refusal::unsupported_media_type(text(CONTENT_ENCODING)));
    }
    let media_type = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "" if bytes.is_empty() => Ok(Map::new()),
        "application/json" if bytes.is_empty() => Ok(Map::new()),
        "application/json" => match json::parse(bytes) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(other) => Err(Refusal::not_an_object(&other)),
            Err(error) => Err(Refusal::json_parse(&error.to_string())),
        },
        "application/x-www-form-urlencoded" => form(bytes),
        other => Err(Refusal::unsupported_media_type(other)),
    }
}

/// A form as an object; a key that comes twice is refused as in JSON.
fn form(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let mut object = Map::new();
    for (key, value) in form_urlencoded::parse(bytes) {
        if object.insert(key.into_owned(), Value::String(value.into_owned())).is_some() {
            return Err(Refusal::plain(400, "Form parse error - duplicate key"));
        }
        if object.len() > BODY_VALUES {
            return Err(Refusal::plain(400, "Form parse error - too many fields"));
        }
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(media_type: &str, body: &str) -> Result<Map<String, Value>, u16> {
        let mut headers = HeaderMap::new();
        if !media_type.is_empty() {
            headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
        }
        object(&headers, &Bytes::from(body.to_owned())).map_err(|refusal| refusal.status)
    }

    #[test]
    fn media_types_and_shapes() {
        assert!(read("application/json; charset=utf-8", r#"{"a":1}"#).is_ok());
        assert_eq!(read("application/x-www-form-urlencoded", "a=1&b=x+y").unwrap()["b"], "x y");
        assert!(read("", "").is_ok());
        for (media_type, body, status) in [
            ("", "{}", 415),
            ("text/plain", "{}", 415),
            ("multipart/form-data; boundary=x", "x", 415),
            ("application/json", "[]", 400),
            ("application/json", "{", 400),
            ("application/json", r#"{"a":1,"a":2}"#, 400),
            ("application/x-www-form-urlencoded", "a=1&a=2", 400),
        ] {
            assert_eq!(read(media_type, body).unwrap_err(), status, "{media_type} {body}");
        }
        let many = (0..=BODY_VALUES).map(|at| format!("{at}=&")).collect::<String>();
        assert_eq!(read("application/x-www-form-urlencoded", &many).unwrap_err(), 400);
    }

    proptest! {
        #[test]
        fn any_body_is_safe(media in "application/json|application/x-www-form-urlencoded|.{0,20}", body: String) {
            if media.parse::<axum::http::HeaderValue>().is_ok() {
                let _ = read(&media, &body);
            }
        }
    }
}
