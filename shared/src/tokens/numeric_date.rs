//! NumericDate (RFC 7519, section 2): seconds since 1970, perhaps with a fraction. Wardgate writes and compares whole
//! seconds, rounded so that a token is never valid outside of its exact dates.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A date that is rounded down: an expiry, a time of issue.
pub fn down<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(Date(f64::floor))
}

/// The same for an optional date.
pub fn down_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    struct Down(#[serde(deserialize_with = "down")] i64);
    Ok(Option::deserialize(deserializer)?.map(|Down(date)| date))
}

/// An optional date that is rounded up: before it the token is not valid.
pub fn up_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    struct Up(#[serde(deserialize_with = "up")] i64);
    Ok(Option::deserialize(deserializer)?.map(|Up(date)| date))
}

fn up<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(Date(f64::ceil))
}

/// A date with its rounding.
struct Date(fn(f64) -> f64);

impl Visitor<'_> for Date {
    type Value = i64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("seconds since 1970")
    }
    fn visit_i64<E>(self, secs: i64) -> Result<i64, E> {
        Ok(secs)
    }
    fn visit_u64<E: Error>(self, secs: u64) -> Result<i64, E> {
        i64::try_from(secs).map_err(|_| E::invalid_value(Unexpected::Unsigned(secs), &self))
    }
    fn visit_f64<E: Error>(self, secs: f64) -> Result<i64, E> {
        // 2^53: beyond it a number has no fraction, and no calendar has the date.
        if secs.abs() <= 9_007_199_254_740_992.0 {
            Ok((self.0)(secs) as i64)
        } else {
            Err(E::invalid_value(Unexpected::Float(secs), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(date: &Value) -> (Option<i64>, Option<i64>) {
        (down(date).ok(), up_if_any(date).ok().flatten())
    }

    #[test]
    fn fractions_never_lengthen_what_a_token_is_good_for() {
        for (date, rounded) in [
            (json!(1500), (Some(1500), Some(1500))),
            (json!(1500.0), (Some(1500), Some(1500))),
            (json!(1500.25), (Some(1500), Some(1501))),
            (json!(1.5e3), (Some(1500), Some(1500))),
            (json!(-0.5), (Some(-1), Some(0))),
            (json!(1e300), (None, None)),
            (json!(u64::MAX), (None, None)),
            (json!("1500"), (None, None)),
            (json!(true), (None, None)),
            (json!([1500]), (None, None)),
            (json!(null), (None, None)),
        ] {
            assert_eq!(read(&date), rounded, "{date}");
        }
        assert_eq!(
            (down_if_any(&json!(null)).ok(), down_if_any(&json!(7.9)).ok()),
            (Some(None), Some(Some(7)))
        );
    }
}
