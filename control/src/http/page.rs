//! Pages by number, and the answer of every list: `{"count","next","previous","results"}`.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::Serialize;
use shared::contract::limits::{PAGE_SIZE, PAGE_SIZE_MAX};
use shared::contract::refusal::Refusal;
use utoipa::ToSchema;

use super::answer::{Refused, ok};
use super::rows::Count;

/// Which page was asked for, and how to link to its neighbours.
pub struct PageOf {
    asked: RequestedPage,
    pub(super) size: i64,
    pub(super) links: Links,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestedPage {
    Number(i64),
    Last,
}

/// Links to other parts of the same list.
pub(super) struct Links {
    /// Absolute, without the query.
    url: String,
    /// All parameters except the position in the list, sorted by name.
    pub others: BTreeMap<String, String>,
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
#[schema(as = Page)]
pub struct ListOut<T> {
    /// The number of objects in the whole list: exact up to 10,000, an estimate beyond, unless `count=exact`.
    pub(super) count: i64,
    /// Present, and true, if `count` is an estimate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(super) count_is_estimate: bool,
    /// URL of the next page.
    #[schema(required)]
    pub(super) next: Option<String>,
    /// URL of the previous page.
    #[schema(required)]
    pub(super) previous: Option<String>,
    pub(super) results: Vec<T>,
}

fn invalid_page() -> Refusal {
    Refusal::plain(404, "Invalid page.")
}

impl Links {
    /// Parameters sorted by name.
    pub fn to(&self, place: Option<(&str, String)>) -> String {
        let mut parameters = self.others.clone();
        parameters.extend(place.map(|(name, value)| (name.to_owned(), value)));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        if query.is_empty() { self.url.clone() } else { format!("{}?{query}", self.url) }
    }

    /// `page` is left out where it would be 1.
    fn to_page(&self, number: i64) -> String {
        self.to((number > 1).then(|| ("page", number.to_string())))
    }
}

impl<T> ListOut<T> {
    pub(super) fn new(count: Count, next: Option<String>, previous: Option<String>, results: Vec<T>) -> Self {
        let count_is_estimate = matches!(count, Count::Estimate(_));
        Self { count: count.number(), count_is_estimate, next, previous, results }
    }
}

impl PageOf {
    /// Most rows of the page.
    #[must_use]
    pub fn limit(&self) -> i64 {
        self.size
    }

    /// Whether nothing but an exact count will do.
    pub(super) fn counts_all(&self) -> bool {
        self.asked == RequestedPage::Last || self.links.others.contains_key("count")
    }

    /// The offset of the page in a list of `count`, and how many rows to read: if the count is an estimate, one
    /// additional row shows whether there is another page.
    ///
    /// # Errors
    /// 404 for a page that the list does not have.
    pub(super) fn span(&self, count: Count) -> Result<(i64, i64), Refused> {
        let offset = (self.number(count)? - 1).saturating_mul(self.size);
        Ok((offset, self.size + i64::from(matches!(count, Count::Estimate(_)))))
    }

    fn number(&self, count: Count) -> Result<i64, Refused> {
        // An empty list has one page, an empty one.
        let last = ((count.rows() + self.size - 1) / self.size).max(1);
        match (self.asked, count) {
            (RequestedPage::Last, _) => Ok(last),
            (RequestedPage::Number(number), Count::Exact(_) | Count::Opened { .. }) if number > last => {
                Err(invalid_page().into())
            }
            (RequestedPage::Number(number), _) => Ok(number),
        }
    }

    /// The answer with the rows of [`PageOf::span`]; `None` is a row that turned out not to be of the list.
    ///
    /// # Errors
    /// 404 for a page that the list does not have.
    pub(super) fn answer<T: Serialize>(
        &self,
        count: Count,
        mut rows: Vec<Option<T>>,
    ) -> Result<Response, Refused> {
        let number = self.number(count)?;
        let read = i64::try_from(rows.len()).unwrap_or(self.size);
        let (count, beyond) = match count {
            Count::Exact(rows) | Count::Opened { rows, .. } => {
                (count, number.saturating_mul(self.size) < rows)
            }
            Count::Estimate(_) if read == 0 && number > 1 => return Err(invalid_page().into()),
            Count::Estimate(about) => {
                let seen = (number - 1).saturating_mul(self.size) + read;
                (Count::Estimate(about.max(seen)), read > self.size)
            }
        };
        rows.truncate(usize::try_from(self.size).unwrap_or_default());
        let next = beyond.then(|| self.links.to_page(number + 1));
        let previous = (number > 1).then(|| self.links.to_page(number - 1));
        Ok(ok(&ListOut::new(count, next, previous, rows.into_iter().flatten().collect())))
    }

    /// Reads `page` and `page_size`; `others` goes into every link.
    pub(super) fn read(
        page: Option<&str>,
        others: BTreeMap<String, String>,
        url: String,
    ) -> Result<Self, Refusal> {
        let asked = match page {
            None => RequestedPage::Number(1),
            Some("last") => RequestedPage::Last,
            Some(text) => RequestedPage::Number(
                text.parse().ok().filter(|number| *number >= 1).ok_or_else(invalid_page)?,
            ),
        };
        let wanted =
            others.get("page_size").and_then(|text| text.parse::<u32>().ok()).filter(|size| *size > 0);
        let size = i64::from(wanted.unwrap_or(PAGE_SIZE).min(PAGE_SIZE_MAX));
        Ok(Self { asked, size, links: Links { url, others } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<PageOf, Refusal> {
        let mut others: BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let page = others.remove("page");
        PageOf::read(page.as_deref(), others, String::from("https://a.test/api/user/users/"))
    }

    fn page(query: &str) -> PageOf {
        read(query).ok().unwrap()
    }

    fn links(query: &str, count: i64) -> (Option<String>, Option<String>) {
        let page = page(query);
        let number = page.number(Count::Exact(count)).ok().unwrap();
        let cut = |link: String| link.replace("https://a.test/api/user/users/", "");
        (
            (number * page.size < count).then(|| cut(page.links.to_page(number + 1))),
            (number > 1).then(|| cut(page.links.to_page(number - 1))),
        )
    }

    #[test]
    fn links_are_as_recorded() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(links("", 46), (text("?page=2"), None));
        assert_eq!(links("page=2", 45), (text("?page=3"), text("")));
        assert_eq!(links("page=2&search=u", 45), (text("?page=3&search=u"), text("?search=u")));
        assert_eq!(links("page_size=10&page=2", 45), (text("?page=3&page_size=10"), text("?page_size=10")));
        assert_eq!(links("page=last", 45), (None, text("?page=2")));
        assert_eq!(links("", 0), (None, None));
    }

    #[test]
    fn pages_that_are_not_there() {
        assert!(page("page=99").number(Count::Exact(45)).is_err());
        assert!(page("page=99").number(Count::Estimate(45)).is_ok(), "the rows will tell");
        let opened = Count::Opened { count: 5, rows: 45 };
        assert!(page("page=3").number(opened).is_ok() && page("page=4").number(opened).is_err());
        assert_eq!(page("page=last").number(opened).ok(), Some(3));
        for bad in ["page=0", "page=-1", "page=x", "page=99999999999999999999"] {
            assert_eq!(read(bad).err().map(|refusal| refusal.status), Some(404), "{bad}");
        }
        assert_eq!(
            (page("page_size=1000").size, page("page_size=x").size, page("page_size=0").size),
            (100, 20, 20)
        );
    }
}
