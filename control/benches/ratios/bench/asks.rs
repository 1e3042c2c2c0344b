//! What is asked of the list of users, and how dear it may be.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use control::http::list::given;
use control::http::rows::Order;
use control::users::filters::{Filters, Key};
use control::users::visibility::Permitted;
use control::users::{Profile, Viewer};
use serde_json::{Map, Value};

use super::people::common_first_name;
use super::{Outcome, people};

/// A page, as many times a read of one user.
const PAGE: Option<f64> = Some(10.0);
/// The same for a search.
const SEARCH: Option<f64> = Some(100.0);

/// A question.
#[derive(Clone, Copy)]
pub struct Ask {
    /// Its name.
    pub what: &'static str,
    /// The promised limit, as a multiple of a read of one user.
    pub promise: Option<f64>,
    /// It is measured in one of so many rounds.
    pub every: u32,
    query: Query,
    /// The part of the list.
    pub place: Place,
}

/// A part of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first page.
    First,
    /// The page half way of a list that is no longer than 20,000, else the last that numbers of pages reach.
    Number,
    /// The page half way, by a cursor.
    Deep,
    /// The last page, which needs an exact count.
    Last,
}

/// The filters.
#[derive(Clone, Copy)]
enum Query {
    Fixed(&'static str),
    /// Those that find this user.
    Of(fn(&Profile) -> String),
    /// Users of some days.
    Days,
    CommonName(&'static str),
}

const fn ask(what: &'static str, promise: Option<f64>, query: &'static str) -> Ask {
    Ask { what, promise, every: 1, query: Query::Fixed(query), place: Place::First }
}

const fn of(what: &'static str, promise: Option<f64>, query: fn(&Profile) -> String) -> Ask {
    Ask { query: Query::Of(query), ..ask(what, promise, "") }
}

/// A list without a promised limit, which may take long.
const fn dear(what: &'static str, query: &'static str) -> Ask {
    Ask { every: 25, ..ask(what, None, query) }
}

/// Everything that is asked, but for the read of one user.
pub const ASKS: &[Ask] = &[
    ask("list page of 20", PAGE, ""),
    ask("filtered: status=suspended", PAGE, "status=suspended"),
    ask("filtered: is_active=false", PAGE, "is_active=false"),
    ask("filtered: role=staff", PAGE, "role=staff"),
    ask("filtered: role=co-admin", PAGE, "role=co-admin"),
    ask("filtered: role=client", PAGE, "role=client"),
    ask("filtered: email_verified=false", PAGE, "email_verified=false"),
    Ask { query: Query::Days, ..ask("filtered: made on one day", PAGE, "") },
    of("filtered: username", PAGE, |user| format!("username={}", user.username)),
    of("search: a user name", SEARCH, |user| format!("search={}", user.username)),
    of("search: first and last name", SEARCH, |user| {
        format!("search={}+{}", user.first_name, user.last_name)
    }),
    Ask { query: Query::CommonName(""), every: 5, ..ask("search: the commonest first name", SEARCH, "") },
    Ask { every: 5, ..ask("search: two letters", SEARCH, "search=ma") },
    Ask { place: Place::Deep, ..ask("deep page by cursor", PAGE, "") },
    Ask { place: Place::Number, ..ask("deep page by number", PAGE, "") },
    dear("status=suspended and email_verified=false", "status=suspended&email_verified=false"),
    dear("ordering=-last_login", "ordering=-last_login"),
    dear("count=exact", "count=exact"),
    Ask { place: Place::Last, ..dear("page=last", "") },
    Ask {
        query: Query::CommonName("&count=exact"),
        ..dear("search: the commonest first name, count=exact", "")
    },
];

/// A question in the terms of the store.
pub struct Asked {
    /// Its filters.
    pub filters: Permitted<Filters>,
    /// In which order.
    pub order: Vec<Order<Key>>,
    /// Whether it needs an exact count.
    pub counts_all: bool,
}

impl Ask {
    /// The query of a request, without the place; `number` is the number of the user to find.
    pub fn query(&self, now: DateTime<Utc>, number: u32, of: u32) -> String {
        match self.query {
            Query::Fixed(text) => text.to_owned(),
            Query::Of(query) => query(&people::profile(number)),
            Query::CommonName(more) => format!("search={}{more}", common_first_name()),
            Query::Days => {
                let from = people::created_at(now, number, of);
                let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
                format!("created_after={}&created_before={}", day(from), day(from + TimeDelta::days(1)))
            }
        }
    }

    /// The same for the store.
    ///
    /// # Errors
    /// For a query that the list refuses.
    pub fn asked(&self, query: &str) -> Outcome<Asked> {
        let mut fields: BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let counts_all = fields.remove("count").is_some() || self.place == Place::Last;
        let fields: Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name, value.into())).collect();
        let (filters, order) = given::<Filters>(fields).map_err(|faults| format!("{query}: {faults:?}"))?;
        let permitted = Viewer::operator().permits(filters, &order);
        Ok(Asked { filters: permitted.map_err(|_| "refused")?, order, counts_all })
    }
}
