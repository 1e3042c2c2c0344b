//! A page of a tenant's, in a browser of its own, as far as HTTP sees it: it is at an origin, its browser
//! keeps the cookies of the tenant's host and sends them on its own.
//!
//! A real browser is in [`crate::clients`]; this one can lose answers and send what no page could.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::User;
use crate::http::{Http, Reply};
use crate::stack::Stack;

/// A page and its browser.
#[derive(Clone)]
pub struct Page {
    edge: Http,
    /// The tenant's host, where the cookies belong.
    pub host: String,
    /// The page's origin.
    pub origin: String,
    /// The cookies by name.
    pub jar: BTreeMap<String, String>,
}

impl Page {
    /// A page at `origin` that talks to the tenant's `host`.
    #[must_use]
    pub fn open(stack: &Stack, host: &str, origin: &str) -> Self {
        let edge = Http::new(stack.edge_url());
        Self { edge, host: host.to_owned(), origin: origin.to_owned(), jar: BTreeMap::new() }
    }

    /// Signs a user in.
    pub async fn sign_in(&mut self, user: &User<'_>) -> Reply {
        let body = json!({"username": user.username, "password": user.password});
        let request = self.request(Method::POST, "/api/login/").json(&body);
        self.send(request).await
    }

    /// A request as the page makes it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.bare(method, path).header("origin", &self.origin);
        match self.jar.get("csrftoken") {
            Some(value) => request.header("x-csrftoken", value),
            None => request,
        }
    }

    /// A request with the headers that a browser adds by itself, for every page.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.edge.request(method, path).header("host", &self.host);
        if self.jar.is_empty() { request } else { request.header("cookie", self.cookie()) }
    }

    /// The `Cookie` header.
    #[must_use]
    pub fn cookie(&self) -> String {
        let pairs: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// Sends a request and keeps the cookies of its answer.
    pub async fn send(&mut self, request: RequestBuilder) -> Reply {
        let reply = Reply::to(request).await;
        self.take(&reply);
        reply
    }

    /// Keeps the cookies of an answer.
    pub fn take(&mut self, reply: &Reply) {
        for (name, value, attributes) in reply.cookies() {
            match attributes.contains("Max-Age=0;") {
                true => self.jar.remove(&name),
                false => self.jar.insert(name, value),
            };
        }
    }

    /// `GET`.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` of a JSON body.
    pub async fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }
}
