//! The settings of a tenant, with defaults and bounds: one table for control's validation, the edge's
//! reading and the documentation.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::Invalid;
use crate::contract::limits::{
    CORS_HEADERS, DEVICE_DAYS, FAMILIES, HASHES_PER_SEC, NETWORKS, ORIGINS, PASSWORD_HISTORY,
    REGISTRATION_DOMAINS, ROLE_TIMEOUTS, SECOND_FACTOR_ROLES, SUPPORT_CHARS, VISIBILITY_RULES,
};
use crate::ids::HostName;
use crate::language;
use crate::tenant::header_name::HeaderName;
use crate::tenant::networks::{self, Network};
use crate::tenant::notices::Notice;
use crate::tenant::origin::Origin;
use crate::tenant::page_url::PageUrl;
use crate::tenant::profile::{ProfileItem, ProfileWeight};
use crate::tenant::registration::Registration;
use crate::tenant::role_timeout::RoleTimeout;
use crate::tenant::visibility::{self, Rule};

/// Cookies on a tenant's own hosts, and their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Cookies {
    /// No cookie is read or set.
    Off,
    /// `access_token` and `refresh_token`, as SimpleJWT services name them.
    Plain,
    /// `__Host-access_token` and `__Host-refresh_token`, which no other host can set.
    #[default]
    Host,
}

impl Cookies {
    /// Parses an administrator's input: strict, unlike the reading of a document.
    fn parse(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "off" => Some(Self::Off),
            "plain" => Some(Self::Plain),
            "host" => Some(Self::Host),
            _ => None,
        }
    }
}

