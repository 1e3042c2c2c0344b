//! The query of a path that is no list: read as a body is, and strictly. Lists have [`super::list`].

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::{Map, Value};
use shared::contract::refusal::Refusal;

use super::answer::Refused;
use super::body::FromFields;
use super::fields::Fields;

/// A parsed query. An unknown parameter is a 400; an empty one counts as absent.
pub struct Query<T>(pub T);

impl<T: FromFields, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        Ok(Self(read(parts.uri.query().unwrap_or_default())?))
    }
}

fn read<T: FromFields>(query: &str) -> Result<T, Refusal> {
    let given: Map<_, _> = form_urlencoded::parse(query.as_bytes())
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(name, text)| (name.into_owned(), Value::from(text)))
        .collect();
    let names: Vec<_> = given.keys().cloned().collect();
    let mut fields = Fields::new(given);
    let value = T::read(&mut fields);
    for name in names {
        if !fields.knows(&name) {
            fields.fault(&name, "Unknown parameter.");
        }
    }
    match value {
        Some(value) if fields.faults().is_empty() => Ok(value),
        _ => Err(Refusal::fields(fields.into_faults())),
    }
}
