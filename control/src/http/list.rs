//! What can be asked of a list: filters, orderings, and a place in it, by page or by cursor.
//!
//! A list is described once, by the type of its filters, which implements [`List`]; the handler gets an
//! [`ListQuery`] of it, counts, finds the [`Part`] and answers by its [`Span`]. `crate::audit::routes` is the
//! shortest list that grows, `crate::users::filters` one with everything; whatever needs no filter is
//! [`Unfiltered`].
//!
//! What the type does not read is no filter of the list, and a 400: a filter that is silently passed
//! over shows more than was asked for. A parameter that was left blank is as if it were not there, and what
//! clients and browsers add by themselves is understood. How rows are ordered in SQL is said in
//! [`super::rows`].

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::contract::refusal::Refusal;

use super::answer::{Refused, ok};
use super::body::FromFields;
use super::cursor::{Cursor, CursorKey};
use super::fields::Fields;
use super::gate::public_path;
use super::origin::Origin;
use super::page::{ListOut, PageOf};
use super::rows::{Count, Order, Placed, Rows, position};
use crate::db::TenantTx;

/// Cache-busting parameters of jQuery (`cache: false`) and Ext JS. They are ignored, left out of links, and not bound
/// to cursors, because they differ in each request.
const CACHE_BUSTERS: [&str; 2] = ["_", "_dc"];

/// A list, described by its filters.
pub trait List: FromFields + Send {
    /// The fields that rows can be ordered by.
    type Key: Copy + PartialEq + Send + Sync + 'static;
    /// The names of the orderings. `id` is one that no two rows share.
    const ORDERINGS: &'static [(&'static str, Self::Key)];
    /// The order without `ordering`.
    const DEFAULT: Order<Self::Key>;
    /// Whether `cursor` is taken in place of `page`: for lists that grow.
    const CURSORS: bool = true;
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

/// The parsed query of a list.
pub struct ListQuery<L: List> {
    /// The filters.
    pub filters: L,
    /// The page.
    pub part: Part<L::Key>,
}

/// The page of a list.
pub struct Part<K> {
    order: Vec<Order<K>>,
    /// By number: what counts where there is no cursor.
    page: PageOf,
    cursor: Option<String>,
    /// The path, which cursors are bound to with the query.
    path: String,
}

/// A part that has been found in a list of known length.
pub struct Span<K> {
    /// The rows that it needs.
    pub rows: Rows<K>,
    /// In the list's own direction.
    order: Vec<Order<K>>,
    count: Count,
    page: PageOf,
    /// Where a cursor was asked for: what seals the next ones, and whether this one goes back.
    cursor: Option<(CursorKey, bool)>,
}

impl<K: Copy> Part<K> {
    /// In which order.
    #[must_use]
    pub fn order(&self) -> &[Order<K>] {
        &self.order
    }

    /// Binds the page's cursors to the caller's view, because a cursor reveals the position of a row.
    #[must_use]
    pub fn seen_as(mut self, shown: &str) -> Self {
        // No path has a fragment.
        self.path = format!("{}#{shown}", self.path);
        self
    }

    /// Whether nothing but an exact count of the list will do.
    #[must_use]
    pub fn counts_all(&self) -> bool {
        self.page.counts_all()
    }

    /// Finds the part in a list of `count` rows.
    ///
    /// # Errors
    /// 404 for a page that such a list does not have, and for a cursor that is not one of it.
    pub async fn of(self, tx: &mut TenantTx, count: Count) -> Result<Span<K>, Refused> {
        let Self { order, page, cursor, path } = self;
        let Some(text) = cursor else {
            let (offset, limit) = page.span(count)?;
            let rows = Rows { order: order.clone(), after: None, limit, offset };
            return Ok(Span { rows, order, count, page, cursor: None });
        };
        let query = form_urlencoded::Serializer::new(path + "?").extend_pairs(&page.links.others).finish();
        let cursor_key = CursorKey::of(tx, query).await?;
        // A blank one begins.
        let (after, back) = match text.as_str() {
            "" => (None, false),
            text => cursor_key.open(text, order.len()).map(|Cursor { from, back }| (Some(from), back))?,
        };
        let turned = order.iter().map(|order| Order { descending: order.descending != back, ..*order });
        // One additional row shows whether there is another page.
        let rows = Rows { order: turned.collect(), after, limit: page.limit() + 1, offset: 0 };
        Ok(Span { rows, order, count, page, cursor: Some((cursor_key, back)) })
    }

