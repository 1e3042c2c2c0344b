//! The filters of the list of users. [`super::matching`] applies them.

use chrono::{DateTime, Utc};
use shared::user::UserStatus;
use utoipa::IntoParams;
use uuid::Uuid;

use super::input::STATUSES;
use super::model::User;
use super::out::StatusWord;
use crate::http::body::FromFields;
use crate::http::fields::{Fields, OfDay};
use crate::http::list::List;
use crate::http::rows::{Column, Order, Placed};
use crate::http::time::text;

/// The filters of the list of users; an absent filter matches all.
#[derive(Clone, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// The status.
    #[param(value_type = Option<StatusWord>)]
    pub status: Option<UserStatus>,
    /// Whether the status is `active`.
    pub is_active: Option<bool>,
    /// A role of the user.
    pub role: Option<String>,
    /// The branch that the user is in; `none` for users in no branch.
    #[param(value_type = Option<String>)]
    pub branch: Option<Option<Uuid>>,
    /// A branch that the user is in or below.
    pub branch_within: Option<Uuid>,
    /// The user name, in any Unicode spelling and case.
    pub username: Option<String>,
    /// The email address, in any Unicode spelling and case.
    pub email: Option<String>,
    /// Whether the address was verified.
    pub email_verified: Option<bool>,
    /// Whether the user has a second factor.
    pub mfa_enabled: Option<bool>,
    /// A profile that is complete to less than this percentage (0 to 100).
    pub profile_completion_lt: Option<u8>,
    /// The user's id at the legacy service.
    pub legacy_id: Option<String>,
    /// Created at this time or later; a date means its first moment.
    pub created_after: Option<DateTime<Utc>>,
    /// Created at this time or earlier; a date means its last moment.
    pub created_before: Option<DateTime<Utc>>,
    /// Words, each of which must occur in user name, address, first or last name: anywhere if it has three letters or
    /// more, else at the beginning of a word.
    #[param(value_type = Option<String>)]
    pub search: Vec<String>,
}

impl Filters {
    /// Whether nothing but a search was asked for.
    pub(super) fn only_search(&self) -> bool {
        matches!(
            self,
            Self {
                status: None,
                is_active: None,
                role: None,
                branch: None,
                branch_within: None,
                username: None,
                email: None,
                email_verified: None,
                mfa_enabled: None,
                profile_completion_lt: None,
                legacy_id: None,
                created_after: None,
                created_before: None,
                search: _,
            }
        )
    }
}

/// A field that users can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A column that SQL can order by.
    Clear(ClearKey),
    /// An encrypted column, ordered after decryption.
    Personal(PersonalKey),
}

/// A column that SQL can order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearKey {
    /// The id.
    Id,
    /// The time of creation.
    CreatedAt,
    /// The last sign-in; users without one first.
    LastLogin,
}

/// An encrypted column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonalKey {
    /// User name.
    Username,
    /// Address; users without one first.
    Email,
}

/// The filters by time of creation: their names in other lists, and the name of the field in answers.
const AFTER: [&str; 3] = ["created_after", "created_at_after", "date_joined_after"];
const BEFORE: [&str; 3] = ["created_before", "created_at_before", "date_joined_before"];

/// Aliases of the filters by time, after the field `date_joined`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct DateJoined {
    /// Alias of `created_after`.
    date_joined_after: Option<DateTime<Utc>>,
    /// Alias of `created_before`.
    date_joined_before: Option<DateTime<Utc>>,
}

impl FromFields for Filters {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            status: fields.choice("status", &STATUSES),
            is_active: fields.boolean("is_active"),
            role: fields.text("role"),
            branch: branch(fields),
            branch_within: fields.uuid("branch_within"),
            username: fields.text("username"),
            email: fields.text("email"),
            email_verified: fields.boolean("email_verified"),
            mfa_enabled: fields.boolean("mfa_enabled"),
            profile_completion_lt: fields.whole("profile_completion_lt", 0, 100),
            legacy_id: fields.text("legacy_id"),
            created_after: fields.by_any_name(&AFTER, |fields, name| fields.moment(name, OfDay::Begin)),
            created_before: fields.by_any_name(&BEFORE, |fields, name| fields.moment(name, OfDay::End)),
            search: fields.words("search"),
        })
    }
}

/// The filter `branch`: an id or `none`.
fn branch(fields: &mut Fields) -> Option<Option<Uuid>> {
    if fields.text("branch")? == "none" { Some(None) } else { fields.uuid("branch").map(Some) }
}

impl List for Filters {
    type Key = Key;
    const ORDERINGS: &'static [(&'static str, Key)] = &[
        ("id", Key::Clear(ClearKey::Id)),
        ("username", Key::Personal(PersonalKey::Username)),
        ("email", Key::Personal(PersonalKey::Email)),
        ("created_at", Key::Clear(ClearKey::CreatedAt)),
        ("date_joined", Key::Clear(ClearKey::CreatedAt)),
        ("last_login", Key::Clear(ClearKey::LastLogin)),
    ];
    const DEFAULT: Order<Key> = Order { by: Key::Clear(ClearKey::CreatedAt), descending: false };
}

impl Key {
    /// The column, where SQL can order by it.
    pub(super) fn clear(self) -> Option<ClearKey> {
        match self {
            Self::Clear(key) => Some(key),
            Self::Personal(_) => None,
        }
    }
}

/// A column in the statement of a list, which begins at the users or at those who have a role.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    pub key: ClearKey,
    pub of_role: bool,
}

impl Column for Listed {
    fn column(self) -> (&'static str, &'static str) {
        match (self.key, self.of_role) {
            (ClearKey::Id, false) => ("u.id", "uuid"),
            (ClearKey::Id, true) => ("ur.user_id", "uuid"),
            (ClearKey::CreatedAt, false) => ("u.created_at", "timestamptz"),
            (ClearKey::CreatedAt, true) => ("ur.created_at", "timestamptz"),
            (ClearKey::LastLogin, _) => ("coalesce(u.last_login, '-infinity')", "timestamptz"),
        }
    }
}

/// Before every sign-in, as PostgreSQL writes it.
pub(super) const NEVER: &str = "-infinity";

impl Placed<Key> for User {
    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    fn key(&self, by: Key) -> String {
        match by {
            Key::Clear(ClearKey::Id) => self.id.to_string(),
            Key::Clear(ClearKey::CreatedAt) => text(self.created_at),
            Key::Clear(ClearKey::LastLogin) => self.last_login.map_or_else(|| String::from(NEVER), text),
            Key::Personal(PersonalKey::Username) => self.username.expose().to_owned(),
            Key::Personal(PersonalKey::Email) => {
                self.email.as_ref().map(|email| email.expose().to_owned()).unwrap_or_default()
            }
        }
    }
}
