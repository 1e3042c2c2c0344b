//! Signed calls of the inside, made by hand: the good ones, and each way in which one can be bad.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use shared::ids::{TenantId, UserId};
use shared::user::UserStatus;
use shared::wire::needs::Needs;
use shared::wire::push::{Command, Push, StatusOut, UserRow};
use shared::wire::signature::{Message, Tag, content_digest, covered_headers};

use crate::actors::Session;
use crate::clock;
use crate::http::{Http, Reply};
use crate::secrets::signer;
use crate::settings::{CONTROL_AUTHORITY, EDGE_AUTHORITY};
use crate::stack::Stack;

/// How a call is signed. Each field has a right value; a test makes one of them wrong.
#[derive(Clone)]
pub struct Signing {
    /// `<key id>:<seed>` of the signer.
    pub key: String,
    /// The `tag` of the signature.
    pub tag: Tag,
    /// The `@authority` of the signature.
    pub authority: String,
    /// The path that is signed.
    pub path: String,
    /// When, Unix seconds.
    pub at_secs: u64,
}

/// A call of control to the edge: its path, the way it is signed, and its body.
#[derive(Clone)]
pub struct EdgeCall {
    /// The path that is called.
    pub path: &'static str,
    /// How it is signed.
    pub signing: Signing,
    /// The body that is signed.
    pub body: Vec<u8>,
}

impl EdgeCall {
    /// A good one.
    ///
    /// # Panics
    /// For a message that has no JSON.
    #[must_use]
    pub fn good(stack: &Stack, tag: Tag, message: &impl Serialize) -> Self {
        let path = match tag {
            Tag::Push => "/internal/v1/push",
            Tag::Command => "/internal/v1/command",
            Tag::Drain => "/internal/v1/drain",
            Tag::Forward | Tag::Password => panic!("control makes no such call"),
        };
        let signing = Signing {
            key: stack.secrets.control_service.clone(),
            tag,
            authority: EDGE_AUTHORITY.to_owned(),
            path: path.to_owned(),
            at_secs: clock::now_secs(),
        };
        Self { path, signing, body: serde_json::to_vec(message).expect("JSON") }
    }

    /// The headers that go with it: digest, signature's input, signature.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, String); 3] {
        let digest = content_digest(&self.body);
        let message = Message {
            method: "POST",
            authority: &self.signing.authority,
            path: &self.signing.path,
            query: "",
            content_digest: Some(&digest),
            headers: &[],
        };
        let signed = signer(&self.signing.key).sign(self.signing.tag, &message, self.signing.at_secs);
        [("content-digest", digest), ("signature-input", signed.input), ("signature", signed.signature)]
    }

    /// Sends it.
    pub async fn send(&self, stack: &Stack) -> Reply {
        self.send_with(stack, &self.headers(), self.body.clone()).await
    }

    /// Sends it with other headers, or another body than was signed.
    pub async fn send_with(&self, stack: &Stack, headers: &[(&str, String)], body: Vec<u8>) -> Reply {
        self.send_over(&Http::new(stack.edge_url()), headers, body).await
    }

    /// The same by a client that may have a connection already.
    pub async fn send_over(&self, edge: &Http, headers: &[(&str, String)], body: Vec<u8>) -> Reply {
        let mut request = edge.request(Method::POST, self.path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Reply::to(request.body(body)).await
    }
}

/// The push of a user whose sessions were ended once, ahead of any backlog.
#[must_use]
pub fn user_push(tenant: TenantId, user: UserId, status: UserStatus, rev: i64) -> Push {
    let row = UserRow {
        id: user,
        rev,
        status,
        access_epoch: rev,
        session_epoch: 1,
        password_epoch: 0,
        roles: vec![String::from("client")],
        verifier: None,
        foreign: false,
        legacy_id: None,
        password_due: None,
        password_changed_at: None,
        password_valid_until: None,
        kept_session: None,
        authenticators: vec![],
        recovery: None,
        needs: Needs::default(),
    };
    Push {
        tenant,
        history: 1,
        complete: None,
        snapshot: None,
        document: None,
        names: vec![],
        users: vec![row.into()],
        identifiers: vec![],
        ended_sessions: vec![],
        session_owners: BTreeMap::new(),
    }
}

/// How far the edge is with a tenant, by its own word.
///
/// # Panics
/// Where the edge does not answer.
pub async fn edge_status(stack: &Stack, tenant: TenantId) -> StatusOut {
    let command = Command::Status { tenants: vec![tenant] };
    let reply = EdgeCall::good(stack, Tag::Command, &command).send(stack).await.expect(200);
    serde_json::from_str(&reply.text).expect("a status")
}

/// A forwarded request as the edge would make it, at control's own port.
#[derive(Clone)]
pub struct ForwardCall {
    /// The path that is called.
    pub path: String,
    /// How it is signed.
    pub signing: Signing,
    /// The headers that are signed.
    pub headers: Vec<(&'static str, String)>,
    method: Method,
    body: Vec<u8>,
}

impl ForwardCall {
    /// A good `GET` of `path` by `session` at `tenant`.
    #[must_use]
    pub fn good(stack: &Stack, tenant: TenantId, session: &Session, path: &str) -> Self {
        let signing = Signing {
            key: stack.secrets.edge_service.clone(),
            tag: Tag::Forward,
            authority: CONTROL_AUTHORITY.to_owned(),
            path: path.split('?').next().unwrap_or(path).to_owned(),
            at_secs: clock::now_secs(),
        };
        let headers = vec![
            ("wardgate-tenant", tenant.to_string()),
            ("wardgate-client", "192.0.2.7".to_owned()),
            ("wardgate-caller", session.claim("sub")),
            ("wardgate-base", "https://auth.test".to_owned()),
            ("x-request-id", "by-hand".to_owned()),
            ("authorization", format!("Bearer {}", session.access)),
        ];
        Self { path: path.to_owned(), signing, headers, method: Method::GET, body: Vec::new() }
    }

    /// The same with another method, and a JSON body where there is one.
    #[must_use]
    pub fn with(mut self, method: Method, body: Option<&Value>) -> Self {
        self.method = method;
        if let Some(body) = body {
            self.body = body.to_string().into_bytes();
            self.headers.push(("content-type", "application/json".to_owned()));
            self.headers.push(("content-length", self.body.len().to_string()));
        }
        self
    }

    /// The two headers of its signature.
    #[must_use]
    pub fn signature(&self) -> [(&'static str, String); 2] {
        let named = |name: &str| self.headers.iter().find(|(known, _)| *known == name);
        let covered = covered_headers(|name| named(name).map(|(_, value)| value.clone()));
        let covered: Vec<_> = covered.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let message = Message {
            method: self.method.as_str(),
            authority: &self.signing.authority,
            path: &self.signing.path,
            query: self.path.split_once('?').map_or("", |(_, query)| query),
            content_digest: None,
            headers: &covered,
        };
        let signed = signer(&self.signing.key).sign(self.signing.tag, &message, self.signing.at_secs);
        [("signature-input", signed.input), ("signature", signed.signature)]
    }

    /// Sends it with this signature, which may be another call's.
    pub async fn send_with(&self, stack: &Stack, signature: &[(&'static str, String)]) -> Reply {
        let http = Http::new(stack.control_url());
        let mut request = http.request(self.method.clone(), &self.path).body(self.body.clone());
        for (name, value) in self.headers.iter().chain(signature) {
            request = request.header(*name, value);
        }
        Reply::to(request).await
    }

    /// Sends it.
    pub async fn send(&self, stack: &Stack) -> Reply {
        self.send_with(stack, &self.signature()).await
    }
}
