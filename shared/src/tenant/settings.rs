//! What a tenant may choose, with defaults and bounds: one table for control's checks, the edge's
//! reading and the documentation.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Invalid;
use crate::contract::limits::{CORS_HEADERS, ORIGINS, VISIBILITY_RULES};
use crate::tenant::header_name::HeaderName;
use crate::tenant::origin::Origin;
use crate::tenant::visibility::{self, Rule};

/// Whether a tenant's own hosts know cookies, and what they are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Cookies {
    /// None is read or set.
    Off,
    /// `access_token` and `refresh_token`, as in the old service.
    Plain,
    /// `__Host-access_token` and `__Host-refresh_token`, which no other host can plant.
    #[default]
    Host,
}

impl Cookies {
    /// What an administrator wrote. Strict, unlike the reading of a document.
    fn parse(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "off" => Some(Self::Off),
            "plain" => Some(Self::Plain),
            "host" => Some(Self::Host),
            _ => None,
        }
    }
}

/// A tenant's choices. Durations are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// The web origins whose pages may read answers, and sign in and act by cookie.
    #[serde(deserialize_with = "readable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub origins: Vec<Origin>,
    /// Names of request headers that pages of these origins may send, beside those that browsers, HTTP
    /// libraries and tracing services send by themselves. Absent where there are none.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub cors_headers: Vec<HeaderName>,
    /// Cookies on the tenant's own hosts.
    #[serde(deserialize_with = "cookies_or_off")]
    pub cookies: Cookies,
    /// How much of which personal field of others a role is shown, where that is not the default:
    /// `<role>.<field>=<clear|masked|absent>`; `*` stands for every role that has no rule of its own for the field.
    /// The platform may bound it. Absent where there are none.
    #[serde(deserialize_with = "visibility::readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub visibility: Vec<Rule>,
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
            origins: vec![],
            cors_headers: vec![],
            cookies: Cookies::Host,
            visibility: vec![],
        }
    }
}

/// Name, least and greatest value of each setting that is a number.
pub const BOUNDS: [(&str, u64, u64); 7] = [
    ("access_ttl_secs", 60, crate::contract::limits::ACCESS_TTL_MAX_SECS),
    ("idle_secs", 60, 365 * 86_400),
    ("absolute_secs", 60, 365 * 86_400),
    ("retry_window_secs", 0, 60),
    ("staleness_limit_secs", 60, 3600),
    ("min_password_length", 8, 128),
    ("key_bits", 2048, 4096),
];

impl Settings {
    /// The name of every setting, in order.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let numbers = BOUNDS.iter().map(|(name, ..)| *name);
        let mut names: Vec<_> = numbers.chain(["cookies", "cors_headers", "origins", "visibility"]).collect();
        names.sort_unstable();
        names
    }

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

    /// Takes the value of one setting, as JSON has it; [`Self::faults`] judges them all together.
    ///
    /// # Errors
    /// The field and its message: an unknown name, a value of another type, an origin that is none.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), (&'static str, String)> {
        match name {
            "origins" => self.origins = list("origins", value, Origin::parse, ORIGIN_WORDS)?,
            "cors_headers" => {
                self.cors_headers = list("cors_headers", value, HeaderName::parse, CORS_HEADER_WORDS)?;
            }
            "visibility" => self.visibility = list("visibility", value, Rule::parse, VISIBILITY_WORDS)?,
            "cookies" => {
                self.cookies = Cookies::parse(value)
                    .ok_or_else(|| ("cookies", String::from("Must be \"off\", \"plain\" or \"host\".")))?;
            }
            _ => {
                let number =
                    self.number(name).ok_or_else(|| ("settings", format!("Unknown setting \"{name}\".")))?;
                *number = value
                    .as_u64()
                    .ok_or_else(|| ("settings", format!("A valid integer is required for \"{name}\".")))?;
            }
        }
        Ok(())
    }

    fn number(&mut self, name: &str) -> Option<&mut u64> {
        match name {
            "access_ttl_secs" => Some(&mut self.access_ttl_secs),
            "idle_secs" => Some(&mut self.idle_secs),
            "absolute_secs" => Some(&mut self.absolute_secs),
            "retry_window_secs" => Some(&mut self.retry_window_secs),
            "staleness_limit_secs" => Some(&mut self.staleness_limit_secs),
            "min_password_length" => Some(&mut self.min_password_length),
            "key_bits" => Some(&mut self.key_bits),
            _ => None,
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
        let mut bound = |name, (count, once): (usize, bool), most: usize, twice: &str| {
            if count > most {
                faults.push((name, format!("Ensure this field has no more than {most} elements.")));
            }
            if !once {
                faults.push((name, twice.to_owned()));
            }
        };
        bound("origins", measure(&self.origins), ORIGINS, "An origin is named twice.");
        bound("cors_headers", measure(&self.cors_headers), CORS_HEADERS, "A header is named twice.");
        let of: Vec<_> = self.visibility.iter().map(|rule| (&rule.role, rule.field)).collect();
        let twice = "A field of a role is named twice.";
        bound("visibility", measure(&of), VISIBILITY_RULES, twice);
        faults
    }
}