/// The settings of a tenant. Durations are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settings {
    /// Lifetime of an access token.
    pub access_ttl_secs: u64,
    /// A session ends when its refresh token was not used for this long.
    pub idle_secs: u64,
    /// A session ends this long after its sign-in.
    pub absolute_secs: u64,
    /// Shorter session timeouts for users with a role: `<role>.idle_secs=<seconds>` and
    /// `<role>.absolute_secs=<seconds>`. With several roles the shortest applies. Absent if there are none.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub role_timeouts: Vec<RoleTimeout>,
    /// The greatest number of active sessions of one user; a further sign-in ends the least recently used one. Absent if
    /// it is 100, the maximum.
    #[serde(skip_serializing_if = "is_most_sessions")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub max_sessions: u64,
    /// For how long the previous refresh token, presented again, gets the same new tokens; 0: it is refused, as by
    /// SimpleJWT.
    pub retry_window_secs: u64,
    /// For how long validation continues while revocation data cannot be read.
    pub staleness_limit_secs: u64,
    /// Shortest password in characters.
    pub min_password_length: u64,
    /// The least strength of a password on the scale of zxcvbn: 1 more than a thousand guesses, 2 a million, 3 a hundred
    /// million, 4 ten billion; 0: only listed passwords are refused. Absent if it is 2.
    #[serde(skip_serializing_if = "is_default_strength")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub password_strength: u64,
    /// The number of a user's last passwords, the present one included, that the user may not choose again. Absent if it
    /// is 0.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub password_history: u64,
    /// The greatest age of a password at a sign-in; above it the user must choose a new one first. 0: no limit. Absent if
    /// it is 0.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub password_max_age_secs: u64,
    /// The roles that require a second factor; `*` stands for every user. Absent if there are none. New tenants begin with
    /// `root-admin` and `co-admin`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub second_factor_roles: Vec<String>,
    /// When the requirement begins (RFC 3339). Absent: it is in force.
    #[serde(deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime, required = false))]
    pub second_factor_from: Option<DateTime<Utc>>,
    /// Whether each validation of an access token reads user and session from the edge's database. Revocations then take
    /// effect at once, and a validation is 503 if the database does not answer. Absent if it is false.
    #[serde(skip_serializing_if = "is_false")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub strict: bool,
    /// The number of passwords that each isolate of the edge hashes for the tenant in a second; beyond: 429. 0: no limit.
    /// Only platform administrators can raise it. Absent if it is 8.
    #[serde(skip_serializing_if = "is_default_budget")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub hashes_per_sec: u64,
    /// The networks, as `192.0.2.0/24`, from which requests of users are accepted. Absent if there are none: then every
    /// network that is not denied is allowed.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub allowed_networks: Vec<Network>,
    /// The networks from which requests of users are refused, even if an allowed network contains them. Absent if there are none.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub denied_networks: Vec<Network>,
    /// Networks from which administration is accepted, in addition to `allowed_networks`: the routes about other users,
    /// tenants, keys and the audit log.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub admin_allowed_networks: Vec<Network>,
    /// Networks from which administration is refused.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub admin_denied_networks: Vec<Network>,
    /// The greatest age of an administrator's sign-in or step-up for changes of roles, policies and keys, deletions, exports
    /// and unmasking; of an administrator who has a second factor, of its last use. 0: not required. Absent if it is 0. New
    /// tenants begin with 900.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub step_up_secs: u64,
    /// The number of days for which a browser can be remembered after a code was accepted in it (`remember` at
    /// `POST /api/login/` and `POST /api/verify-otp/`, with cookies); its sign-ins then need no code. 0: never. Absent if
    /// it is 0.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub remember_device_days: u64,
    /// Size of new signing keys: 2048, 3072 or 4096.
    pub key_bits: u64,
    /// The web origins whose pages may read answers (CORS) and use cookies.
    #[serde(deserialize_with = "readable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub origins: Vec<Origin>,
    /// Names of further request headers that pages of these origins may send; the headers of browsers, HTTP libraries and
    /// tracing services are always allowed. Absent if there are none.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub cors_headers: Vec<HeaderName>,
    /// Cookies on the tenant's own hosts.
    #[serde(deserialize_with = "cookies_or_off")]
    pub cookies: Cookies,
    /// How a role is shown personal fields of other users, if not by default: `<role>.<field>=<clear|masked|absent>`; `*`
    /// stands for every role without a rule of its own for the field. The platform may limit it. Absent if there are none.
    #[serde(deserialize_with = "visibility::readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub visibility: Vec<Rule>,
    /// The notices that users get by mail about changes of their accounts: `password_changed`, `address_changed`,
    /// `second_factor_changed` and `new_device`. Absent if all are on.
    #[serde(deserialize_with = "readable", skip_serializing_if = "are_all")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub notices: Vec<Notice>,
    /// The language of mails to users who have not chosen a supported one: a tag such as `de`. Supported are English and
    /// German.
    #[serde(skip_serializing_if = "is_english")]
    pub language: String,
    /// The support contact that mails name: an address, a telephone number or a URL. Empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub support: String,
    /// The page that verifies an address: an https URL on one of `origins`. The link appends its token as `#token=`. Empty
    /// or absent: a page of Wardgate's own.
    #[serde(deserialize_with = "page_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub verify_url: Option<PageUrl>,
    /// As `verify_url`, for the page that sets a new password.
    #[serde(deserialize_with = "page_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub reset_url: Option<PageUrl>,
    /// As `verify_url`, for the page that accepts an invitation.
    #[serde(deserialize_with = "page_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub invite_url: Option<PageUrl>,
    /// As `verify_url`, for the page that confirms a new address.
    #[serde(deserialize_with = "page_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub address_url: Option<PageUrl>,
    /// As `verify_url`, for the page that takes a change of address back.
    #[serde(deserialize_with = "page_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub undo_url: Option<PageUrl>,
    /// Who may register: no one (`closed`), any caller (`open`), owners of an address in one of `registration_domains`
    /// (`domain`), or invited users (`invitation`). Administrators may invite users in any case. Absent if it is `closed`.
    #[serde(skip_serializing_if = "Registration::is_closed")]
    pub registration: Registration,
    /// The domains for `registration` = `domain`: lower-case A-labels, not including subdomains. Absent if there are none.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub registration_domains: Vec<HostName>,
    /// The role of registered users: below `staff` and without permissions. Absent if it is `client`.
    #[serde(skip_serializing_if = "is_client")]
    pub registration_role: String,
    /// Whether an account is created only after its address was verified. If not, the account can be used at once, and
    /// loses address, password and sessions if another user verifies the address. Absent if it is true.
    #[serde(skip_serializing_if = "is_true")]
    pub registration_verify: bool,
    /// How much each item counts in `profile_completion`, if not by default: `<item>=<0 to 100>`. The items are
    /// `first_name`, `last_name`, `phone`, `email_verified`, `qualifications`, `employment`, `skills` and `certifications`;
    /// an item that is not listed does not count. Absent if there are none: then qualifications and employment count 20,
    /// each other item 10.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub profile_weights: Vec<ProfileWeight>,
}

fn is_english(language: &str) -> bool {
    language == ENGLISH
}

const ENGLISH: &str = "en";

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_ttl_secs: 300,
            idle_secs: 86_400,
            absolute_secs: 30 * 86_400,
            role_timeouts: vec![],
            max_sessions: FAMILIES as u64,
            retry_window_secs: 30,
            staleness_limit_secs: 900,
            min_password_length: 15,
            password_strength: PASSWORD_STRENGTH,
            password_history: 0,
            password_max_age_secs: 0,
            second_factor_roles: vec![],
            second_factor_from: None,
            strict: false,
            hashes_per_sec: HASHES_PER_SEC,
            allowed_networks: vec![],
            denied_networks: vec![],
            admin_allowed_networks: vec![],
            admin_denied_networks: vec![],
            step_up_secs: 0,
            remember_device_days: 0,
            key_bits: 2048,
            origins: vec![],
            cors_headers: vec![],
            cookies: Cookies::Host,
            visibility: vec![],
            notices: Notice::all(),
            language: String::from(ENGLISH),
            support: String::new(),
            verify_url: None,
            reset_url: None,
            invite_url: None,
            address_url: None,
            undo_url: None,
            registration: Registration::Closed,
            registration_domains: vec![],
            registration_role: String::from(CLIENT),
            registration_verify: true,
            profile_weights: vec![],
        }
    }
}

