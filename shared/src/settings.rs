//! What a tenant may choose, with defaults and bounds: one table for control's checks, the edge's
//! reading and the documentation.

use serde::{Deserialize, Serialize};

/// A tenant's choices. Durations are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Lifetime of an access token.
    pub access_ttl_secs: u64,
    /// A family ends when it was not rotated for this long.
    pub idle_secs: u64,
    /// A family ends this long after its sign-in.
    pub absolute_secs: u64,
    /// How long the immediately previous refresh token gets the same successor; 0 as the old service.
    pub retry_window_secs: u64,
    /// How long validation goes on while the feed cannot be read.
    pub staleness_limit_secs: u64,
    /// Shortest password in characters.
    pub min_password_length: u64,
    /// Size of new signing keys: 2048, 3072 or 4096.
    pub key_bits: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_ttl_secs: 300,
            idle_secs: 86_400,
            absolute_secs: 30 * 86_400,
            retry_window_secs: 30,
            staleness_limit_secs: 900,
            min_password_length: 15,
            key_bits: 2048,
        }
    }
}

/// Name, least and greatest value of each setting.
pub const BOUNDS: [(&str, u64, u64); 7] = [
    ("access_ttl_secs", 60, crate::limits::ACCESS_TTL_MAX_SECS),
    ("idle_secs", 60, 365 * 86_400),
    ("absolute_secs", 60, 365 * 86_400),
    ("retry_window_secs", 0, 60),
    ("staleness_limit_secs", 60, 3600),
    ("min_password_length", 8, 128),
    ("key_bits", 2048, 4096),
];

impl Settings {
    fn value(&self, name: &str) -> u64 {
        match name {
            "access_ttl_secs" => self.access_ttl_secs,
            "idle_secs" => self.idle_secs,
            "absolute_secs" => self.absolute_secs,
            "retry_window_secs" => self.retry_window_secs,
            "staleness_limit_secs" => self.staleness_limit_secs,
            "min_password_length" => self.min_password_length,
            _ => self.key_bits,
        }
    }

    /// Every setting that is out of bounds, with the words for its field.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (name, least, greatest) in BOUNDS {
            let value = self.value(name);
            if value < least {
                faults.push((name, format!("Ensure this value is greater than or equal to {least}.")));
            } else if value > greatest {
                faults.push((name, format!("Ensure this value is less than or equal to {greatest}.")));
            }
        }
        if self.idle_secs > self.absolute_secs {
            faults.push(("idle_secs", String::from("Must not be longer than absolute_secs.")));
        }
        if ![2048, 3072, 4096].contains(&self.key_bits) {
            faults.push(("key_bits", String::from("Must be 2048, 3072 or 4096.")));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_bounds_and_every_bound_is_a_setting() {
        assert_eq!(Settings::default().faults(), []);
        let json = serde_json::to_value(Settings::default()).unwrap();
        let names: Vec<_> = BOUNDS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(json.as_object().unwrap().len(), names.len());
        for name in names {
            assert_eq!(json[name], Settings::default().value(name), "{name}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let bad = Settings {
            access_ttl_secs: 901,
            idle_secs: 100,
            absolute_secs: 60,
            key_bits: 2049,
            ..Settings::default()
        };
        let named: Vec<_> = bad.faults().into_iter().map(|(name, _)| name).collect();
        assert_eq!(named, ["access_ttl_secs", "idle_secs", "key_bits"]);
    }
}
