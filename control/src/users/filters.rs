//! What can be asked of the list of users, and how that becomes SQL.
//!
//! A search reads every name of the tenant, all else is found by index: docs/decisions/0008.

use chrono::{DateTime, Utc};
use shared::identifiers::Identifier;
use shared::ids::{self, TenantId};
use shared::user::UserStatus;
use sqlx::{Postgres, QueryBuilder};
use utoipa::IntoParams;
use uuid::Uuid;

use super::input::STATUSES;
use super::model::{User, UserError};
use super::out::StatusWord;
use super::store::{find_by_name, select};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::body::FromFields;
use crate::http::fields::{Fields, OfDay};
use crate::http::list::List;
use crate::http::rows::{self, Column, Count, Order, Placed, Rows, plan_by_values};
use crate::http::time::text;

/// The filters of the list of users; what is absent narrows nothing.
#[derive(Clone, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// Their status.
    #[param(value_type = Option<StatusWord>)]
    pub status: Option<UserStatus>,
    /// Whether that is `active`.
    pub is_active: Option<bool>,
    /// A role that they have.
    pub role: Option<String>,
    /// The branch that they belong to.
    pub branch: Option<Uuid>,
    /// Their user name, in any spelling of it.
    pub username: Option<String>,
    /// Their address, in any spelling of it.
    pub email: Option<String>,
    /// Whether the address was verified.
    pub email_verified: Option<bool>,
    /// Their id at the service that the tenant came from.
    pub legacy_id: Option<String>,
    /// Made then or later; a date alone is its first moment.
    pub created_after: Option<DateTime<Utc>>,
    /// Made then or earlier; a date alone is its last moment.
    pub created_before: Option<DateTime<Utc>>,
    /// Words, each of which is a part of their user name, address, first or last name.
    #[param(value_type = Option<String>)]
    pub search: Vec<String>,
}

/// What users can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Their id.
    Id,
    /// User name.
    Username,
    /// Address; those without one first.
    Email,
    /// When they were made.
    CreatedAt,
    /// Their last sign-in; those without one first.
    LastLogin,
}

/// The names of the time at which a user was made: in other lists, and in answers.
const AFTER: [&str; 3] = ["created_after", "created_at_after", "date_joined_after"];
const BEFORE: [&str; 3] = ["created_before", "created_at_before", "date_joined_before"];

/// The names that follow from what answers call it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct DateJoined {
    /// As `created_after`.
    date_joined_after: Option<DateTime<Utc>>,
    /// As `created_before`.
    date_joined_before: Option<DateTime<Utc>>,
}

impl FromFields for Filters {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            status: fields.choice("status", &STATUSES),
            is_active: fields.boolean("is_active"),
            role: fields.text("role"),
            branch: fields.uuid("branch"),
            username: fields.text("username"),
            email: fields.text("email"),
            email_verified: fields.boolean("email_verified"),
            legacy_id: fields.text("legacy_id"),
            created_after: fields.by_any_name(&AFTER, |fields, name| fields.moment(name, OfDay::Begin)),
            created_before: fields.by_any_name(&BEFORE, |fields, name| fields.moment(name, OfDay::End)),
            search: fields.words("search"),
        })
    }
}

impl List for Filters {
    type Key = Key;
    const ORDERINGS: &'static [(&'static str, Key)] = &[
        ("id", Key::Id),
        ("username", Key::Username),
        ("email", Key::Email),
        ("created_at", Key::CreatedAt),
        ("date_joined", Key::CreatedAt),
        ("last_login", Key::LastLogin),
    ];
    const DEFAULT: Order<Key> = Order { by: Key::CreatedAt, descending: false };
}

/// The users whom filters mean, in terms of their rows.
#[derive(Clone, Default)]
pub struct Matching {
    filters: Filters,
    /// The only ones that can be meant, where that is known.
    among: Option<Vec<Uuid>>,
}

impl Matching {
    /// Finds whom a user name or an address means by the keyed hash of its canonical form: there is no
    /// other index of either, and no other notion of which spellings are the same.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(tx: &mut TenantTx, filters: Filters) -> Result<Self, Failure> {
        let mut among = None;
        if let Some(username) = &filters.username {
            among = Some(named(tx, username, |user| Some(user.username.expose())).await?);
        }
        if let Some(email) = &filters.email {
            let found = named(tx, email, |user| user.email.as_ref().map(|email| email.expose()));
            let found = found.await?;
            among = Some(match among {
                None => found,
                Some(among) => among.into_iter().filter(|id| found.contains(id)).collect(),
            });
        }
        if filters.branch.is_some() {
            // Nobody is in a branch yet.
            among = Some(Vec::new());
        }
        Ok(Self { filters, among })
    }
}