/// The default role of registered users.
const CLIENT: &str = "client";

fn is_client(role: &str) -> bool {
    role == CLIENT
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_true(flag: &bool) -> bool {
    *flag
}

/// The default of `password_strength`: a million guesses.
const PASSWORD_STRENGTH: u64 = 2;

const DAY_SECS: u64 = 86_400;
const MINUTE_SECS: u64 = 60;

/// Name, minimum and maximum of each numeric setting.
pub const BOUNDS: [(&str, u64, u64); 14] = [
    ("access_ttl_secs", 60, crate::contract::limits::ACCESS_TTL_MAX_SECS),
    ("idle_secs", 60, 365 * 86_400),
    ("absolute_secs", 60, 365 * 86_400),
    ("max_sessions", 1, FAMILIES as u64),
    ("retry_window_secs", 0, 60),
    ("staleness_limit_secs", 60, 3600),
    ("min_password_length", 8, 128),
    ("password_strength", 0, 4),
    ("password_history", 0, PASSWORD_HISTORY),
    ("password_max_age_secs", 0, 10 * 365 * DAY_SECS),
    ("hashes_per_sec", 0, 1000),
    ("step_up_secs", 0, DAY_SECS),
    ("remember_device_days", 0, DEVICE_DAYS),
    ("key_bits", 2048, 4096),
];

impl Settings {
    /// The name of every setting, in order.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let numbers = BOUNDS.iter().map(|(name, ..)| *name);
        let others = [
            "admin_allowed_networks",
            "admin_denied_networks",
            "allowed_networks",
            "cookies",
            "cors_headers",
            "denied_networks",
            "language",
            "notices",
            "origins",
            "profile_weights",
            "registration",
            "registration_domains",
            "registration_role",
            "registration_verify",
            "role_timeouts",
            "second_factor_from",
            "second_factor_roles",
            "strict",
            "support",
            "visibility",
        ];
        let mut names: Vec<_> = numbers.chain(others).chain(PAGES).collect();
        names.sort_unstable();
        names
    }

    /// The greatest number of active sessions of one user: at least one, so that a sign-in never ends itself.
    #[must_use]
    pub fn most_sessions(&self) -> u64 {
        self.max_sessions.clamp(1, FAMILIES as u64)
    }

    /// Whether a user with these roles must have a second factor at `now_secs`.
    #[must_use]
    pub fn demands_second_factor<R: AsRef<str>>(&self, roles: &[R], now_secs: i64) -> bool {
        let begun = self.second_factor_from.is_none_or(|from| from.timestamp() <= now_secs);
        let demanded = |role: &str| self.second_factor_roles.iter().any(|of| of == role);
        begun && (demanded("*") || roles.iter().any(|role| demanded(role.as_ref())))
    }

    /// Whether requests of users are accepted from a client's address.
    #[must_use]
    pub fn admits_network(&self, client: &str) -> bool {
        networks::admits(&self.allowed_networks, &self.denied_networks, client)
    }

    /// Whether administration is accepted from a client's address.
    #[must_use]
    pub fn admits_administration(&self, client: &str) -> bool {
        self.admits_network(client)
            && networks::admits(&self.admin_allowed_networks, &self.admin_denied_networks, client)
    }

    /// Whether any network is listed.
    #[must_use]
    pub fn lists_networks(&self) -> bool {
        self.network_lists().iter().any(|(_, list)| !list.is_empty())
    }

    fn network_lists(&self) -> [(&'static str, &[Network]); 4] {
        [
            ("allowed_networks", &self.allowed_networks),
            ("denied_networks", &self.denied_networks),
            ("admin_allowed_networks", &self.admin_allowed_networks),
            ("admin_denied_networks", &self.admin_denied_networks),
        ]
    }

    /// Every setting with its default, including those that a document omits at their default.
    #[must_use]
    pub fn defaults() -> Map<String, Value> {
        let default = Self::default();
        let mut values = match serde_json::to_value(&default) {
            Ok(Value::Object(values)) => values,
            Ok(_) | Err(_) => Map::new(),
        };
        for (name, ..) in BOUNDS {
            values.insert(name.to_owned(), default.value(name).into());
        }
        for name in Self::names() {
            // An unset page is an empty text in the command line's form.
            let value = Some(Self::left_out(name)).filter(|value| !value.is_null());
            values.entry(name).or_insert_with(|| value.unwrap_or_else(|| "".into()));
        }
        values
    }

    /// The value of a numeric setting ([`BOUNDS`]).
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        match name {
            "access_ttl_secs" => self.access_ttl_secs,
            "idle_secs" => self.idle_secs,
            "absolute_secs" => self.absolute_secs,
            "max_sessions" => self.max_sessions,
            "retry_window_secs" => self.retry_window_secs,
            "staleness_limit_secs" => self.staleness_limit_secs,
            "min_password_length" => self.min_password_length,
            "password_strength" => self.password_strength,
            "password_history" => self.password_history,
            "password_max_age_secs" => self.password_max_age_secs,
            "hashes_per_sec" => self.hashes_per_sec,
            "step_up_secs" => self.step_up_secs,
            "remember_device_days" => self.remember_device_days,
            _ => self.key_bits,
        }
    }

    /// Sets one setting from its JSON value; [`Self::faults`] validates all of them together.
    ///
    /// # Errors
    /// The field and its message, for an unknown name or a value of the wrong form.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), (&'static str, String)> {
        match name {
            "origins" => self.origins = list("origins", value, Origin::parse, ORIGIN_WORDS)?,
            "cors_headers" => {
                self.cors_headers = list("cors_headers", value, HeaderName::parse, CORS_HEADER_WORDS)?;
            }
            "role_timeouts" => {
                self.role_timeouts = list("role_timeouts", value, RoleTimeout::parse, ROLE_TIMEOUT_WORDS)?;
            }
            "notices" => self.notices = list("notices", value, Notice::parse, NOTICE_WORDS)?,
            "visibility" => self.visibility = list("visibility", value, Rule::parse, VISIBILITY_WORDS)?,
            "profile_weights" => {
                self.profile_weights = list("profile_weights", value, ProfileWeight::parse, WEIGHT_WORDS)?;
            }
            "registration" | "registration_domains" | "registration_role" | "registration_verify" => {
                self.set_registration(name, value)?;
            }
            "cookies" => {
                self.cookies = Cookies::parse(value)
                    .ok_or_else(|| ("cookies", String::from("Must be \"off\", \"plain\" or \"host\".")))?;
            }
            "second_factor_roles" => {
                let role = |text: &str| match text.trim() {
                    "" => Err(Invalid("role")),
                    name => Ok(name.to_owned()),
                };
                self.second_factor_roles = list("second_factor_roles", value, role, SECOND_FACTOR_WORDS)?;
            }
            "strict" => {
                let words = || ("strict", String::from(BOOLEAN_WORDS));
                self.strict = value.as_bool().ok_or_else(words)?;
            }
            "second_factor_from" => self.second_factor_from = time("second_factor_from", value)?,
            "language" => {
                let tag = value.as_str().filter(|tag| !tag.is_empty());
                let tag = tag.and_then(|tag| language::canonical(tag).ok());
                self.language = tag.ok_or_else(|| ("language", String::from(LANGUAGE_WORDS)))?;
            }
            "support" => {
                let text = value.as_str().map(str::trim).filter(|text| !text.chars().any(char::is_control));
                self.support = text.ok_or_else(|| ("support", String::from(SUPPORT_WORDS)))?.to_owned();
            }
            "allowed_networks" => {
                self.allowed_networks = list("allowed_networks", value, Network::parse, NETWORK_WORDS)?;
            }
            "denied_networks" => {
                self.denied_networks = list("denied_networks", value, Network::parse, NETWORK_WORDS)?;
            }
            "admin_allowed_networks" => {
                let networks = list("admin_allowed_networks", value, Network::parse, NETWORK_WORDS)?;
                self.admin_allowed_networks = networks;
            }
            "admin_denied_networks" => {
                let networks = list("admin_denied_networks", value, Network::parse, NETWORK_WORDS)?;
                self.admin_denied_networks = networks;
            }
            _ if PAGES.contains(&name) => self.set_page(name, value)?,
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

    fn set_registration(&mut self, name: &str, value: &Value) -> Result<(), (&'static str, String)> {
        let said = |field, message: &str| (field, message.to_owned());
        match name {
            "registration" => {
                let words = "Must be \"closed\", \"open\", \"domain\" or \"invitation\".";
                self.registration = Registration::parse(value).ok_or_else(|| said("registration", words))?;
            }
            "registration_domains" => {
                self.registration_domains =
                    list("registration_domains", value, HostName::parse, DOMAIN_WORDS)?;
            }
            "registration_role" => {
                let role = value.as_str().ok_or_else(|| said("registration_role", "Not a valid string."))?;
                role.clone_into(&mut self.registration_role);
            }
            _ => {
                self.registration_verify =
                    value.as_bool().ok_or_else(|| said("registration_verify", BOOLEAN_WORDS))?;
            }
        }
        Ok(())
    }

    /// Sets a page's URL; empty and null remove it.
    fn set_page(&mut self, name: &str, value: &Value) -> Result<(), (&'static str, String)> {
        let field = PAGES.into_iter().find(|page| *page == name).unwrap_or("settings");
        let url = match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(PageUrl::parse(text).map_err(|_| (field, String::from(PAGE_WORDS)))?),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err((field, String::from(PAGE_WORDS)));
            }
        };
        match name {
            "verify_url" => self.verify_url = url,
            "reset_url" => self.reset_url = url,
            "invite_url" => self.invite_url = url,
            "address_url" => self.address_url = url,
            _ => self.undo_url = url,
        }
        Ok(())
    }

    fn registration_faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.registration == Registration::Domain && self.registration_domains.is_empty() {
            faults.push((
                "registration_domains",
                String::from("Name a domain, or choose another registration."),
            ));
        }
        faults
    }

    fn weight_faults(&self) -> Option<(&'static str, String)> {
        let weights = &self.profile_weights;
        let none_counts = !weights.is_empty() && weights.iter().all(|weight| weight.weight == 0);
        none_counts.then(|| ("profile_weights", String::from("Give one item at least a weight above 0.")))
    }

    /// The pages that are set, by name.
    fn pages(&self) -> impl Iterator<Item = (&'static str, &PageUrl)> {
        let pages = [&self.verify_url, &self.reset_url, &self.invite_url, &self.address_url, &self.undo_url];
        PAGES.into_iter().zip(pages).filter_map(|(name, page)| Some((name, page.as_ref()?)))
    }

    /// The value of a setting that a document omits.
    fn left_out(name: &str) -> Value {
        match name {
            "admin_allowed_networks"
            | "admin_denied_networks"
            | "allowed_networks"
            | "cors_headers"
            | "denied_networks"
            | "profile_weights"
            | "registration_domains"
            | "role_timeouts"
            | "second_factor_roles"
            | "visibility" => Value::Array(vec![]),
            "notices" => Notice::ALL.map(|notice| Value::from(notice.as_str())).to_vec().into(),
            "language" => ENGLISH.into(),
            "registration" => "closed".into(),
            "registration_role" => CLIENT.into(),
            "registration_verify" => true.into(),
            "strict" => false.into(),
            "support" => "".into(),
            _ => Value::Null,
        }
    }

    /// The settings for the edge's document: those that the edge does not use are at their default.
    #[must_use]
    pub fn for_edge(self) -> Self {
        let Self { language, notices, registration_role, registration_verify, .. } = Self::default();
        Self {
            step_up_secs: 0,
            visibility: vec![],
            notices,
            registration: Registration::Closed,
            registration_domains: vec![],
            registration_role,
            registration_verify,
            language,
            support: String::new(),
            verify_url: None,
            reset_url: None,
            invite_url: None,
            address_url: None,
            undo_url: None,
            profile_weights: vec![],
            ..self
        }
    }

    fn number(&mut self, name: &str) -> Option<&mut u64> {
        match name {
            "access_ttl_secs" => Some(&mut self.access_ttl_secs),
            "idle_secs" => Some(&mut self.idle_secs),
            "absolute_secs" => Some(&mut self.absolute_secs),
            "max_sessions" => Some(&mut self.max_sessions),
            "retry_window_secs" => Some(&mut self.retry_window_secs),
            "staleness_limit_secs" => Some(&mut self.staleness_limit_secs),
            "min_password_length" => Some(&mut self.min_password_length),
            "password_strength" => Some(&mut self.password_strength),
            "password_history" => Some(&mut self.password_history),
            "password_max_age_secs" => Some(&mut self.password_max_age_secs),
            "hashes_per_sec" => Some(&mut self.hashes_per_sec),
            "step_up_secs" => Some(&mut self.step_up_secs),
            "remember_device_days" => Some(&mut self.remember_device_days),
            "key_bits" => Some(&mut self.key_bits),
            _ => None,
        }
    }

    /// Every setting that is out of bounds, with the message for its field.
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
        if (1..DAY_SECS).contains(&self.password_max_age_secs) {
            faults.push(("password_max_age_secs", String::from("Must be 0 or at least 86400, a day.")));
        }
        if (1..MINUTE_SECS).contains(&self.step_up_secs) {
            faults.push(("step_up_secs", String::from("Must be 0 or at least 60, a minute.")));
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
        let of: Vec<_> = self.role_timeouts.iter().map(|rule| (&rule.role, rule.timeout)).collect();
        bound("role_timeouts", measure(&of), ROLE_TIMEOUTS, "A timeout of a role is named twice.");
        let roles = measure(&self.second_factor_roles);
        bound("second_factor_roles", roles, SECOND_FACTOR_ROLES, "A role is named twice.");
        for (name, list) in self.network_lists() {
            bound(name, measure(list), NETWORKS, "A network is named twice.");
        }
        bound("notices", measure(&self.notices), Notice::ALL.len(), "A notice is named twice.");
        let domains = measure(&self.registration_domains);
        bound("registration_domains", domains, REGISTRATION_DOMAINS, "A domain is named twice.");
        let of: Vec<_> = self.profile_weights.iter().map(|weight| weight.item).collect();
        bound("profile_weights", measure(&of), ProfileItem::ALL.len(), "An item is named twice.");
        faults.extend(self.weight_faults());
        faults.extend(self.registration_faults());
        if self.support.chars().count() > SUPPORT_CHARS {
            let message = format!("Ensure this field has no more than {SUPPORT_CHARS} characters.");
            faults.push(("support", message));
        }
        for (name, page) in self.pages() {
            if !self.origins.contains(page.origin()) {
                faults.push((name, format!("\"{}\" is not on the list of origins.", page.origin())));
            }
        }
        faults
    }
}