/// How many elements a list has, and whether each is there once.
fn measure<T: Ord>(list: &[T]) -> (usize, bool) {
    let once: BTreeSet<_> = list.iter().collect();
    (list.len(), once.len() == list.len())
}

/// The cookies of a document. With a word that a later release adds, none is read or set.
fn cookies_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cookies, D::Error> {
    Ok(Cookies::parse(&Value::deserialize(deserializer)?).unwrap_or(Cookies::Off))
}

/// A list of a document. An element of a form that a later release adds admits nothing here.
fn readable<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.into_iter().filter_map(|text| T::try_from(text).ok()).collect())
}

const ORIGIN_WORDS: &str = "enter an origin as a browser sends it: https://host or https://host:port in lower \
                            case, without path; http only for localhost.";
const CORS_HEADER_WORDS: &str = "enter the name of a request header that a page can set: at most 64 letters, \
                                 digits and hyphens, not *, not one that browsers set themselves.";
const VISIBILITY_WORDS: &str = "enter <role>.<field>=<clear|masked|absent>, as staff.email=clear; the fields are username, \
                                email, first_name, last_name, phone, legacy_id, last_login and client.";

/// A list of texts; the first that is not what it should be is named by its place.
fn list<T>(
    field: &'static str,
    value: &Value,
    parse: fn(&str) -> Result<T, Invalid>,
    words: &str,
) -> Result<Vec<T>, (&'static str, String)> {
    let Value::Array(items) = value else {
        return Err((field, String::from("Expected a list of items.")));
    };
    let parse = |(at, item): (usize, &Value)| {
        let parsed = item.as_str().and_then(|text| parse(text).ok());
        parsed.ok_or_else(|| (field, format!("Item {}: {words}", at + 1)))
    };
    items.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_defaults_are_in_bounds_and_every_bound_is_a_setting() {
        assert_eq!(Settings::default().faults(), []);
        let json = serde_json::to_value(Settings::default()).unwrap();
        let names: Vec<_> = BOUNDS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(
            json.as_object().unwrap().len(),
            names.len() + 2,
            "a setting of a later release is written where it is set"
        );
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

    #[test]
    fn each_setting_is_set_by_its_name_and_a_bad_value_names_its_field() {
        let mut settings = Settings::default();
        for (name, least, _) in BOUNDS {
            settings.set(name, &json!(least)).unwrap();
            assert_eq!(settings.value(name), least, "{name}");
        }
        settings.set("origins", &json!(["https://app.acme.example", "http://localhost:3000"])).unwrap();
        settings.set("cors_headers", &json!(["X-Acme-Trace"])).unwrap();
        settings.set("cookies", &json!("plain")).unwrap();
        settings.set("visibility", &json!(["staff.email=clear", "*.phone=absent"])).unwrap();
        assert_eq!(settings.visibility[1].to_string(), "*.phone=absent");
        assert_eq!((settings.origins.len(), settings.cookies), (2, Cookies::Plain));
        assert_eq!(settings.cors_headers[0].as_str(), "x-acme-trace");
        let good = settings.clone();
        for (name, value, field) in [
            ("origins", json!("https://app.acme.example"), "origins"),
            ("origins", json!(["null"]), "origins"),
            ("origins", json!(["https://app.acme.example", 5]), "origins"),
            ("origins", json!(null), "origins"),
            ("cors_headers", json!("x-acme-trace"), "cors_headers"),
            ("cors_headers", json!(["x-acme-trace", "*"]), "cors_headers"),
            ("cors_headers", json!(["Cookie"]), "cors_headers"),
            ("visibility", json!("staff.email=clear"), "visibility"),
            ("visibility", json!(["staff.email=clear", "staff.shoe=clear"]), "visibility"),
            ("visibility", json!(["staff.email=open"]), "visibility"),
            ("visibility", json!([null]), "visibility"),
            ("cookies", json!("Host"), "cookies"),
            ("cookies", json!("a word of a later release"), "cookies"),
            ("cookies", json!(true), "cookies"),
            ("cookies", json!(null), "cookies"),
            ("idle_secs", json!("60"), "settings"),
            ("idle_secs", json!(-1), "settings"),
            ("nothing", json!(1), "settings"),
        ] {
            assert_eq!(settings.set(name, &value).unwrap_err().0, field, "{name} {value}");
        }
        assert_eq!(settings, good);
    }

    #[test]
    fn origins_are_few_and_each_once() {
        let list = |count: usize| {
            (0..count).map(|at| Origin::parse(&format!("https://a{at}.example")).unwrap()).collect::<Vec<_>>()
        };
        let with = |origins: Vec<Origin>| Settings { origins, ..Settings::default() }.faults();
        assert_eq!(with(list(ORIGINS)), []);
        assert_eq!(with(list(ORIGINS + 1))[0].0, "origins");
        assert_eq!(with([list(1), list(1)].concat())[0].0, "origins");
    }

    #[test]
    fn headers_are_few_and_each_once_whatever_their_case() {
        let list = |count: usize| (0..count).map(|at| format!("X-{at}")).collect::<Vec<_>>();
        let faults = |names: Vec<String>| {
            let mut settings = Settings::default();
            settings.set("cors_headers", &json!(names)).unwrap();
            settings.faults().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(faults(list(CORS_HEADERS)), [""; 0]);
        assert_eq!(faults(list(CORS_HEADERS + 1)), ["cors_headers"]);
        assert_eq!(faults(vec!["x-a".into(), "X-A".into()]), ["cors_headers"]);
    }

    #[test]
    fn each_field_of_a_role_has_one_rule() {
        let faults = |rules: Vec<String>| {
            let mut settings = Settings::default();
            settings.set("visibility", &json!(rules)).unwrap();
            settings.faults().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let rules = |count: usize| (0..count).map(|at| format!("r{at}.phone=clear")).collect::<Vec<_>>();
        assert_eq!(faults(rules(VISIBILITY_RULES)), [""; 0]);
        assert_eq!(faults(rules(VISIBILITY_RULES + 1)), ["visibility"]);
        assert_eq!(faults(vec!["a.phone=clear".into(), "a.phone=absent".into()]), ["visibility"]);
        assert_eq!(faults(vec!["a.phone=clear".into(), "*.phone=absent".into()]), [""; 0]);
    }

    #[test]
    fn what_a_later_release_adds_admits_nobody() {
        let read: Settings = serde_json::from_value(json!({
            "cookies": "partitioned", "origins": ["https://*.acme.example", "https://acme.example"], "more": [],
            "cors_headers": ["x-*", "x-a"], "visibility": ["root-admin.phone=by-request", "root-admin.shoe=clear"],
        }))
        .unwrap();
        assert_eq!(
            read.visibility.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["root-admin.phone=absent"]
        );
        assert_eq!(read.cors_headers.iter().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-a"]);
        let origins: Vec<_> = read.origins.iter().map(ToString::to_string).collect();
        assert_eq!((read.cookies, origins), (Cookies::Off, vec![String::from("https://acme.example")]));
    }

    #[test]
    fn a_document_from_before_has_the_defaults() {
        let old = json!({"access_ttl_secs": 60});
        let read: Settings = serde_json::from_value(old).unwrap();
        assert_eq!((read.cookies, read.origins), (Cookies::Host, vec![]));
        let text = serde_json::to_value(Settings::default()).unwrap();
        assert_eq!((&text["cookies"], &text["origins"]), (&json!("host"), &json!([])));
    }
}
