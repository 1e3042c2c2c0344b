//! The answers that the tests see, and the check that the published document describes each of them.
//!
//! Every ring calls [`record`] where its answers pass. `./wardgate test` names a folder for them, and
//! afterwards runs the program of this crate, which holds them against the OpenAPI document
//! ([`described`]). Without that folder nothing is kept, so that a single test runs as it is.

pub mod described;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use serde::{Deserialize, Serialize};
use shared::contract::routes;

/// Names the folder in which answers are kept.
pub const FOLDER: &str = "WARDGATE_TEST_ANSWERS";
/// Different bodies that are kept of one method, route, status and media type in one process.
const BODIES: usize = 100;

/// The kinds of statements that the document makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// The request's method.
    pub method: String,
    /// The route, as [`routes::ROUTES`] has it.
    pub route: String,
    /// The answer's status.
    pub status: u16,
    /// Its media type without parameters; empty where there is none.
    pub media_type: String,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What it was.
    #[serde(flatten)]
    pub kind: Kind,
    /// Its body.
    pub body: String,
}

impl Seen {
    /// An answer to a request that the document describes: of a path in the table of routes, by a method
    /// that the route takes. `HEAD` and `OPTIONS` are the same for all routes and are not described.
    #[must_use]
    pub fn of(method: &str, path: &str, status: u16, content_type: &str, body: &str) -> Option<Self> {
        if matches!(method, "HEAD" | "OPTIONS") {
            return None;
        }
        let route = routes::find(without_prefix(path)).filter(|route| route.allows(method))?;
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let kind = Kind { method: method.to_owned(), route: route.path.to_owned(), status, media_type };
        Some(Self { kind, body: body.to_owned() })
    }
}

/// The path below `/t/<slug>`, and without the query.
fn without_prefix(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    path.strip_prefix("/t/").and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or(path)
}

/// Keeps an answer for the check, each different one once.
///
/// # Panics
/// Where the folder cannot be written: an answer that is not kept would pass unseen.
pub fn record(seen: Seen) {
    static KEPT: OnceLock<Option<Mutex<Kept>>> = OnceLock::new();
    let kept =
        KEPT.get_or_init(|| std::env::var_os(FOLDER).map(|folder| Mutex::new(Kept::open(folder.into()))));
    if let Some(kept) = kept {
        kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).keep(seen);
    }
}

struct Kept {
    file: File,
    bodies: HashMap<Kind, Vec<String>>,
}

impl Kept {
    fn open(folder: PathBuf) -> Self {
        let path = folder.join(format!("{}.jsonl", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Self {
            file: file.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            bodies: HashMap::new(),
        }
    }

    fn keep(&mut self, seen: Seen) {
        let bodies = self.bodies.entry(seen.kind.clone()).or_default();
        if bodies.len() >= BODIES || bodies.contains(&seen.body) {
            return;
        }
        bodies.push(seen.body.clone());
        let line = serde_json::to_string(&seen).expect("an answer is JSON");
        writeln!(self.file, "{line}").expect("an answer is kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_the_route_of_its_path() {
        let route = |method: &str, path: &str| {
            Seen::of(method, path, 200, "application/json; charset=utf-8", "{}").map(|seen| seen.kind.route)
        };
        assert_eq!(route("GET", "/t/acme/api/user/users/42/?x=1").as_deref(), Some("api/user/users/*"));
        assert_eq!(route("GET", "/api/public-key").as_deref(), Some("api/public-key"));
        assert_eq!(route("GET", "/api/nothing/"), None);
        assert_eq!(route("PUT", "/api/token/"), None, "the document lists no method that the route refuses");
        assert_eq!(route("OPTIONS", "/api/token/"), None);
    }

    #[test]
    fn a_media_type_is_kept_without_its_parameters() {
        let seen = Seen::of("GET", "/healthz", 200, "Application/JSON; charset=utf-8", "{}").unwrap();
        assert_eq!(seen.kind.media_type, "application/json");
    }
}