    /// The answer with this page of a list that is completely in memory.
    ///
    /// # Errors
    /// As [`Part::of`].
    pub fn of_all<T: Serialize>(&self, all: Vec<T>) -> Result<Response, Refused> {
        let count = Count::Exact(i64::try_from(all.len()).unwrap_or(i64::MAX));
        let (offset, limit) = self.page.span(count)?;
        let [offset, limit] = [offset, limit].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        self.page.answer(count, all.into_iter().skip(offset).take(limit).map(Some).collect())
    }
}

impl<K: Copy> Span<K> {
    /// The answer with the rows that the span needs.
    ///
    /// # Errors
    /// As [`Part::of`].
    pub fn answer<R: Placed<K>, T: Serialize>(
        self,
        rows: Vec<R>,
        out: impl Fn(R) -> T,
    ) -> Result<Response, Refused> {
        self.answer_some(rows, |row| Some(out(row)))
    }

    /// The same if a row may turn out not to match. It is left out of the answer, but counts for the links: so a page
    /// may have fewer rows than its size, or none, although another one follows.
    ///
    /// # Errors
    /// As [`Part::of`].
    pub fn answer_some<R: Placed<K>, T: Serialize>(
        self,
        mut rows: Vec<R>,
        out: impl Fn(R) -> Option<T>,
    ) -> Result<Response, Refused> {
        let Some((cursor_key, back)) = &self.cursor else {
            return self.page.answer(self.count, rows.into_iter().map(out).collect());
        };
        let size = usize::try_from(self.page.limit()).unwrap_or_default();
        let beyond = rows.len() > size;
        rows.truncate(size);
        if *back {
            rows.reverse();
        }
        let link = |row: Option<&R>, back| -> Result<Option<String>, Refused> {
            // All rows may have gone meanwhile: then the way back is from where this page would be.
            let from = row.map(|row| position(row, &self.order)).or_else(|| self.rows.after.clone());
            let Some(from) = from else { return Ok(None) };
            Ok(Some(self.page.links.to(Some(("cursor", cursor_key.seal(&Cursor { from, back })?)))))
        };
        let next = if beyond || *back { link(rows.last(), false)? } else { None };
        let began_within = self.rows.after.is_some() && !back;
        let previous = if began_within || beyond && *back { link(rows.first(), true)? } else { None };
        let results = rows.into_iter().filter_map(out).collect();
        Ok(ok(&ListOut::new(self.count, next, previous, results)))
    }
}

/// Reads a query; everything that is wrong with it is said at once.
fn read<L: List>(query: &str, url: String, path: &str) -> Result<ListQuery<L>, Refusal> {
    let mut others: BTreeMap<String, String> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let begins_cursor = L::CURSORS && others.get("cursor").is_some_and(|text| text.trim().is_empty());
    // A form sends what was left blank, too.
    others.retain(|name, value| !CACHE_BUSTERS.contains(&name.as_str()) && !value.trim().is_empty());
    let page = others.remove("page");
    let given = if L::CURSORS { others.remove("cursor") } else { None };
    // A blank cursor is the first one, unless there is a page.
    let cursor = given.or_else(|| (begins_cursor && page.is_none()).then(String::new));
    let asked: Map<_, _> =
        others.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let mut fields = Fields::new(asked);
    // Whatever it says: what is no size is the usual one.
    fields.text("page_size");
    fields.choice("count", &[("exact", ())]);
    format(&mut fields);
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
            Ok(ListQuery { filters, part: Part { order, page, cursor, path: path.to_owned() } })
        }
        _ => Err(Refusal::fields(fields.into_faults())),
    }
}

/// The filters and the order of a list.
pub type Given<L> = (L, Vec<Order<<L as List>::Key>>);

/// Fields and their messages.
pub type Faults = Vec<(String, Vec<String>)>;

