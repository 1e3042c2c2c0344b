//! An administrator with an access token: of the platform, or of one tenant.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::TenantId;

use super::session::Session;
use crate::http::{Http, Reply};
use crate::signed::ForwardCall;
use crate::stack::Stack;

/// How an administrator's calls reach control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the requests of all users.
    ThroughTheEdge,
    /// Signed by the test as the edge would sign them. If a test has moved the edge's clock, the edge would find the
    /// token expired, while it is valid by control's.
    ByHand,
}

/// An administrator.
pub struct Admin<'s> {
    stack: &'s Stack,
    http: Http,
    tenant: TenantId,
    session: Session,
    by_hand: AtomicBool,
}

impl<'s> Admin<'s> {
    /// Signs the platform's operator in.
    pub async fn operator(stack: &'s Stack) -> Self {
        let http = Http::new(format!("{}/t/platform", stack.edge_url()));
        Self::sign_in(stack, http, "operator", &stack.secrets.operator_password).await
    }

    /// Signs an administrator in.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn sign_in(stack: &'s Stack, http: Http, username: &str, password: &str) -> Self {
        let credentials = json!({"username": username, "password": password});
        let session = Session::of(&http, &http.post("/api/token/", &credentials).await.expect(200));
        let tenant = TenantId::parse(&session.claim("tenant")).expect("a tenant's id");
        Self { stack, http, tenant, session, by_hand: AtomicBool::new(false) }
    }

    /// The administrator's own tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The administrator's session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Chooses how calls go from now on.
    pub fn call_by(&self, way: Way) {
        self.by_hand.store(way == Way::ByHand, Ordering::SeqCst);
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, None).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, Some(body)).await
    }

    /// `PATCH`.
    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, None).await
    }

    /// Any method.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        if self.by_hand.load(Ordering::SeqCst) {
            let call = ForwardCall::good(self.stack, self.tenant, &self.session, path);
            return call.with(method, body).send(self.stack).await;
        }
        let mut request = self.http.request(method, path).bearer_auth(&self.session.access);
        if let Some(body) = body {
            request = request.json(body);
        }
        Reply::to(request).await
    }

    /// All entries of the tenant's audit log, oldest first.
    ///
    /// # Panics
    /// Where the log cannot be read.
    pub async fn audit(&self) -> Vec<Value> {
        let mut entries = Vec::new();
        for page in 1.. {
            let reply = self.get(&format!("/api/audit/?page_size=100&page={page}")).await.expect(200);
            let body = reply.json();
            entries.extend(body["results"].as_array().expect("results").iter().cloned());
            if body["next"].is_null() {
                break;
            }
        }
        entries.reverse();
        entries
    }
}
