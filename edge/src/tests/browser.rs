//! A browser with a page of some origin: it keeps cookies by RFC 6265, sends them by itself, and sends its page's
//! origin.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fixture::{Actor, Answered, PASSWORD, Request};

/// A page of the tenant's.
pub const PAGE: &str = "https://app.acme.example";

/// A tenant whose pages are listed, with one user.
pub fn acme() -> (super::fixture::World, Actor) {
    let world = super::fixture::World::new();
    let acme = world.tenant("acme");
    acme.edit(|tenant| tenant.settings.origins = vec![shared::tenant::origin::Origin::parse(PAGE).unwrap()]);
    acme.user("ada");
    (world, acme)
}

/// The address of a path on the tenant's own host.
pub fn own(acme: &Actor, path: &str) -> String {
    format!("https://{}.example{path}", acme.tenant.borrow().slug)
}

/// A program's request to the tenant's own host.
pub fn own_request(acme: &Actor, method: &str, path: &str) -> Request {
    Request::new(method, &own(acme, path))
}

#[derive(Clone)]
pub struct Browser {
    acme: Actor,
    pub origin: Option<&'static str>,
    pub jar: BTreeMap<String, String>,
}

impl Browser {
    pub fn at(acme: &Actor) -> Self {
        Self { acme: acme.clone(), origin: Some(PAGE), jar: BTreeMap::new() }
    }

    /// A browser in which a user has signed in.
    pub fn signed_in(acme: &Actor, name: &str) -> Self {
        let mut browser = Self::at(acme);
        browser.sign_in(name).expect(200);
        browser
    }

    pub fn sign_in(&mut self, name: &str) -> Answered {
        self.post("/api/login/", &json!({"username": name, "password": PASSWORD}))
    }

    /// A request with this browser's cookies, and what its page adds.
    pub fn request(&self, method: &str, path: &str) -> Request {
        let mut request = own_request(&self.acme, method, path);
        if let Some(origin) = self.origin {
            request = request.header("origin", origin);
        }
        if let Some(value) = self.jar.get("csrftoken") {
            request = request.header("x-csrftoken", value);
        }
        self.with_cookies(request)
    }

    /// Adds the headers that a browser adds by itself, for every page.
    pub fn with_cookies(&self, request: Request) -> Request {
        let pairs: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { request } else { request.header("cookie", &pairs.join("; ")) }
    }

    pub fn send(&mut self, request: Request) -> Answered {
        let answer = self.acme.world.send(request);
        self.take(&answer);
        answer
    }

    /// Keeps the cookies of an answer.
    pub fn take(&mut self, answer: &Answered) {
        for (name, value, attributes) in set_cookies(answer) {
            match attributes.contains("Max-Age=0;") {
                true => self.jar.remove(&name),
                false => self.jar.insert(name, value),
            };
        }
    }

    pub fn get(&mut self, path: &str) -> Answered {
        self.send(self.request("GET", path))
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Answered {
        self.send(self.request("POST", path).json(body))
    }

    pub fn access(&self) -> &str {
        &self.jar["__Host-access_token"]
    }

    pub fn refresh(&self) -> &str {
        &self.jar["__Host-refresh_token"]
    }
}

/// Name, value and attributes of each cookie that an answer sets.
pub fn set_cookies(answer: &Answered) -> Vec<(String, String, String)> {
    let lines = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    lines
        .map(|(_, line)| {
            let (pair, attributes) = line.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned(), attributes.to_owned())
        })
        .collect()
}

/// The names of the cookies that an answer takes away.
pub fn cleared(answer: &Answered) -> Vec<String> {
    let all = set_cookies(answer).into_iter();
    all.filter(|(_, value, attributes)| value.is_empty() && attributes.contains("Max-Age=0;"))
        .map(|(name, ..)| name)
        .collect()
}
