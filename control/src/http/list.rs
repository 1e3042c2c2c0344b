//! What can be asked of a list: filters, one ordering, and a place in it, by page or by cursor.
//!
//! A list is described once, by the type of its filters, which implements [`List`]; the handler gets an
//! [`Asked`] of it, finds the [`Part`] and answers by its [`Span`]. `crate::audit::routes` is the shortest
//! list that grows, `crate::users::filters` one with everything; whatever needs no filter is [`Unfiltered`].
//!
//! What the type does not read is no filter of the list, and a 400: a filter that is silently passed
//! over shows more than was asked for. How rows are ordered in SQL is the slice's: [`Rows`] says which.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::contract::refusal::Refusal;

use super::answer::{Refused, ok};
use super::body::FromFields;
use super::cursor::{Cursor, Position, Signer};
use super::fields::Fields;
use super::gate::public_path;
use super::origin::Origin;
use super::page::{ListOut, PageOf};
use crate::control::Control;
use crate::db::TenantTx;

/// A list, described by its filters.
pub trait List: FromFields + Send {
    /// What rows can be ordered by; equal ones come in the order of their ids.
    type Key: Copy + Send + Sync + 'static;
    /// The names of the orderings.
    const ORDERINGS: &'static [(&'static str, Self::Key)];
    /// The order that nobody asked for.
    const DEFAULT: Order<Self::Key>;
    /// Whether `cursor` is taken in place of `page`: for lists that grow.
    const CURSORS: bool = true;
}

/// An order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<K> {
    /// The value that counts first.
    pub by: K,
    /// Greatest first.
    pub descending: bool,
}

/// A list without filters, in one order.
pub struct Unfiltered;

impl FromFields for Unfiltered {
    fn read(_: &mut Fields) -> Option<Self> {
        Some(Self)
    }
}

impl List for Unfiltered {
    type Key = ();
    const ORDERINGS: &'static [(&'static str, ())] = &[];
    const DEFAULT: Order<()> = Order { by: (), descending: false };
    const CURSORS: bool = false;
}

/// What was asked of a list.
pub struct Asked<L: List> {
    /// Which rows.
    pub filters: L,
    /// Which part of them.
    pub part: Part<L::Key>,
}

/// Which part of a list.
pub struct Part<K> {
    order: Order<K>,
    /// By number: what counts where there is no cursor.
    pub page: PageOf,
    cursor: Option<String>,
    /// The path, which cursors are bound to with the query.
    path: String,
}

/// Which rows, for SQL: those that come after one in this order, `limit` of them.
#[derive(Clone, Debug)]
pub struct Rows<K> {
    /// The order; against the list's own where a cursor goes back.
    pub order: Order<K>,
    /// The row to go on from.
    pub after: Option<Position>,
    /// Most rows.
    pub limit: i64,
    /// Rows to pass over.
    pub offset: i64,
}

impl<K> Rows<K> {
    /// The value and the id of the row to go on from.
    #[must_use]
    pub fn after(&self) -> (Option<&str>, Option<uuid::Uuid>) {
        let after = self.after.as_ref();
        (after.map(|position| position.key.as_str()), after.map(|position| position.id))
    }
}

/// A part that has been found in a list of known length.
pub struct Span<K> {
    /// Which rows it needs.
    pub rows: Rows<K>,
    by: K,
    page: PageOf,
    /// Where a cursor was asked for: what signs the next ones, and whether this one goes back.
    cursor: Option<(Signer, bool)>,
}

impl<K: Copy> Part<K> {
    /// Finds the part in a list of `count` rows.
    ///
    /// # Errors
    /// 404 for a page that such a list does not have, and for a cursor that is not one of it.
    pub async fn of(self, control: &Control, tx: &mut TenantTx, count: i64) -> Result<Span<K>, Refused> {
        let Self { order, page, cursor, path } = self;
        let (limit, by) = (page.limit(), order.by);
        let Some(text) = cursor else {
            let rows = Rows { order, after: None, limit, offset: page.offset(count)? };
            return Ok(Span { rows, by, page, cursor: None });
        };
        let query = form_urlencoded::Serializer::new(path + "?").extend_pairs(&page.links.others).finish();
        let signer = Signer::of(control, tx, query).await?;
        // A blank one begins.
        let (after, back) = match text.as_str() {
            "" => (None, false),
            text => signer.open(text).map(|Cursor { from, back }| (Some(from), back))?,
        };
        let order = Order { descending: order.descending != back, ..order };
        // One row more tells whether there is a page beyond.
        let rows = Rows { order, after, limit: limit + 1, offset: 0 };
        Ok(Span { rows, by, page, cursor: Some((signer, back)) })
    }
}

