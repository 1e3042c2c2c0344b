//! Only what the edge signed for this control, now, is served as forwarded.

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use shared::contract::refusal::Refusal;
use shared::wire::signature::{Message, ServiceKey, Tag};

use crate::scene::{Answer, Scene, key};

/// The edge's service key in these tests.
pub fn edge_key() -> ServiceKey {
    ServiceKey::parse(&key("e1", 4)).unwrap()
}

/// A forwarded request, with everything that a forger might change.
pub struct Forward<'a> {
    pub method: Method,
    key: ServiceKey,
    tag: Tag,
    authority: &'a str,
    path: &'a str,
    /// Seconds after now at which it claims to be signed.
    skew: i64,
    pub headers: Vec<(&'static str, String)>,
    /// Added or replaced after signing.
    pub tampered: Vec<(&'static str, String)>,
    /// JSON. The client library sends its length, as a proxy does that has buffered a chunked body.
    body: Option<String>,
}

impl<'a> Forward<'a> {
    fn new(scene: &Scene, path: &'a str, bearer: &str) -> Self {
        Self {
            method: Method::GET,
            key: edge_key(),
            tag: Tag::Forward,
            authority: "control.test",
            path,
            skew: 0,
            headers: vec![
                ("wardgate-tenant", scene.tenant.id.to_string()),
                ("wardgate-client", "192.0.2.7".into()),
                ("wardgate-caller", "anonymous".into()),
                ("wardgate-base", "https://acme.test".into()),
                ("x-request-id", "req-1".into()),
                ("authorization", format!("Bearer {bearer}")),
            ],
            tampered: vec![],
            body: None,
        }
    }

    /// A request without a credential.
    pub fn anonymous(scene: &Scene, path: &'a str) -> Self {
        let mut forward = Self::new(scene, path, "");
        forward.headers.retain(|(name, _)| *name != "authorization");
        forward
    }

    pub async fn send(self, scene: &Scene) -> Answer {
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let covered: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let message = Message {
            method: self.method.as_str(),
            authority: self.authority,
            path,
            query,
            content_digest: None,
            headers: &covered,
        };
        let now = scene.control.clock.now().timestamp() + self.skew;
        let signed = self.key.sign(self.tag, &message, u64::try_from(now).unwrap());
        let mut headers = HeaderMap::new();
        let all = self.headers.iter().chain(&self.tampered).map(|(name, value)| (*name, value.clone()));
        for (name, value) in all.chain([("signature-input", signed.input), ("signature", signed.signature)]) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        }
        let url = format!("http://{}{}", scene.api, self.path);
        let mut request = reqwest::Client::new().request(self.method.clone(), url).headers(headers);
        if let Some(body) = self.body {
            request = request.body(body);
        }
        Answer::to(request).await
    }
}

/// A request with this token as the edge forwards it.
pub async fn forwarded(scene: &Scene, method: Method, path: &str, bearer: &str) -> Answer {
    Forward { method, ..Forward::new(scene, path, bearer) }.send(scene).await
}

