//! Times in answers: ISO 8601 in UTC with microseconds and `Z`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

/// The text of a moment.
#[must_use]
pub fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// For `#[serde(serialize_with)]`.
///
/// # Errors
/// The serializer's.
pub fn micros<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}

/// The same for an optional time.
///
/// # Errors
/// The serializer's.
pub fn micros_option<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => micros(at, serializer),
        None => serializer.serialize_none(),
    }
}