impl<K: Copy> Span<K> {
    /// The answer with these rows of a list of `count`. `position` says where a row stands.
    ///
    /// # Errors
    /// As [`Part::of`].
    pub fn answer<R, T: Serialize>(
        self,
        count: i64,
        mut rows: Vec<R>,
        position: impl Fn(&R, K) -> Position,
        out: impl Fn(R) -> T,
    ) -> Result<Response, Refused> {
        let Some((signer, back)) = &self.cursor else {
            return self.page.answer(count, rows.into_iter().map(out).collect());
        };
        let size = usize::try_from(self.page.limit()).unwrap_or_default();
        let beyond = rows.len() > size;
        rows.truncate(size);
        if *back {
            rows.reverse();
        }
        let link = |row: Option<&R>, back| -> Result<Option<String>, Refused> {
            // All rows may have gone meanwhile: then the way back is from where this page would be.
            let from = row.map(|row| position(row, self.by)).or_else(|| self.rows.after.clone());
            let Some(from) = from else { return Ok(None) };
            Ok(Some(self.page.links.to(Some(("cursor", signer.sign(&Cursor { from, back })?)))))
        };
        let next = if beyond || *back { link(rows.last(), false)? } else { None };
        let began_within = self.rows.after.is_some() && !back;
        let previous = if began_within || beyond && *back { link(rows.first(), true)? } else { None };
        let results = rows.into_iter().map(out).collect();
        Ok(ok(&ListOut { count, next, previous, results }))
    }
}

/// Reads a query; everything that is wrong with it is said at once.
fn read<L: List>(query: &str, url: String, path: &str) -> Result<Asked<L>, Refusal> {
    let mut others: BTreeMap<String, String> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let page = others.remove("page");
    let cursor = if L::CURSORS { others.remove("cursor") } else { None };
    // A form sends what was left blank, too.
    let given = others.iter().filter(|(_, value)| !value.is_empty());
    let given: Map<_, _> = given.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let mut fields = Fields::new(given);
    // Whatever it says: what is no size is the usual one.
    fields.text("page_size");
    let order = ordering::<L>(&mut fields);
    let filters = L::read(&mut fields);
    for name in others.keys() {
        if !fields.knows(name) {
            fields.fault(name, "Unknown parameter.");
        }
    }
    if page.is_some() && cursor.is_some() {
        fields.fault("cursor", "Give either a page or a cursor.");
    }
    match filters {
        Some(filters) if fields.faults().is_empty() => {
            let page = PageOf::read(page.as_deref(), others, url)?;
            Ok(Asked { filters, part: Part { order, page, cursor, path: path.to_owned() } })
        }
        _ => Err(Refusal::fields(fields.into_faults())),
    }
}

/// `ordering=field` or `ordering=-field`.
fn ordering<L: List>(fields: &mut Fields) -> Order<L::Key> {
    let Some(text) = fields.text("ordering") else { return L::DEFAULT };
    let name = text.strip_prefix('-').unwrap_or(&text);
    match L::ORDERINGS.iter().find(|(known, _)| *known == name) {
        Some((_, by)) => Order { by: *by, descending: text.starts_with('-') },
        None => {
            fields.fault("ordering", format!("\"{text}\" is not a valid choice."));
            L::DEFAULT
        }
    }
}

impl<L: List, S: Send + Sync> FromRequestParts<S> for Asked<L> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let base = parts.extensions.get::<Origin>().map(|origin| origin.base.clone()).unwrap_or_default();
        let url = format!("{base}{}", public_path(&parts.extensions));
        Ok(read(parts.uri.query().unwrap_or_default(), url, parts.uri.path())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Things;

    impl FromFields for Things {
        fn read(fields: &mut Fields) -> Option<Self> {
            fields.boolean("big");
            Some(Self)
        }
    }

    impl List for Things {
        type Key = u8;
        const ORDERINGS: &'static [(&'static str, u8)] = &[("id", 0), ("name", 1)];
        const DEFAULT: Order<u8> = Order { by: 0, descending: false };
    }

    fn asked(query: &str) -> Result<Asked<Things>, Value> {
        read(query, String::new(), "/things").map_err(|refusal| refusal.body)
    }

    #[test]
    fn what_is_not_on_the_list_is_said_at_once() {
        let refused = asked("big=maybe&small=1&ordering=-size&page_size=5&page=1&cursor=x").err().unwrap();
        assert_eq!(
            refused,
            serde_json::json!({
                "big": ["Must be a valid boolean."],
                "small": ["Unknown parameter."],
                "ordering": ["\"-size\" is not a valid choice."],
                "cursor": ["Give either a page or a cursor."],
            })
        );
        assert!(read::<Unfiltered>("cursor=", String::new(), "").is_err(), "not every list has cursors");
    }

    #[test]
    fn orderings_and_blanks() {
        for (query, by, descending) in [
            ("", 0, false),
            ("ordering=&big=", 0, false),
            ("ordering=name", 1, false),
            ("ordering=-name&big=true", 1, true),
        ] {
            let order = asked(query).ok().unwrap().part.order;
            assert_eq!((order.by, order.descending), (by, descending), "{query}");
        }
    }
}