/// A request without a credential as the edge forwards it, with headers that the edge would remove.
pub async fn from_stranger(
    scene: &Scene,
    method: Method,
    path: &str,
    body: Option<&Value>,
    unsigned: &[(&'static str, &str)],
) -> Answer {
    let mut forward = Forward { method, ..Forward::new(scene, path, "") };
    forward.headers.retain(|(name, _)| *name != "authorization");
    if let Some(body) = body {
        forward.headers.push(("content-type", "application/json".into()));
        forward.body = Some(body.to_string());
    }
    forward.tampered = unsigned.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    forward.send(scene).await
}

/// A POST as the edge forwards it, which vouches for this ticket in place of a token.
pub async fn with_ticket(scene: &Scene, path: &str, ticket: &str, body: &str) -> Answer {
    let body = Some(body.to_owned());
    let mut forward = Forward { method: Method::POST, body, ..Forward::new(scene, path, "") };
    forward.headers[5] = ("content-type", "application/json".into());
    forward.headers.insert(4, ("wardgate-ticket", ticket.into()));
    forward.send(scene).await
}

#[tokio::test]
async fn a_ticket_is_vouched_for_by_the_edge_alone() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let ticket = format!("purpose=password_change; user={}; password_epoch=0; access_epoch=0", ada.id);
    let path = "/api/user/password/change/";
    let body = r#"{"new_password":"eleven sleepy otters hum"}"#;
    // Sent by a client and not signed: it is ignored, like every other internal header.
    let header = [("wardgate-ticket", ticket.as_str())];
    let request =
        reqwest::Client::new().post(format!("http://{}{path}", scene.api)).header(header[0].0, header[0].1);
    let unsigned =
        Answer::to(request.header("content-type", "application/json").body(body)).await.expect(401);
    assert_eq!(unsigned.body["detail"], "Authentication credentials were not provided.");
    let current = serde_json::json!({"new_password": "eleven sleepy otters hum"});
    let with_token = ada.with(Method::POST, path, &header, Some(current)).await.expect(400);
    assert_eq!(with_token.body, serde_json::json!({"current_password": ["This field is required."]}));
    // Added to what the edge has signed, with or without a token; or beside one, which it never does.
    let signed = || Forward {
        method: Method::POST,
        body: Some(body.into()),
        ..Forward::new(&scene, path, &ada.token)
    };
    let mut without = signed();
    without.headers.remove(5);
    for mut forged in [signed(), without] {
        forged.tampered.push(("wardgate-ticket", ticket.clone()));
        let answer = forged.send(&scene).await.expect(401);
        assert_eq!(answer.body, Refusal::unsigned().body);
    }
    let mut beside = signed();
    beside.headers.insert(4, ("wardgate-ticket", ticket.clone()));
    assert_eq!(beside.send(&scene).await.expect(401).body, Refusal::unsigned().body);
    for unreadable in ["", "x", "purpose=password_change", &ticket.replace("password_change", "anything")] {
        let answer = with_ticket(&scene, path, unreadable, body).await.expect(401);
        assert_eq!(answer.body, Refusal::unsigned().body, "{unreadable}");
    }
    // And good at the routes of its purpose alone.
    for path in ["/api/user/me/", "/api/user/users/", "/api/tenant/tenants/"] {
        let answer = with_ticket(&scene, path, &ticket, "{}").await.expect(401);
        assert_eq!(answer.body["detail"], "Authentication credentials were not provided.", "{path}");
    }
    assert_eq!(scene.user(ada.id).await.password_epoch, 0);
    with_ticket(&scene, path, &ticket, body).await.expect(200);
}

#[tokio::test]
async fn a_signed_forward_is_served_with_the_edges_base_and_id() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    for name in ["bob", "cyd"] {
        scene.member(name, "client").await;
    }
    let path = "/api/user/users/?page_size=2";
    let answer = Forward::new(&scene, path, &ada.token).send(&scene).await.expect(200);
    assert_eq!(answer.body["count"], 3);
    assert_eq!(answer.body["next"], "https://acme.test/api/user/users/?page=2&page_size=2");
    assert_eq!(answer.header("x-request-id"), "req-1");
    assert_eq!(answer.header("allow"), "GET, POST, HEAD, OPTIONS");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_proxy_that_buffers_a_chunked_body_may_tell_its_length() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = format!("/api/user/users/{}/", scene.member("bob", "client").await.id);
    let mut forward = Forward::new(&scene, &bob, &ada.token);
    forward.method = Method::PATCH;
    forward.headers.push(("content-type", "application/json".into()));
    forward.body = Some(String::from(r#"{"first_name":"Bob"}"#));
    let answer = forward.send(&scene).await.expect(200);
    assert_eq!(answer.body["first_name"], "Bob");
}

#[tokio::test]
async fn what_is_unsigned_stale_or_meant_for_others_is_401() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let path = "/api/user/me/";
    let good = || Forward::new(&scene, path, &ada.token);
    good().send(&scene).await.expect(200);
    let other_tenant = "01890a5d-ac96-774b-bcce-b302099a8057".to_owned();
    let forgeries: Vec<(&str, Forward<'_>)> = vec![
        ("stale", Forward { skew: -61, ..good() }),
        ("from the future", Forward { skew: 120, ..good() }),
        ("tagged for a push", Forward { tag: Tag::Push, ..good() }),
        ("tagged for a command", Forward { tag: Tag::Command, ..good() }),
        ("for another authority", Forward { authority: "staging.test", ..good() }),
        ("by another key", Forward { key: ServiceKey::parse(&key("e1", 5)).unwrap(), ..good() }),
        ("by an unknown key id", Forward { key: ServiceKey::parse(&key("e2", 4)).unwrap(), ..good() }),
        (
            "another tenant afterwards",
            Forward { tampered: vec![("wardgate-tenant", other_tenant)], ..good() },
        ),
        (
            "another client afterwards",
            Forward { tampered: vec![("wardgate-client", "::1".into())], ..good() },
        ),
        (
            "another base afterwards",
            Forward { tampered: vec![("wardgate-base", "https://evil.test".into())], ..good() },
        ),
        (
            "another token afterwards",
            Forward { tampered: vec![("authorization", "Bearer x".into())], ..good() },
        ),
        (
            "a content type afterwards",
            Forward { tampered: vec![("content-type", "text/plain".into())], ..good() },
        ),
    ];
    for (what, forgery) in forgeries {
        let answer = forgery.send(&scene).await;
        assert_eq!((answer.status, &answer.body), (401, &Refusal::unsigned().body), "{what}");
    }
}

#[tokio::test]
async fn without_direct_the_unsigned_are_refused_whatever_they_ask() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let mut settings = scene.control.settings.clone();
    settings.http.direct = false;
    let strict = control::control::new(settings).unwrap();
    let strict = Scene { api: crate::scene::serve(&strict).await, control: strict, ..scene };
    let ada = strict.acting_as(&strict.user(ada.id).await).await;
    for path in ["/api/user/me/", "/api/user/users/", "/api/nothing/"] {
        let answer = ada.get(path).await;
        assert_eq!((answer.status, &answer.body), (401, &Refusal::unsigned().body), "{path}");
    }
    Forward::new(&strict, "/api/user/me/", &ada.token).send(&strict).await.expect(200);
    strict.anonymous(reqwest::Method::GET, "/healthz", None).await.expect(200);
    strict.anonymous(reqwest::Method::GET, "/readyz", None).await.expect(200);
}

