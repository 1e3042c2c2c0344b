//! Lists by pages: `{"count","next","previous","results"}`.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use shared::limits::{PAGE_SIZE, PAGE_SIZE_MAX};
use shared::refusal::Refusal;

use super::answer::{Refused, ok};
use super::gate::{Origin, public_path};

/// Which page was asked for, and how to link to its neighbours.
pub struct PageOf {
    asked: Asked,
    size: i64,
    url: String,
    /// The other parameters, in the order of their names.
    others: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Number(i64),
    Last,
}

#[derive(Serialize)]
struct ListOut<T> {
    count: i64,
    next: Option<String>,
    previous: Option<String>,
    results: Vec<T>,
}

fn invalid_page() -> Refusal {
    Refusal::plain(404, "Invalid page.")
}

impl PageOf {
    /// Most rows of the page.
    #[must_use]
    pub fn limit(&self) -> i64 {
        self.size
    }

    /// Rows before the page in a list of `count`.
    ///
    /// # Errors
    /// 404 for a page that such a list does not have.
    pub fn offset(&self, count: i64) -> Result<i64, Refused> {
        Ok((self.number(count)? - 1) * self.size)
    }

    fn number(&self, count: i64) -> Result<i64, Refused> {
        // An empty list has one page, an empty one.
        let last = ((count + self.size - 1) / self.size).max(1);
        match self.asked {
            Asked::Last => Ok(last),
            Asked::Number(number) if (1..=last).contains(&number) => Ok(number),
            Asked::Number(_) => Err(invalid_page().into()),
        }
    }

    /// The answer with one page of a list of `count`.
    ///
    /// # Errors
    /// 404 for a page that such a list does not have.
    pub fn answer<T: Serialize>(&self, count: i64, results: Vec<T>) -> Result<Response, Refused> {
        let number = self.number(count)?;
        let next = (number * self.size < count).then(|| self.link(number + 1));
        let previous = (number > 1).then(|| self.link(number - 1));
        Ok(ok(&ListOut { count, next, previous, results }))
    }

    /// Parameters sorted by name; `page` is left out where it would be 1.
    fn link(&self, number: i64) -> String {
        let mut parameters = self.others.clone();
        if number > 1 {
            parameters.insert(String::from("page"), number.to_string());
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        if query.is_empty() { self.url.clone() } else { format!("{}?{query}", self.url) }
    }

    /// Reads `page` and `page_size`. A parameter that no list of ours has is a 400: a filter that is
    /// silently passed over shows more than was asked for.
    fn read(query: &str, url: String) -> Result<Self, Refusal> {
        let mut others: BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let asked = match others.remove("page").as_deref() {
            None => Asked::Number(1),
            Some("last") => Asked::Last,
            Some(text) => {
                Asked::Number(text.parse().ok().filter(|number| *number >= 1).ok_or_else(invalid_page)?)
            }
        };
        if let Some(name) = others.keys().find(|name| *name != "page_size") {
            return Err(Refusal::field(name, "Unknown parameter."));
        }
        let wanted =
            others.get("page_size").and_then(|text| text.parse::<u32>().ok()).filter(|size| *size > 0);
        let size = i64::from(wanted.unwrap_or(PAGE_SIZE).min(PAGE_SIZE_MAX));
        Ok(Self { asked, size, url, others })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageOf {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let base = parts.extensions.get::<Origin>().map(|origin| origin.base.clone()).unwrap_or_default();
        let url = format!("{base}{}", public_path(&parts.extensions));
        Ok(Self::read(parts.uri.query().unwrap_or_default(), url)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> PageOf {
        PageOf::read(query, String::from("https://a.test/api/user/users/")).ok().unwrap()
    }

    fn links(query: &str, count: i64) -> (Option<String>, Option<String>) {
        let page = page(query);
        let number = page.number(count).ok().unwrap();
        let cut = |link: String| link.replace("https://a.test/api/user/users/", "");
        (
            (number * page.size < count).then(|| cut(page.link(number + 1))),
            (number > 1).then(|| cut(page.link(number - 1))),
        )
    }

    #[test]
    fn links_are_as_recorded() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(links("", 46), (text("?page=2"), None));
        assert_eq!(links("page=2", 45), (text("?page=3"), text("")));
        assert_eq!(links("page_size=10&page=2", 45), (text("?page=3&page_size=10"), text("?page_size=10")));
        assert_eq!(links("page=last", 45), (None, text("?page=2")));
        assert_eq!(links("", 0), (None, None));
    }

    #[test]
    fn pages_that_are_not_there() {
        assert!(page("page=99").number(45).is_err());
        for bad in ["page=0", "page=-1", "page=x", "page=", "page=99999999999999999999"] {
            assert_eq!(
                PageOf::read(bad, String::new()).err().map(|refusal| refusal.status),
                Some(404),
                "{bad}"
            );
        }
        assert_eq!(
            PageOf::read("is_active=true", String::new()).err().map(|refusal| refusal.status),
            Some(400)
        );
        assert_eq!(
            (page("page_size=1000").size, page("page_size=x").size, page("page_size=0").size),
            (100, 20, 20)
        );
    }
}
