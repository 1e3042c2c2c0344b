//! An answer as the synchronous way passes it to the entry: one text, as [`crate::request_text`] is for a request.
//!
//! The first line is JSON: the second argument of `Response`'s constructor, with `refresh` in it where the feed is to be
//! read afterwards, and `keep` where the entry may keep the answer. The rest is the body.

use std::convert::Infallible;

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use crate::after::{After, Reply};
use crate::http::{Body, Response};

/// Room for the first line of most answers.
const HEAD: usize = 256;

#[derive(Serialize)]
struct Head<'a> {
    status: u16,
    headers: Fields<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    refresh: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    keep: bool,
}

/// Headers as the members of an object. Lines of one name are one list (RFC 9110, section 5.3); only `Set-Cookie` is
/// none, and no answer of the synchronous way has that.
struct Fields<'a>(&'a Response<Infallible>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers = &self.0.headers;
        let mut map = serializer.serialize_map(None)?;
        for (at, (name, value)) in headers.iter().enumerate() {
            let same = |other: &str| name.eq_ignore_ascii_case(other);
            if headers.iter().take(at).any(|(other, _)| same(other)) {
                continue;
            }
            let more = headers.iter().skip(at + 1).filter(|(other, _)| same(other));
            let more: Vec<&str> = more.map(|(_, value)| value.as_str()).collect();
            if more.is_empty() {
                map.serialize_entry(name, value)?;
            } else {
                map.serialize_entry(name, &format!("{value}, {}", more.join(", ")))?;
            }
        }
        map.end()
    }
}

/// The text of a reply.
#[must_use]
pub fn text(reply: &Reply<Infallible>) -> Option<String> {
    let response = &reply.response;
    let body = match &response.body {
        Body::Empty => "",
        Body::Text(text) => text,
        Body::Stream(never) => match *never {},
    };
    let After { read_feed: refresh, keep, .. } = reply.after;
    let head = Head { status: response.status, headers: Fields(response), refresh, keep };
    let mut text = Vec::with_capacity(HEAD + body.len());
    serde_json::to_writer(&mut text, &head).ok()?;
    text.push(b'\n');
    text.extend_from_slice(body.as_bytes());
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::Answer;

    fn parts(text: &str) -> (Value, &str) {
        let (head, body) = text.split_once('\n').unwrap();
        (serde_json::from_str(head).unwrap(), body)
    }

    #[test]
    fn the_first_line_is_what_a_response_is_made_of() {
        let mut answer = Answer::json(401, &json!({"detail": "no\nsuch \"token\""}));
        answer.set("WWW-Authenticate", String::from("Bearer realm=\"api\""));
        answer.set("Vary", String::from("Accept"));
        answer.set("vary", String::from("Origin"));
        let after = After { read_feed: true, ..After::NOTHING };
        let said = text(&Reply { response: answer.into_stream(), after }).unwrap();
        let (head, body) = parts(&said);
        let headers = json!({"Content-Type": "application/json", "WWW-Authenticate": "Bearer realm=\"api\"",
            "Vary": "Accept, Origin"});
        assert_eq!(head, json!({"status": 401, "headers": headers, "refresh": true}));
        assert_eq!(body, r#"{"detail":"no\nsuch \"token\""}"#);
    }

    #[test]
    fn nothing_is_an_empty_body() {
        let said = text(&Reply::from(Answer::no_content().into_stream())).unwrap();
        assert_eq!(parts(&said), (json!({"status": 204, "headers": {}}), ""));
    }
}
