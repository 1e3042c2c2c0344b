//! Calls and answers, as a client meets them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use answers::Seen;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::wait;

/// workerd closes a connection that was idle for five seconds. A client that uses it at that moment has no answer, and
/// a POST is not sent again by itself.
const IDLE: Duration = Duration::from_secs(2);

/// Ports of the parts under test. Their answers are held against the published document.
static OURS: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<u16>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that the part under test listens at `url`.
pub fn is_ours(url: &str) {
    ours().extend(url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse::<u16>().ok()));
}

/// A client of one origin, or of one tenant by its path prefix.
#[derive(Clone)]
pub struct Http {
    client: Client,
    base: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Http {
    /// A client of everything under `base`.
    ///
    /// A test has its own, because a pool of connections lives in the runtime that made it.
    ///
    /// # Panics
    /// Where the library cannot be set up.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        let client = Client::builder()
            .timeout(wait::PATIENCE)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build();
        Self { client: client.expect("an HTTP client"), base: base.into() }
    }

    /// The same connections under another base.
    #[must_use]
    pub fn at(&self, base: impl Into<String>) -> Self {
        Self { client: self.client.clone(), base: base.into() }
    }

    /// What every path is appended to.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request that the caller completes and sends by [`Reply::to`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        Reply::to(self.request(Method::GET, path)).await
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::to(self.request(Method::POST, path).json(body)).await
    }

    /// `POST` of nothing, by Bearer.
    pub async fn post_as(&self, token: &str, path: &str) -> Reply {
        Reply::to(self.request(Method::POST, path).bearer_auth(token)).await
    }
}

/// Asks until the answer is not 503, as a client does that heeds `Retry-After`: hashing a password on a machine that
/// is busy with much else may take longer than Wardgate lets a client wait.
///
/// # Panics
/// When the patience of the tests is over.
pub async fn served(ask: impl AsyncFn() -> Reply) -> Reply {
    let answered = async || {
        let reply = ask().await;
        match (reply.status, reply.header("retry-after").parse()) {
            (503, Ok(seconds)) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                None
            }
            _ => Some(reply),
        }
    };
    wait::until("another answer than 503", answered).await.0
}

impl Reply {
    /// Sends a request and reads the answer.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn to(request: RequestBuilder) -> Self {
        Self::try_to(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends a request that may stay without an answer.
    ///
    /// # Errors
    /// The connection's.
    pub async fn try_to(request: RequestBuilder) -> reqwest::Result<Self> {
        let (client, request) = request.build_split();
        let request = request?;
        let (method, url) = (request.method().clone(), request.url().clone());
        let response = client.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let reply = Self { status, headers, text: response.text().await? };
        if url.port().is_some_and(|port| ours().contains(&port)) {
            let content_type = reply.header("content-type");
            let seen = Seen::of(method.as_str(), url.path(), status, content_type, &reply.text);
            seen.into_iter().for_each(answers::record);
        }
        Ok(reply)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.text);
        parsed.unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text))
    }

    /// A member of the body that is a text.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    #[track_caller]
    pub fn text_at(&self, member: &str) -> String {
        let body = self.json();
        let text = body[member].as_str();
        text.unwrap_or_else(|| panic!("no text `{member}`: {} {body}", self.status)).to_owned()
    }

    /// A header, empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Name, value and attributes of each cookie that the answer sets.
    ///
    /// # Panics
    /// Where a header is no cookie.
    #[must_use]
    pub fn cookies(&self) -> Vec<(String, String, String)> {
        let parse = |line: &HeaderValue| {
            let (pair, attributes) = line.to_str().ok()?.split_once("; ")?;
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), value.to_owned(), attributes.to_owned()))
        };
        self.headers.get_all("set-cookie").iter().map(|line| parse(line).expect("a cookie")).collect()
    }

    /// The same answer, if its status is this one.
    ///
    /// # Panics
    /// Where it is another.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{:?}", self.text, self.headers);
        self
    }

    /// What a client can tell two answers apart by: everything but the request's own id and date.
    #[must_use]
    pub fn fingerprint(&self) -> (u16, Vec<(String, String)>, String) {
        let mine = ["x-request-id", "date"];
        let kept = self.headers.iter().filter(|(name, _)| !mine.contains(&name.as_str()));
        let mut headers: Vec<_> =
            kept.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
        headers.sort();
        (self.status, headers, self.text.clone())
    }
}