#[tokio::test]
async fn the_forward_key_alone_impersonates_nobody() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let forward = Forward::new(&scene, "/api/user/me/", "garbage");
    let mut headers = forward.headers.clone();
    headers[2].1 = ada.id.to_string();
    let answer = Forward { headers, ..forward }.send(&scene).await.expect(401);
    assert_eq!(answer.body["code"], "token_not_valid");
}

#[tokio::test]
async fn either_service_key_of_the_edge_is_good_while_one_replaces_the_other() {
    let mut scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let new_key = || ServiceKey::parse(&key("e2", 5)).unwrap();
    let stranger = || ServiceKey::parse(&key("e2", 6)).unwrap();
    let (old, new) = (edge_key().public(), new_key().public());
    for (known, statuses) in
        [(old.clone(), [200, 401]), (format!("{old},{new}"), [200, 200]), (new, [401, 200])]
    {
        scene.database.more = vec![("WARDGATE_EDGE_PUBLIC_KEYS", known)];
        scene = scene.restarted().await;
        for (key, status) in [edge_key(), new_key()].into_iter().zip(statuses) {
            let forward = Forward { key, ..Forward::new(&scene, "/api/user/me/", &ada.token) };
            // Where requests without a signature are taken, too, one that is signed is judged by that.
            forward.send(&scene).await.expect(status);
        }
        let forward = Forward { key: stranger(), ..Forward::new(&scene, "/api/user/me/", &ada.token) };
        forward.send(&scene).await.expect(401);
    }
}