/// Whose `field` is `text`, in whichever spelling: nobody or one. User names and addresses share one
/// namespace, so who is found may have the text in the other field.
async fn named(
    tx: &mut TenantTx,
    text: &str,
    field: impl for<'u> Fn(&'u User) -> Option<&'u str>,
) -> Result<Vec<Uuid>, Failure> {
    let user = match find_by_name(tx, text).await {
        Ok(user) => user,
        Err(UserError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(Vec::new()),
    };
    let same = |a: &str, b: &str| match (Identifier::parse(a), Identifier::parse(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    let meant = field(&user).is_some_and(|stored| same(stored, text));
    Ok(if meant { vec![user.id.uuid()] } else { Vec::new() })
}

impl Column for Key {
    fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::Id => ("u.id", "uuid"),
            Self::Username => ("u.username", "text"),
            Self::Email => ("coalesce(u.email, '')", "text"),
            Self::CreatedAt => ("u.created_at", "timestamptz"),
            Self::LastLogin => ("coalesce(u.last_login, '-infinity')", "timestamptz"),
        }
    }
}

impl Placed<Key> for User {
    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    fn key(&self, by: Key) -> String {
        match by {
            Key::Id => self.id.to_string(),
            Key::Username => self.username.expose().to_owned(),
            Key::Email => self.email.as_ref().map(|email| email.expose().to_owned()).unwrap_or_default(),
            Key::CreatedAt => text(self.created_at),
            Key::LastLogin => self.last_login.map_or_else(|| String::from("-infinity"), text),
        }
    }
}

/// ` from users` with the conditions of the filters.
fn from(sql: &mut QueryBuilder<Postgres>, tenant: TenantId, matching: &Matching) {
    let Matching { filters, among } = matching;
    sql.push(" from users u\nwhere u.tenant_id = ").push_bind(tenant.uuid());
    if let Some(among) = among {
        sql.push("\nand u.id = any (").push_bind(among.clone()).push(")");
    }
    if let Some(status) = filters.status {
        sql.push("\nand u.status = ").push_bind(status.as_str());
    }
    if let Some(is_active) = filters.is_active {
        sql.push("\nand (u.status = 'active') = ").push_bind(is_active);
    }
    if let Some(role) = &filters.role {
        sql.push(
            "\nand exists (
                select from user_roles ur
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id and ur.role = ",
        );
        sql.push_bind(role.clone()).push(")");
    }
    if let Some(verified) = filters.email_verified {
        sql.push("\nand u.email_verified = ").push_bind(verified);
    }
    if let Some(id) = &filters.legacy_id {
        sql.push("\nand u.legacy_id = any (").push_bind(spellings(id)).push(")");
    }
    if let Some(after) = filters.created_after {
        sql.push("\nand u.created_at >= ").push_bind(after);
    }
    if let Some(before) = filters.created_before {
        sql.push("\nand u.created_at <= ").push_bind(before);
    }
    for word in &filters.search {
        sql.push("\nand strpos(u.search, ").push_bind(word.clone()).push(") > 0");
    }
}

/// How the legacy service may have written an id: a UUID, hyphenated or not.
fn spellings(id: &str) -> Vec<String> {
    let mut spellings = vec![id.to_owned()];
    if let Ok(uuid) = ids::uuid(id) {
        spellings.extend([uuid.hyphenated().to_string(), uuid.simple().to_string()]);
    }
    spellings
}

/// How many users match; `all` counts them, however many.
///
/// # Errors
/// The database's.
pub async fn count(tx: &mut TenantTx, matching: &Matching, all: bool) -> Result<Count, Failure> {
    let tenant = tx.tenant();
    plan_by_values(tx).await?;
    rows::count(tx, all, |sql| from(sql, tenant, matching)).await
}

/// Some of the users who match.
///
/// # Errors
/// The database's.
pub async fn list(tx: &mut TenantTx, matching: &Matching, rows: &Rows<Key>) -> Result<Vec<User>, Failure> {
    let mut sql = QueryBuilder::new("select u.id");
    from(&mut sql, tx.tenant(), matching);
    rows.end(&mut sql, "u.id");
    plan_by_values(tx).await?;
    let ids: Vec<Uuid> = sql.build_query_scalar().fetch_all(&mut **tx).await?;
    select(tx, &ids).await
}

/// The first users in the order in which they were made, for whoever pages by number.
#[must_use]
pub fn in_order(limit: i64, offset: i64) -> Rows<Key> {
    Rows { order: vec![Filters::DEFAULT], after: None, limit, offset }
}