fn are_all(notices: &[Notice]) -> bool {
    Notice::are_all(notices)
}

// A number that a later release added is written where a tenant has set it.

fn is_default_strength(strength: &u64) -> bool {
    *strength == PASSWORD_STRENGTH
}

fn is_default_budget(hashes: &u64) -> bool {
    *hashes == HASHES_PER_SEC
}

fn is_most_sessions(number: &u64) -> bool {
    *number == FAMILIES as u64
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The length of a list, and whether its elements are unique.
fn measure<T: Ord>(list: &[T]) -> (usize, bool) {
    let once: BTreeSet<_> = list.iter().collect();
    (list.len(), once.len() == list.len())
}

/// Reads the cookies of a document. With an unknown value of a later release, no cookie is read or set.
fn cookies_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cookies, D::Error> {
    Ok(Cookies::parse(&Value::deserialize(deserializer)?).unwrap_or(Cookies::Off))
}

/// Reads a page of a document. A URL of an unknown form counts as absent.
fn page_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PageUrl>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| PageUrl::parse(&text).ok()))
}

/// Reads a time in a document. A malformed text counts as absent, so that the delayed requirement is in force at
/// once.
fn time_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Parses a time (RFC 3339). Empty and null remove it.
fn time(field: &'static str, value: &Value) -> Result<Option<DateTime<Utc>>, (&'static str, String)> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text.as_str(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => "",
    };
    text.parse().map(Some).map_err(|_| (field, String::from(TIME_WORDS)))
}

