//! Times of a source. Django writes them without a zone where `USE_TZ` is off, and so do most other tools: then
//! the operator says whose clock they are of.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use jiff::civil::DateTime as LocalTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The zone of times that name none.
#[derive(Clone)]
pub struct Zone(TimeZone);

/// A time of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The converted time.
    pub at: DateTime<Utc>,
    /// How that was found out.
    pub reading: Reading,
}

/// How a time was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It names its offset from UTC.
    Stated,
    /// By the zone that was said.
    Local,
    /// By that zone, whose clock was set back and so showed it twice: the first time was taken.
    Twice,
    /// By that zone, whose clock was set forward and never showed it: it was read as if it had not been set yet.
    Never,
}

/// A value that cannot be read as a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no time like 2019-01-02T03:04:05.678Z or 2019-01-02 03:04:05.678")]
pub struct NoTime;

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// The zone of an IANA name, such as `Europe/Berlin`; the library's own database knows it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Every name.
    #[must_use]
    pub fn names() -> Vec<String> {
        jiff::tz::db().available().map(|name| name.to_string()).collect()
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Reads a time as Django and PostgreSQL write it; nothing is no time.
    ///
    /// # Errors
    /// [`NoTime`].
    pub fn read(&self, text: &str) -> Result<Option<Moment>, NoTime> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let (timestamp, reading) = match text.parse::<Timestamp>() {
            Ok(timestamp) => (timestamp, Reading::Stated),
            Err(_) => {
                let local: LocalTime = text.parse().map_err(|_| NoTime)?;
                let found = self.0.to_ambiguous_timestamp(local);
                let reading = match found.offset() {
                    AmbiguousOffset::Unambiguous { .. } => Reading::Local,
                    AmbiguousOffset::Fold { .. } => Reading::Twice,
                    AmbiguousOffset::Gap { .. } => Reading::Never,
                };
                (found.compatible().map_err(|_| NoTime)?, reading)
            }
        };
        let at = DateTime::from_timestamp_micros(timestamp.as_microsecond()).ok_or(NoTime)?;
        Ok(Some(Moment { at, reading }))
    }
}

impl Reading {
    /// Whether the source named no zone.
    #[must_use]
    pub fn is_local(&self) -> bool {
        *self != Self::Stated
    }

    /// A note for the operator.
    #[must_use]
    pub fn doubt(&self) -> Option<&'static str> {
        match self {
            Self::Stated | Self::Local => None,
            Self::Twice => Some("occurs twice there, when the clock was set back: read as the first"),
            Self::Never => {
                Some("does not occur there, when the clock was set forward: read as if it had not been")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(zone: &str, text: &str) -> (String, Reading) {
        let Moment { at, reading } = Zone::named(zone).unwrap().read(text).unwrap().unwrap();
        (at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true), reading)
    }

    #[test]
    fn a_time_without_a_zone_is_of_the_zone_that_was_said() {
        for (zone, text, at, reading) in [
            ("Europe/Berlin", "2019-01-02T03:04:05.678Z", "2019-01-02T03:04:05.678Z", Reading::Stated),
            ("Europe/Berlin", "2019-01-02T03:04:05+02:00", "2019-01-02T01:04:05Z", Reading::Stated),
            (
                "Europe/Berlin",
                "2019-01-02 03:04:05.678901+00",
                "2019-01-02T03:04:05.678901Z",
                Reading::Stated,
            ),
            ("Europe/Berlin", "2019-01-02 03:04:05+05:30", "2019-01-01T21:34:05Z", Reading::Stated),
            ("UTC", "2019-07-02T03:04:05.678", "2019-07-02T03:04:05.678Z", Reading::Local),
            ("Europe/Berlin", "2019-01-02T03:04:05.678", "2019-01-02T02:04:05.678Z", Reading::Local),
            ("Europe/Berlin", "2019-07-02 03:04:05", "2019-07-02T01:04:05Z", Reading::Local),
            ("europe/berlin", "2019-07-02", "2019-07-01T22:00:00Z", Reading::Local),
            ("Europe/Berlin", "2019-10-27T02:30:00", "2019-10-27T00:30:00Z", Reading::Twice),
            ("Europe/Berlin", "2019-03-31T02:30:00", "2019-03-31T01:30:00Z", Reading::Never),
            ("America/New_York", "2019-11-03T01:30:00", "2019-11-03T05:30:00Z", Reading::Twice),
        ] {
            assert_eq!(read(zone, text), (at.to_owned(), reading), "{zone} {text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        let zone = Zone::default();
        assert_eq!((zone.read(""), zone.read("  ")), (Ok(None), Ok(None)));
        for text in ["yesterday", "0000-00-00 00:00:00", "infinity", "1546398245", "2019-02-30T00:00:00"] {
            assert_eq!(zone.read(text), Err(NoTime), "{text}");
        }
    }

    #[test]
    fn zones_are_known_by_their_names() {
        assert!(Zone::named("Europe/Berlim").is_none());
        assert!(Zone::names().iter().any(|name| name == "Europe/Berlin"));
        assert_eq!(Zone::named("Europe/Berlin").unwrap().name(), "Europe/Berlin");
    }
}
