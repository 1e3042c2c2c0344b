//! What can be asked of the list of users, and how that becomes SQL.
//!
//! A search reads every name of the tenant, all else is found by index: docs/decisions/0008.

use chrono::{DateTime, Utc};
use shared::identifiers::Identifier;
use shared::user::UserStatus;
use sqlx::PgConnection;
use utoipa::IntoParams;
use uuid::Uuid;

use super::input::STATUSES;
use super::model::{User, UserError};
use super::out::StatusWord;
use super::store::{find_by_name, select};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::body::FromFields;
use crate::http::cursor::Position;
use crate::http::fields::{Fields, OfDay};
use crate::http::list::{List, Order, Rows};
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
            created_after: fields.moment("created_after", OfDay::Begin),
            created_before: fields.moment("created_before", OfDay::End),
            search: search(fields),
        })
    }
}

/// Each word costs a pass over every name.
const WORDS: usize = 16;

fn search(fields: &mut Fields) -> Vec<String> {
    let words = words(&fields.text("search").unwrap_or_default());
    if words.len() > WORDS {
        fields.fault("search", format!("Enter no more than {WORDS} words."));
    }
    words
}

/// Divided at blanks and commas, as the legacy service did.
fn words(search: &str) -> Vec<String> {
    let words = search.split(|c: char| c.is_whitespace() || c == ',');
    words.filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

impl List for Filters {
    type Key = Key;
    const ORDERINGS: &'static [(&'static str, Key)] = &[
        ("id", Key::Id),
        ("username", Key::Username),
        ("email", Key::Email),
        ("created_at", Key::CreatedAt),
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
    pub async fn of(control: &Control, tx: &mut TenantTx, filters: Filters) -> Result<Self, Failure> {
        let mut among = None;
        if let Some(username) = &filters.username {
            among = Some(named(control, tx, username, |user| Some(user.username.expose())).await?);
        }
        if let Some(email) = &filters.email {
            let found = named(control, tx, email, |user| user.email.as_ref().map(|email| email.expose()));
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
    control: &Control,
    tx: &mut TenantTx,
    text: &str,
    field: impl for<'u> Fn(&'u User) -> Option<&'u str>,
) -> Result<Vec<Uuid>, Failure> {
    let user = match find_by_name(control, tx, text).await {
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

/// A statement over the users that match. Fields are joined by a line feed, which is in no word.
macro_rules! matching {
    ($tx:expr, $matching:expr, $select:literal, $($rest:literal)+ $(, $value:expr)*) => {
        sqlx::query_scalar!(
            $select + " from users u
            where u.tenant_id = $1
                and ($2::uuid[] is null or u.id = any ($2))
                and ($3::text is null or u.status = $3)
                and ($4::boolean is null or (u.status = 'active') = $4)
                and ($5::text is null or exists (
                    select from user_roles ur
                    where ur.tenant_id = u.tenant_id and ur.user_id = u.id and ur.role = $5
                ))
                and ($6::boolean is null or u.email_verified = $6)
                and ($7::timestamptz is null or u.created_at >= $7)
                and ($8::timestamptz is null or u.created_at <= $8)
                and (cardinality($9::text[]) = 0 or not exists (
                    select from unnest(array(select lower(word) from unnest($9) w (word))) w (word)
                    where strpos(
                        lower(concat_ws(E'\\n', u.username, u.email, u.first_name, u.last_name)), w.word
                    ) = 0
                ))" $(+ $rest)+,
            $tx.tenant().uuid(),
            $matching.among.as_deref(),
            $matching.filters.status.map(UserStatus::as_str),
            $matching.filters.is_active,
            $matching.filters.role.as_deref(),
            $matching.filters.email_verified,
            $matching.filters.created_after,
            $matching.filters.created_before,
            &$matching.filters.search,
            $($value),*
        )
    };
}

/// One page in one order, read from either end.
macro_rules! ordered {
    ($tx:expr, $matching:expr, $rows:expr, $key:literal, $type:literal) => {{
        let (key, id) = $rows.after();
        if $rows.order.descending {
            matching!(
                $tx, $matching, "select u.id",
                " and ($10::text is null or (" $key ", u.id) < ($10::text::" $type ", $11))
                order by " $key " desc, u.id desc limit $12 offset $13",
                key, id, $rows.limit, $rows.offset
            )
            .fetch_all(&mut **$tx)
            .await?
        } else {
            matching!(
                $tx, $matching, "select u.id",
                " and ($10::text is null or (" $key ", u.id) > ($10::text::" $type ", $11))
                order by " $key ", u.id limit $12 offset $13",
                key, id, $rows.limit, $rows.offset
            )
            .fetch_all(&mut **$tx)
            .await?
        }
    }};
}

/// How many users match.
///
/// # Errors
/// The database's.
pub async fn count(tx: &mut TenantTx, matching: &Matching) -> Result<i64, Failure> {
    plan_by_values(tx).await?;
    let count = matching!(tx, matching, r#"select count(*) as "count!""#, "");
    Ok(count.fetch_one(&mut **tx).await?)
}

/// Some of the users who match.
///
/// # Errors
/// The database's.
pub async fn list(tx: &mut TenantTx, matching: &Matching, rows: &Rows<Key>) -> Result<Vec<User>, Failure> {
    plan_by_values(tx).await?;
    let ids = match rows.order.by {
        Key::Id => ordered!(tx, matching, rows, "u.id", "uuid"),
        Key::Username => ordered!(tx, matching, rows, "u.username", "text"),
        Key::Email => ordered!(tx, matching, rows, "coalesce(u.email, '')", "text"),
        Key::CreatedAt => ordered!(tx, matching, rows, "u.created_at", "timestamptz"),
        Key::LastLogin => ordered!(tx, matching, rows, "coalesce(u.last_login, '-infinity')", "timestamptz"),
    };
    select(tx, &ids).await
}

/// A plan that fits every filter fits none of them: each of these statements is planned for its values.
async fn plan_by_values(connection: &mut PgConnection) -> Result<(), Failure> {
    sqlx::raw_sql("set local plan_cache_mode = force_custom_plan").execute(connection).await?;
    Ok(())
}

/// Where a user stands in a list.
#[must_use]
pub fn position(user: &User, by: Key) -> Position {
    let key = match by {
        Key::Id => user.id.to_string(),
        Key::Username => user.username.expose().to_owned(),
        Key::Email => user.email.as_ref().map(|email| email.expose().to_owned()).unwrap_or_default(),
        Key::CreatedAt => text(user.created_at),
        Key::LastLogin => user.last_login.map_or_else(|| String::from("-infinity"), text),
    };
    Position { key, id: user.id.uuid() }
}

/// The first users in the order in which they were made, for whoever pages by number.
#[must_use]
pub fn in_order(limit: i64, offset: i64) -> Rows<Key> {
    Rows { order: Filters::DEFAULT, after: None, limit, offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_divided_into_words() {
        assert_eq!(words(" ada,  lovelace\tx "), ["ada", "lovelace", "x"]);
        assert!(words(" , ").is_empty());
    }
}
