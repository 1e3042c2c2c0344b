//! Orders by user name or address: made here after decryption, because SQL cannot read the names.
//!
//! Names are compared in their folded form, by code point; equal ones in their original form, then by id. Nothing is
//! kept between two pages: each page orders all users that match again, at most 10,000.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use shared::identifiers::folded;
use uuid::Uuid;

use super::filters::{ClearKey, Key, NEVER, PersonalKey};
use super::model::ListError;
use super::store::{Brief, briefs};
use crate::crypt::personal::Personal;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::cursor::Position;
use crate::http::rows::{Order, Rows};

/// The most users who are ordered in memory.
pub(super) const TO_ORDER: i64 = 10_000;

/// A value that users are ordered by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Id(Uuid),
    /// Absent first.
    Moment(Option<DateTime<Utc>>),
    /// Folded, then as typed. An absent address is empty.
    Text(String, String),
}

impl Value {
    fn text(text: &str) -> Self {
        Self::Text(folded(text), text.to_owned())
    }

    fn of(user: &Brief, by: Key) -> Self {
        match by {
            Key::Clear(ClearKey::Id) => Self::Id(user.id.uuid()),
            Key::Clear(ClearKey::CreatedAt) => Self::Moment(Some(user.created_at)),
            Key::Clear(ClearKey::LastLogin) => Self::Moment(user.last_login),
            Key::Personal(PersonalKey::Username) => Self::text(user.username.expose()),
            Key::Personal(PersonalKey::Email) => {
                Self::text(user.email.as_ref().map(Personal::expose).unwrap_or_default())
            }
        }
    }

    /// The value in a position, as [`Placed`](crate::http::rows::Placed) wrote it.
    fn parse(text: &str, by: Key) -> Option<Self> {
        let moment = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
        match by {
            Key::Clear(ClearKey::Id) => text.parse().ok().map(Self::Id),
            Key::Clear(ClearKey::LastLogin) if text == NEVER => Some(Self::Moment(None)),
            Key::Clear(ClearKey::CreatedAt | ClearKey::LastLogin) => {
                moment().map(|at| Self::Moment(Some(at)))
            }
            Key::Personal(_) => Some(Self::text(text)),
        }
    }
}

/// A user's place among others: a value for each order, then the id in the direction of the last.
type Place = (Vec<Value>, Uuid);

fn place(user: &Brief, order: &[Order<Key>]) -> Place {
    (order.iter().map(|order| Value::of(user, order.by)).collect(), user.id.uuid())
}

fn place_of(position: &Position, order: &[Order<Key>]) -> Result<Place, Failure> {
    let keys = position.keys.iter().zip(order).map(|(text, order)| Value::parse(text, order.by));
    let keys: Option<Vec<Value>> = keys.collect();
    Ok((keys.ok_or(Failure::Unreadable("cursor"))?, position.id))
}

fn compare(a: &Place, b: &Place, order: &[Order<Key>]) -> Ordering {
    let turned = |ordering: Ordering, descending| if descending { ordering.reverse() } else { ordering };
    let last = order.last().is_some_and(|order| order.descending);
    let values = a.0.iter().zip(&b.0).zip(order);
    let by_values = values.map(|((a, b), order)| turned(a.cmp(b), order.descending));
    by_values.fold(Ordering::Equal, Ordering::then).then_with(|| turned(a.1.cmp(&b.1), last))
}

/// The users of the page that `rows` selects, in its order.
///
/// # Errors
/// [`ListError::TooManyToOrder`], or errors of the database.
pub(super) async fn in_memory(
    tx: &mut TenantTx,
    ids: Vec<Uuid>,
    rows: &Rows<Key>,
) -> Result<Vec<Uuid>, ListError> {
    let order = &rows.order;
    if i64::try_from(ids.len()).is_ok_and(|many| many > TO_ORDER) {
        return Err(ListError::TooManyToOrder(names(order)));
    }
    let users = briefs(tx, &ids).await?;
    let mut places: Vec<Place> = users.iter().map(|user| place(user, order)).collect();
    places.sort_unstable_by(|a, b| compare(a, b, order));
    let begin = match &rows.after {
        None => 0,
        Some(position) => {
            let after = place_of(position, order)?;
            places.partition_point(|place| compare(place, &after, order) != Ordering::Greater)
        }
    };
    let [offset, limit] = [rows.offset, rows.limit].map(|number| usize::try_from(number).unwrap_or(0));
    let begin = begin.saturating_add(offset);
    Ok(places.into_iter().skip(begin).take(limit).map(|(_, id)| id).collect())
}

/// The orders that need memory, by name.
fn names(order: &[Order<Key>]) -> String {
    let names = order.iter().filter_map(|order| match order.by {
        Key::Personal(PersonalKey::Username) => Some("`username`"),
        Key::Personal(PersonalKey::Email) => Some("`email`"),
        Key::Clear(_) => None,
    });
    names.collect::<Vec<_>>().join(" or ")
}