/// Reads a list of a document, skipping elements of an unknown form.
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
/// The settings that name a page.
const PAGES: [&str; 5] = ["verify_url", "reset_url", "invite_url", "address_url", "undo_url"];

const NETWORK_WORDS: &str = "enter a network as 192.0.2.0/24 or 2001:db8::/32, or an address.";
const BOOLEAN_WORDS: &str = "Must be a valid boolean.";
const LANGUAGE_WORDS: &str = "Enter a language tag, as de or pt-BR.";
const SUPPORT_WORDS: &str = "Enter a text on one line.";
const PAGE_WORDS: &str = "Enter an https URL with a path and without a fragment, as https://app.acme.example/reset; http only for \
                          localhost.";
const CORS_HEADER_WORDS: &str = "enter the name of a request header that a page can set: at most 64 letters, \
                                 digits and hyphens, not *, not one that browsers set themselves.";
const VISIBILITY_WORDS: &str = "enter <role>.<field>=<clear|masked|absent>, as staff.email=clear; the fields are username, \
                                email, first_name, last_name, phone, legacy_id, last_login, client and profile.";

const WEIGHT_WORDS: &str = "enter <item>=<0 to 100>, as skills=20; the items are first_name, last_name, phone, email_verified, \
                            qualifications, employment, skills and certifications.";
