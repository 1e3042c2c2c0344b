//! Bodies: read whole before a handler begins its transaction ([`whole()`], said where a path is listed),
//! then parsed strictly ([`Json`]).

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use serde_json::{Map, Value};
use shared::contract::refusal::Refusal;
use shared::http::form::FormType;
use shared::json;

use super::answer::Refused;
use super::fields::Fields;

/// A client that takes longer for its body holds no connection of the database meanwhile, but must not
/// hold memory for ever either.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A body that was read whole, on its way to the handler.
#[derive(Clone)]
struct Whole(Bytes);

/// Lets a path read its bodies whole, up to `limit` bytes, before a handler or an extractor begins a
/// transaction: 413 beyond. What is cut short or too slow is a 400.
pub fn whole<S: Clone + Send + Sync + 'static>(limit: usize, methods: MethodRouter<S>) -> MethodRouter<S> {
    methods.layer(from_fn(move |request, next| buffer(limit, request, next)))
}

async fn buffer(limit: usize, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match tokio::time::timeout(TIMEOUT, read(limit, body)).await {
        Ok(Ok(bytes)) => {
            parts.extensions.insert(Whole(bytes));
            next.run(Request::from_parts(parts, Body::empty())).await
        }
        Ok(Err(refusal)) => Refused(refusal).into_response(),
        Err(_) => Refused(Refusal::json_parse("the body ended early")).into_response(),
    }
}

/// Of a body that is too large, as much again is read before it is refused: a client that is still sending
/// does not listen yet, and a connection that is cut meanwhile loses it the answer.
async fn read(limit: usize, body: Body) -> Result<Bytes, Refusal> {
    match to_bytes(body, 2 * limit).await {
        Ok(bytes) if bytes.len() <= limit => Ok(bytes),
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
        Ok(Self::of(read_object(&request)?)?)
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

/// The object that the body of a request is. A path that takes one is listed with [`whole`]: read here, the
/// body would be waited for inside the handler's transaction.
pub(super) fn read_object(request: &Request) -> Result<Map<String, Value>, Refusal> {
    let Some(Whole(bytes)) = request.extensions().get() else {
        tracing::error!(path = request.uri().path(), "the route table does not say how bodies are read here");
        return Err(Refusal::internal());
    };
    object(request.headers(), bytes)
}

/// Whether the body of a request names one of these fields. One that cannot be read names none: its handler refuses it.
#[must_use]
pub fn names_any(parts: &Parts, fields: &[&str]) -> bool {
    let Some(Whole(bytes)) = parts.extensions.get() else { return true };
    let named = |object: Map<String, Value>| fields.iter().any(|field| object.contains_key(*field));
    object(&parts.headers, bytes).is_ok_and(named)
}

/// The object that a body is.
fn object(headers: &HeaderMap, bytes: &Bytes) -> Result<Map<String, Value>, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !matches!(text(CONTENT_ENCODING), "" | "identity") {
        return Err(Refusal::unsupported_media_type(text(CONTENT_ENCODING)));
    }
    let content_type = text(CONTENT_TYPE);
    if let Some(form) = FormType::of(content_type) {
        return if bytes.is_empty() { Ok(Map::new()) } else { form.read(content_type, bytes) };
    }
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "" if bytes.is_empty() => Ok(Map::new()),
        "application/json" if bytes.is_empty() => Ok(Map::new()),
        "application/json" => match json::parse(bytes) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(other) => Err(Refusal::not_an_object(&other)),
            Err(error) => Err(Refusal::json_parse(&error.to_string())),
        },
        other => Err(Refusal::unsupported_media_type(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{FutureExt as _, StreamExt as _};
    use proptest::prelude::*;
    use tower::ServiceExt as _;

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
        let parts = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--";
        assert_eq!(read("multipart/form-data; boundary=x", parts).unwrap()["a"], "1");
        for media_type in ["", "application/json", "multipart/form-data; boundary=x"] {
            assert_eq!(read(media_type, ""), Ok(Map::new()), "{media_type}");
        }
        let file = parts.replace("name=\"a\"", "name=\"a\"; filename=\"b\"");
        let cut = parts.trim_end_matches('-');
        for (media_type, body, status) in [
            ("", "{}", 415),
            ("text/plain", "{}", 415),
            ("multipart/mixed; boundary=x", parts, 415),
            ("multipart/form-data", parts, 400),
            ("multipart/form-data; boundary=y", parts, 400),
            ("multipart/form-data; boundary=x", file.as_str(), 400),
            ("multipart/form-data; boundary=x", cut, 400),
            ("application/json", "[]", 400),
            ("application/json", "{", 400),
            ("application/json", r#"{"a":1,"a":2}"#, 400),
            ("application/x-www-form-urlencoded", "a=1&a=2", 400),
        ] {
            assert_eq!(read(media_type, body).unwrap_err(), status, "{media_type} {body}");
        }
    }

    #[test]
    fn a_field_is_named_in_json_and_in_a_form() {
        let names = |media_type: &str, body: &str| {
            let request = Request::patch("/").header(CONTENT_TYPE, media_type).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            parts.extensions.insert(Whole(Bytes::from(body.to_owned())));
            names_any(&parts, &["roles", "password"])
        };
        let form = "application/x-www-form-urlencoded";
        for (media_type, body, named) in [
            ("application/json", r#"{"roles": null}"#, true),
            ("application/json", r#"{"a": {"roles": 1}}"#, false),
            ("application/json", r#"{"roles": 1"#, false),
            ("text/plain", r#"{"roles": 1}"#, false),
            (form, "a=1&password=x", true),
            (form, "a=password", false),
        ] {
            assert_eq!(names(media_type, body), named, "{media_type} {body}");
        }
        let (bare, ()) = Request::patch("/").body(()).unwrap().into_parts();
        assert!(names_any(&bare, &["roles"]), "a body that is not read here may name anything");
    }

    /// Answers one request at once, with the body that an endless client sends.
    async fn answered(route: MethodRouter) -> Option<u16> {
        let begun = futures::stream::once(async { Ok::<_, Infallible>("{") });
        let body = Body::from_stream(begun.chain(futures::stream::pending()));
        let answer = axum::Router::new().route("/", route).oneshot(Request::new(body));
        Some(answer.now_or_never()?.unwrap().status().as_u16())
    }

    #[tokio::test]
    async fn a_handler_begins_when_the_body_is_whole_unless_the_path_is_listed_bare() {
        async fn begins(_: Request) {}
        let methods = || axum::routing::get(begins);
        assert_eq!(answered(whole(10, methods())).await, None);
        assert_eq!(answered(methods()).await, Some(200));
    }

    #[tokio::test]
    async fn each_path_has_its_own_limit() {
        async fn length(Json(object): Json<Length>) -> String {
            object.0.to_string()
        }
        let api = axum::Router::new()
            .route("/small", whole(10, axum::routing::post(length)))
            .route("/large", whole(100, axum::routing::post(length)))
            .route("/unsaid", axum::routing::post(length));
        for (path, size, status) in [
            ("/small", 10, 200),
            ("/small", 11, 413),
            ("/small", 50, 413),
            ("/large", 50, 200),
            ("/unsaid", 10, 500),
        ] {
            let body = format!("{{{}}}", " ".repeat(size - 2));
            let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(Body::from(body));
            let answer = api.clone().oneshot(request.unwrap()).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path} {size}");
        }
    }

    struct Length(usize);

    impl FromFields for Length {
        fn read(_: &mut Fields) -> Option<Self> {
            Some(Self(0))
        }
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