/// Filters and order that were given otherwise than by a query, as on the command line.
///
/// # Errors
/// Everything that is wrong with them, by field.
pub fn given<L: List>(given: Map<String, Value>) -> Result<Given<L>, Faults> {
    let mut fields = Fields::new(given);
    let order = ordering::<L>(&mut fields);
    match L::read(&mut fields) {
        Some(filters) if fields.faults().is_empty() => Ok((filters, order)),
        _ => Err(fields.into_faults()),
    }
}

/// REST framework's parameter for the format of the answer (`URL_FORMAT_OVERRIDE`); only JSON is supported.
fn format(fields: &mut Fields) {
    if let Some(text) = fields.text("format").filter(|text| !text.eq_ignore_ascii_case("json")) {
        fields.fault("format", format!("\"{text}\" is not a valid choice."));
    }
}

/// `ordering=field,-other`. A field that has counted counts no more, and nothing counts after the id.
fn ordering<L: List>(fields: &mut Fields) -> Vec<Order<L::Key>> {
    let text = fields.text("ordering").unwrap_or_default();
    let mut order: Vec<Order<L::Key>> = Vec::new();
    let mut is_total = false;
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let name = word.strip_prefix('-').unwrap_or(word);
        match L::ORDERINGS.iter().find(|(known, _)| *known == name) {
            None => fields.fault("ordering", format!("\"{word}\" is not a valid choice.")),
            Some((_, by)) if is_total || order.iter().any(|order| order.by == *by) => {}
            Some((name, by)) => {
                order.push(Order { by: *by, descending: word.starts_with('-') });
                is_total = *name == "id";
            }
        }
    }
    if order.is_empty() {
        order.push(L::DEFAULT);
    }
    order
}

impl<L: List, S: Send + Sync> FromRequestParts<S> for ListQuery<L> {
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
        const ORDERINGS: &'static [(&'static str, u8)] = &[("id", 0), ("name", 1), ("alias", 1), ("kind", 2)];
        const DEFAULT: Order<u8> = Order { by: 0, descending: false };
    }

    fn asked(query: &str) -> Result<ListQuery<Things>, Value> {
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
        assert!(read::<Unfiltered>("cursor=x", String::new(), "").is_err(), "not every list has cursors");
        assert!(read::<Unfiltered>("cursor=", String::new(), "").is_ok(), "blank is absent");
    }

    fn order(query: &str) -> Vec<(u8, bool)> {
        let order = asked(query).ok().unwrap().part.order;
        order.into_iter().map(|order| (order.by, order.descending)).collect()
    }

    #[test]
    fn orderings_and_blanks() {
        for (query, expected) in [
            ("", vec![(0, false)]),
            ("ordering=&big=", vec![(0, false)]),
            ("ordering=%20,", vec![(0, false)]),
            ("ordering=name", vec![(1, false)]),
            ("ordering=-name&big=true", vec![(1, true)]),
            ("ordering=-name,%20kind", vec![(1, true), (2, false)]),
            ("ordering=kind,alias,-name", vec![(2, false), (1, false)]),
            ("ordering=kind,-id,name", vec![(2, false), (0, true)]),
        ] {
            assert_eq!(order(query), expected, "{query}");
        }
        let refused = asked("ordering=-,--name,name").err().unwrap();
        let said = ["\"-\" is not a valid choice.", "\"--name\" is not a valid choice."];
        assert_eq!(refused, serde_json::json!({ "ordering": said }));
    }

    #[test]
    fn what_clients_add_by_themselves_asks_for_nothing() {
        let others =
            |query: &str| asked(query).ok().unwrap().part.page.links.others.into_iter().collect::<Vec<_>>();
        assert!(others("_=1700000000&_dc=2&page=&page_size=+&big=&unknown=&ordering=&cursor=").is_empty());
        assert_eq!(others("format=json&_=1"), [("format".into(), "json".into())]);
        let cursor = |query: &str| asked(query).ok().unwrap().part.cursor;
        assert_eq!(cursor("cursor=&page="), Some(String::new()));
        assert_eq!(cursor("cursor=&page=2"), None);
        assert_eq!(cursor("cursor=x&page="), Some("x".into()));
        assert_eq!(asked("format=xml&count=1").err().unwrap()["count"][0], "\"1\" is not a valid choice.");
    }
}