const ROLE_TIMEOUT_WORDS: &str = "enter <role>.idle_secs=<seconds> or <role>.absolute_secs=<seconds>, 60 to 31536000, as root-admin.idle_secs=900.";
const SECOND_FACTOR_WORDS: &str = "enter the name of a role, or * for every user.";
const TIME_WORDS: &str = "Enter a time with its zone, as 2027-01-31T08:00:00Z.";
const NOTICE_WORDS: &str =
    "the notices are password_changed, address_changed, second_factor_changed and new_device.";
const DOMAIN_WORDS: &str =
    "enter a domain as acme.example: lower-case A-labels without @, port or final dot.";

/// Parses a list of texts; the error names the position of the first invalid one.
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
        let json = |settings: &Settings| serde_json::to_value(settings).unwrap();
        assert_eq!(
            json(&Settings::default()).as_object().unwrap().len(),
            9,
            "a setting of a later release is written where it is set"
        );
        let all = Settings {
            max_sessions: 1,
            password_strength: 4,
            password_history: 1,
            password_max_age_secs: 1,
            hashes_per_sec: 1,
            step_up_secs: 1,
            remember_device_days: 1,
            ..Settings::default()
        };
        for (name, ..) in BOUNDS {
            assert_eq!(json(&all)[name], all.value(name), "{name}");
            let read: Settings = serde_json::from_value(json(&all)).unwrap();
            assert_eq!(read, all);
        }
    }

    #[test]
    fn a_second_factor_is_demanded_of_roles_from_a_time_on() {
        let mut settings = Settings::default();
        let admins = ["root-admin", "client"];
        assert!(!settings.demands_second_factor(&admins, i64::MAX));
        settings.set("second_factor_roles", &json!([" root-admin ", "co-admin"])).unwrap();
        assert!(settings.demands_second_factor(&admins, i64::MIN));
        assert!(!settings.demands_second_factor(&["client", "root-admin2"], i64::MAX));
        assert!(!settings.demands_second_factor::<&str>(&[], i64::MAX));
        settings.set("second_factor_roles", &json!(["*"])).unwrap();
        assert!(settings.demands_second_factor::<&str>(&[], 0));
        settings.set("second_factor_from", &json!("2027-01-15T09:00:00+01:00")).unwrap();
        for (now, demanded) in [(1_799_999_999, false), (1_800_000_000, true)] {
            assert_eq!(settings.demands_second_factor(&admins, now), demanded, "{now}");
        }
        let read: Settings = serde_json::from_value(serde_json::to_value(&settings).unwrap()).unwrap();
        assert_eq!(read, settings);
        settings.set("second_factor_from", &json!("")).unwrap();
        assert_eq!(settings.second_factor_from, None);
        for (name, bad) in [
            ("second_factor_from", json!("tomorrow")),
            ("second_factor_from", json!("2027-01-15T09:00:00")),
            ("second_factor_from", json!(5)),
            ("second_factor_roles", json!("root-admin")),
            ("second_factor_roles", json!([""])),
        ] {
            assert_eq!(settings.set(name, &bad).unwrap_err().0, name, "{bad}");
        }
        settings.set("second_factor_roles", &json!(["a", "a"])).unwrap();
        assert_eq!(settings.faults()[0].0, "second_factor_roles");
        // A malformed time does not delay the requirement.
        let later = json!({"second_factor_roles": ["*"], "second_factor_from": "in the fifth week"});
        let read: Settings = serde_json::from_value(later).unwrap();
        assert!(read.demands_second_factor(&admins, 0));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let bad = Settings {
            access_ttl_secs: 901,
            idle_secs: 100,
            absolute_secs: 60,
            key_bits: 2049,
            password_max_age_secs: 90,
            step_up_secs: 59,
            ..Settings::default()
        };
        let named: Vec<_> = bad.faults().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            named,
            ["access_ttl_secs", "idle_secs", "password_max_age_secs", "step_up_secs", "key_bits"]
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of settings")]
    fn each_setting_is_set_by_its_name_and_a_bad_value_names_its_field() {
        let mut settings = Settings::default();
        for (name, least, _) in BOUNDS {
            settings.set(name, &json!(least)).unwrap();
            assert_eq!(settings.value(name), least, "{name}");
        }
        settings.set("origins", &json!(["https://app.acme.example", "http://localhost:3000"])).unwrap();
        settings.set("cors_headers", &json!(["X-Acme-Trace"])).unwrap();
        settings.set("cookies", &json!("plain")).unwrap();
        settings.set("strict", &json!(true)).unwrap();
        settings.set("allowed_networks", &json!(["192.0.2.9/24"])).unwrap();
        assert_eq!(json!(settings.allowed_networks), json!(["192.0.2.0/24"]));
        settings.set("visibility", &json!(["staff.email=clear", "*.phone=absent"])).unwrap();
        settings.set("role_timeouts", &json!(["staff.idle_secs=900", "staff.absolute_secs=3600"])).unwrap();
        assert_eq!(settings.role_timeouts.len(), 2);
        settings.set("notices", &json!(["new_device"])).unwrap();
        assert_eq!(settings.notices, [Notice::NewDevice]);
        settings.set("profile_weights", &json!(["phone=1", "skills=100"])).unwrap();
        assert_eq!(settings.profile_weights[1].to_string(), "skills=100");
        settings.set("language", &json!("DE-at")).unwrap();
        settings.set("support", &json!(" help@acme.example ")).unwrap();
        settings.set("reset_url", &json!("https://app.acme.example/reset")).unwrap();
        settings.set("undo_url", &json!("")).unwrap();
        assert_eq!((settings.language.as_str(), settings.support.as_str()), ("de-AT", "help@acme.example"));
        assert_eq!((settings.pages().count(), settings.faults()), (1, vec![]));
        assert_eq!(settings.visibility[1].to_string(), "*.phone=absent");
        settings.set("registration", &json!("domain")).unwrap();
        settings.set("registration_domains", &json!(["acme.example"])).unwrap();
        settings.set("registration_role", &json!("client")).unwrap();
        settings.set("registration_verify", &json!(false)).unwrap();
        assert_eq!((settings.registration, settings.registration_verify), (Registration::Domain, false));
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
            ("role_timeouts", json!("staff.idle_secs=900"), "role_timeouts"),
            ("role_timeouts", json!(["staff.idle_secs=900", "staff.idle_secs=1"]), "role_timeouts"),
            ("profile_weights", json!("skills=1"), "profile_weights"),
            ("profile_weights", json!(["skills=1", "skills=101"]), "profile_weights"),
            ("notices", json!("new_device"), "notices"),
            ("notices", json!(["new_device", "new_dance"]), "notices"),
            ("notices", json!(null), "notices"),
            ("language", json!(""), "language"),
            ("language", json!("de_AT"), "language"),
            ("language", json!(null), "language"),
            ("support", json!("a\r\nb"), "support"),
            ("support", json!(7), "support"),
            ("reset_url", json!("https://app.acme.example/#x"), "reset_url"),
            ("reset_url", json!("http://app.acme.example/"), "reset_url"),
            ("reset_url", json!(7), "reset_url"),
            ("strict", json!("true"), "strict"),
            ("denied_networks", json!(["192.0.2.0/33"]), "denied_networks"),
            ("admin_allowed_networks", json!("192.0.2.0/24"), "admin_allowed_networks"),
            ("admin_denied_networks", json!([1]), "admin_denied_networks"),
            ("cookies", json!("Host"), "cookies"),
            ("cookies", json!("a word of a later release"), "cookies"),
            ("cookies", json!(true), "cookies"),
            ("cookies", json!(null), "cookies"),
            ("registration", json!("Open"), "registration"),
            ("registration", json!(null), "registration"),
            ("registration_domains", json!("acme.example"), "registration_domains"),
            ("registration_domains", json!(["@acme.example"]), "registration_domains"),
            ("registration_role", json!(1), "registration_role"),
            ("registration_verify", json!("false"), "registration_verify"),
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
    fn a_page_is_on_a_listed_origin_and_the_edge_has_none() {
        let mut settings = Settings::default();
        settings.set("origins", &json!(["https://app.acme.example"])).unwrap();
        settings.set("verify_url", &json!("https://app.acme.example/verify")).unwrap();
        assert_eq!(settings.faults(), []);
        settings.set("undo_url", &json!("https://acme.example/undo")).unwrap();
        settings.set("support", &json!("x".repeat(SUPPORT_CHARS + 1))).unwrap();
        settings.set("step_up_secs", &json!(900)).unwrap();
        let named: Vec<_> = settings.faults().into_iter().map(|(name, _)| name).collect();
        assert_eq!(named, ["support", "undo_url"]);
        let read: Settings = serde_json::from_value(serde_json::to_value(&settings).unwrap()).unwrap();
        assert_eq!(read, settings);
        let origins = settings.origins.clone();
        assert_eq!(settings.for_edge(), Settings { origins, ..Settings::default() });
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
    fn each_item_has_one_weight_and_one_counts() {
        let faults = |list: &[&str]| {
            let mut settings = Settings::default();
            settings.set("profile_weights", &json!(list)).unwrap();
            settings.faults().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(faults(&[]), [""; 0]);
        assert_eq!(faults(&["phone=0", "skills=1"]), [""; 0]);
        assert_eq!(faults(&["skills=1", "skills=2"]), ["profile_weights"]);
        assert_eq!(faults(&["phone=0", "skills=0"]), ["profile_weights"]);
    }

    #[test]
    fn all_notices_are_on_unless_a_list_says_which() {
        let written = |settings: &Settings| serde_json::to_value(settings).unwrap();
        let read = |value| serde_json::from_value::<Settings>(value).unwrap().notices;
        assert_eq!(written(&Settings::default()).get("notices"), None);
        assert_eq!(read(json!({})), Notice::ALL);
        for (list, expected) in
            [(json!([]), vec![]), (json!(["new_device", "of a later release"]), vec![Notice::NewDevice])]
        {
            let notices = read(json!({ "notices": list }));
            assert_eq!(notices, expected);
            assert_eq!(read(written(&Settings { notices, ..Settings::default() })), expected);
        }
        let twice = vec![Notice::NewDevice, Notice::NewDevice];
        assert_eq!(Settings { notices: twice, ..Settings::default() }.faults()[0].0, "notices");
        let defaults = Settings::defaults();
        assert_eq!(defaults["notices"].as_array().unwrap().len(), Notice::ALL.len());
        assert_eq!((&defaults["language"], &defaults["idle_secs"]), (&json!("en"), &json!(86_400)));
    }

    #[test]
    fn a_list_of_domains_is_not_empty() {
        let faults =
            |settings: Settings| settings.faults().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let by_domain = Settings { registration: Registration::Domain, ..Settings::default() };
        assert_eq!(faults(by_domain.clone()), ["registration_domains"]);
        let acme = HostName::parse("acme.example").unwrap();
        let listed = |domains: Vec<HostName>| Settings { registration_domains: domains, ..by_domain.clone() };
        assert_eq!(faults(listed(vec![acme.clone()])), [""; 0]);
        assert_eq!(faults(listed(vec![acme.clone(), acme])), ["registration_domains"]);
    }

    #[test]
    fn every_setting_has_a_default_that_can_be_set() {
        let defaults = Settings::defaults();
        assert_eq!(defaults.keys().map(String::as_str).collect::<Vec<_>>(), Settings::names());
        let mut settings = Settings::default();
        for (name, value) in &defaults {
            settings.set(name, value).unwrap();
        }
        assert_eq!(settings, Settings::default());
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
