//! Requests and answers as the core sees them: small structs, no framework.
//!
//! A request that needs two headers reads two headers; no map of them is built.

use std::borrow::Cow;
use std::future::Future;

use serde::Serialize;
use shared::contract::refusal::Refusal;

/// The body is larger than allowed, or did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than the limit.
    TooLarge,
    /// The client went away, or its encoding broke.
    Broken,
}

/// A client's request, as the runtime has it.
pub trait Incoming {
    /// The method.
    fn method(&self) -> String;
    /// The absolute URL.
    fn url(&self) -> String;
    /// The value of a header; several are joined with `, `.
    fn header(&self, name: &str) -> Option<String>;
    /// The client's address as the runtime reports it, never from a header that the client sets.
    fn client(&self) -> String;
    /// Country and city of that address, if the runtime knows them.
    fn place(&self) -> [Option<String>; 2];
    /// Reads the body, at most `limit` bytes of it.
    fn body(&self, limit: usize) -> impl Future<Output = Result<Vec<u8>, BodyError>>;
}

/// A request to control, or to another service. Its body is passed separately: the client's, or a message of the
/// edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The method.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// All headers there are.
    pub headers: Vec<(&'static str, String)>,
}

impl Outgoing {
    /// Whether it has a body. Fetch refuses one with GET and HEAD, where it has no meaning (RFC 9110, section 9.3.1).
    #[must_use]
    pub fn carries_body(&self) -> bool {
        carries_body(&self.method)
    }
}

/// See [`Outgoing::carries_body`].
#[must_use]
pub fn carries_body(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD")
}

/// The body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Body<S> {
    /// No body.
    Empty,
    /// A text.
    Text(String),
    /// A stream of the runtime.
    Stream(S),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<S> {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Body<S>,
}

/// A body that is never a stream: every answer except a forwarded one.
#[derive(Debug, PartialEq, Eq)]
pub enum Never {}

/// An answer of the edge itself.
pub type Answer = Response<Never>;

impl Answer {
    /// A JSON body.
    #[must_use]
    pub fn json<T: Serialize>(status: u16, body: &T) -> Self {
        match serde_json::to_string(body) {
            Ok(text) => Self::text(status, "application/json", text),
            Err(_) => Self::refusal(&Refusal::internal()),
        }
    }

    /// A body of `content_type`.
    #[must_use]
    pub fn text(status: u16, content_type: &'static str, text: String) -> Self {
        let headers = vec![(Cow::Borrowed("Content-Type"), content_type.to_owned())];
        Self { status, headers, body: Body::Text(text) }
    }

    /// 204.
    #[must_use]
    pub fn no_content() -> Self {
        Self { status: 204, headers: vec![], body: Body::Empty }
    }

    /// The answer for a refusal.
    #[must_use]
    pub fn refusal(refusal: &Refusal) -> Self {
        let mut answer = Self::text(refusal.status, "application/json", refusal.body.to_string());
        if let Some(secs) = refusal.retry_after_secs {
            answer.set("Retry-After", secs.to_string());
        }
        if refusal.status == 401 {
            answer.set("WWW-Authenticate", String::from("Bearer realm=\"api\""));
        }
        answer
    }

    /// The same answer in the type of streamed answers.
    #[must_use]
    pub fn into_stream<S>(self) -> Response<S> {
        let body = match self.body {
            Body::Empty => Body::Empty,
            Body::Text(text) => Body::Text(text),
            Body::Stream(never) => match never {},
        };
        Response { status: self.status, headers: self.headers, body }
    }
}

impl<S> Response<S> {
    /// Adds a header.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.headers.push((Cow::Borrowed(name), value));
    }

    /// Adds a header of the request to `Vary`.
    pub fn vary(&mut self, field: &str) {
        let says = |(name, value): &(Cow<'static, str>, String)| {
            let mut fields = value.split(',').map(str::trim);
            name.eq_ignore_ascii_case("vary")
                && fields.any(|known| known == "*" || known.eq_ignore_ascii_case(field))
        };
        if !self.headers.iter().any(says) {
            self.set("Vary", field.to_owned());
        }
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}
