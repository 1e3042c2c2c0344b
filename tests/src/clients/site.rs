//! An application's page beside a tenant's own host, and a user's browser that visits both.

use serde_json::{Value, json};

use super::{Browser, Tab};
use crate::actors::{Tenant, User};
use crate::seed;
use crate::stack::Stack;

/// All of it under one registrable domain, so that the page and the API are one site to the browser.
pub struct Site {
    /// The browser.
    pub browser: Browser,
    /// Where the API is: the tenant's own host.
    pub api: String,
    domain: String,
}

impl Site {
    /// A tenant that lists the origin of its application, with these additional settings.
    pub async fn create<'s>(stack: &'s Stack, name: &str, more: &Value) -> (Tenant<'s>, Self) {
        let browser = Browser::start(name);
        let domain = format!("{name}-{}.localhost", seed::unique());
        let (_, port) = stack.edge_url().rsplit_once(':').expect("a port");
        let api = format!("http://id.{domain}:{port}");
        let mut settings = json!({"origins": [browser.origin(&format!("app.{domain}"))]});
        for (name, value) in more.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
        let own = json!({"hosts": [format!("id.{domain}")], "settings": settings});
        let tenant = Tenant::create_with(stack, own).await;
        (tenant, Self { browser, api, domain })
    }

    /// The origin of pages of a sibling of the API, `app` being the listed one.
    #[must_use]
    pub fn sibling(&self, label: &str) -> String {
        self.browser.origin(&format!("{label}.{}", self.domain))
    }

    /// A value of `Domain` by which a sibling host can have a cookie sent to the API.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Opens the page of an origin.
    pub fn open(&mut self, origin: &str) -> Tab {
        let url = format!("{origin}/?api={}", self.api);
        self.browser.open(&url)
    }

    /// Opens the application.
    pub fn open_application(&mut self) -> Tab {
        self.open(&self.sibling("app"))
    }

    /// Has the application's page call the API: `{"status", "body"}`, 0 where it may not read the answer.
    pub fn call(&mut self, tab: Tab, method: &str, path: &str, body: Value) -> Value {
        self.browser.run(tab, "return call(...arg)", json!([method, path, body]))
    }

    /// Has a user sign in on the application's page.
    ///
    /// # Panics
    /// Where that is refused.
    pub fn sign_in(&mut self, tab: Tab, user: &User<'_>) {
        let credentials = json!({"username": user.username, "password": user.password});
        let said = self.call(tab, "POST", "/api/login/", credentials);
        assert_eq!(said["status"], 200, "{said}");
    }

    /// A cookie of the API, by name.
    pub fn cookie(&mut self, name: &str) -> Option<Value> {
        self.cookies().into_iter().find(|cookie| cookie["name"] == name)
    }

    /// The cookies that the browser would send to the API, by name.
    pub fn cookies(&mut self) -> Vec<Value> {
        let mut cookies = self.browser.cookies(&self.api);
        cookies.sort_by_key(|cookie| cookie["name"].to_string());
        cookies
    }
}
