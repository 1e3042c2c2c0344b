//! What sources find: users, groups, second factors, as the legacy service has them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::moment::{Moment, Reading};

/// A thing in the order in which the source has it.
pub enum Item {
    /// A user.
    User(Box<Found>),
    /// A group; users may name it by its key before it comes.
    Group {
        /// Its key.
        key: String,
        /// Its name.
        name: String,
    },
    /// A confirmed device of a user.
    Device(Device),
}

/// How a user's group is named.
#[derive(Clone, Serialize, Deserialize)]
pub enum Group {
    /// By its name.
    Name(String),
    /// By its key.
    Key(String),
}

/// A user there. No `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Found {
    /// Their id; a source may fail to say it.
    pub id: Option<String>,
    /// User name.
    pub username: String,
    /// Address, or empty.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Telephone number.
    pub phone: String,
    /// Language tag, or empty.
    #[serde(default)]
    pub language: String,
    /// The stored hash.
    pub password: Zeroizing<String>,
    /// Whether they may sign in.
    pub is_active: bool,
    /// Whether they may use the administration.
    pub is_staff: bool,
    /// Whether they may do everything.
    pub is_superuser: bool,
    /// When they were made.
    pub date_joined: Option<DateTime<Utc>>,
    /// When they last signed in.
    pub last_login: Option<DateTime<Utc>>,
    /// Their groups.
    pub groups: Vec<Group>,
    /// The value of the role column, where there is one.
    pub role: Option<String>,
    /// How the times were read that named no zone, by our column; it is counted before a user is laid out.
    #[serde(skip)]
    pub local_times: Vec<(&'static str, Reading)>,
}

/// A column's time, and how it was read where that is worth telling.
pub(super) fn noted(
    column: &'static str,
    moment: Option<Moment>,
    local_times: &mut Vec<(&'static str, Reading)>,
) -> Option<DateTime<Utc>> {
    let Moment { at, reading } = moment?;
    if reading.is_local() {
        local_times.push((column, reading));
    }
    Some(at)
}

/// A second factor there (django-otp's TOTP device). No `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// The legacy id of its user.
    pub user: String,
    /// The name that its owner chose.
    pub name: String,
    /// The shared secret in hexadecimal.
    pub key: Zeroizing<String>,
    /// Seconds of a step.
    pub step: i64,
    /// Where steps are counted from, in Unix seconds.
    pub t0: i64,
    /// Digits of a code.
    pub digits: i64,
    /// Steps before and after that are accepted.
    pub tolerance: i64,
    /// Steps that the device's clock is known to be off.
    pub drift: i64,
    /// The last step that was used.
    pub last_t: i64,
}

/// The names of columns in the source. Absent: the same name. Empty: there is no such column.
#[derive(Clone, Default)]
pub struct Columns(pub Vec<(String, String)>);

/// Our names of the columns that are read, and whether a user cannot come without.
pub const COLUMNS: [(&str, bool); 13] = [
    ("id", true),
    ("username", true),
    ("password", true),
    ("email", false),
    ("first_name", false),
    ("last_name", false),
    ("phone", false),
    ("is_active", false),
    ("is_staff", false),
    ("is_superuser", false),
    ("date_joined", false),
    ("last_login", false),
    ("language", false),
];

impl Columns {
    /// The source's name of a column; `None` if it has none.
    #[must_use]
    pub fn there<'a>(&'a self, ours: &'a str) -> Option<&'a str> {
        let named = self.0.iter().find(|(name, _)| name == ours);
        let there = named.map_or(ours, |(_, there)| there.as_str());
        (!there.is_empty()).then_some(there)
    }
}
