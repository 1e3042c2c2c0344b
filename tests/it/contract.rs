//! The recorded contract of the old service (`contract/simplejwt.jsonl`), replayed through the edge:
//! every line under `/api/token/`, and the lines of the list of people whose bearer is missing or bad.
//!
//! Compared are status, every recorded member and message (more members are allowed), and the
//! headers shown. Of a JSON parse error the prefix counts, because the old parser's words are its own.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wardgate_tests::actors::{Person, Session, Tenant};
use wardgate_tests::clock;
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier::Signer;

const RECORDED: &str = include_str!("../contract/simplejwt.jsonl");
const PASSWORD: &str = "Corr3ct-horse";
const USERS: [&str; 5] =
    ["list noauth", "list badauth scheme", "list garbage", "list expired", "inactive bearer"];

#[derive(Deserialize)]
struct Exchange {
    name: String,
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    path: String,
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Map<String, Value>,
    body: Value,
}

/// The lines that are the edge's to answer.
fn exchanges() -> Vec<Exchange> {
    let all = RECORDED.lines().map(|line| serde_json::from_str::<Exchange>(line).expect("a recorded line"));
    all.filter(|it| it.request.path.starts_with("/api/token/") || USERS.contains(&it.name.as_str())).collect()
}

/// Puts the tokens that a test has made in the place of their names.
async fn filled(text: &str, acme: &Tenant<'_>, cast: &Cast<'_>) -> String {
    let text = match text {
        "<refresh:current>" => cast.alice.sign_in().await.refresh,
        "<refresh:used>" => {
            let used = cast.alice.sign_in().await;
            let _ = used.refreshed().await;
            used.refresh
        }
        "<refresh:expired>" => {
            let session = cast.alice.sign_in().await;
            acme.stack().pass(Duration::from_secs(86_400)).await;
            session.refresh
        }
        "<access:alice>" => cast.alice.sign_in().await.access,
        other => other.replace("<access:expired>", &cast.expired).replace("<access:bob>", &cast.bobs),
    };
    assert!(!text.contains('<'), "no such token: {text}");
    text
}

/// Whom the recording knows, and the tokens that cannot be had by signing in.
struct Cast<'t> {
    alice: Person<'t>,
    expired: String,
    bobs: String,
}

impl<'t> Cast<'t> {
    /// Tokens of a suspended or long gone session are made with a key of the tenant's own, which the
    /// test has imported and therefore knows.
    async fn gather(acme: &'t Tenant<'t>) -> Self {
        let alice = json!({"password": PASSWORD, "roles": ["root-admin"]});
        let alice = acme.user_with("alice", alice).await;
        let bob = acme.user_with("bob", json!({"password": PASSWORD, "status": "inactive"})).await;
        let signer = acme.import_key().await;
        let now = clock::now_secs();
        let mut claims = alice.sign_in().await.claims();
        (claims["iat"], claims["exp"]) = (json!(now - 600), json!(now - 300));
        let expired = signer.sign(&claims);
        (claims["iat"], claims["exp"]) = (json!(now), json!(now + 300));
        (claims["sub"], claims["user_id"]) = (json!(bob.id), json!(bob.id));
        claims["epoch"] = json!(0);
        // A session of bob's own, which ended with his account and is in no table any more.
        claims["sid"] = json!(URL_SAFE_NO_PAD.encode([0_u8; 17]));
        Self { alice, expired, bobs: signer.sign(&claims) }
    }
}

async fn send(acme: &Tenant<'_>, cast: &Cast<'_>, recorded: &Request) -> Reply {
    let method = Method::from_bytes(recorded.method.as_bytes()).expect("a method");
    let mut request = acme.http.request(method, &recorded.path);
    for (name, value) in &recorded.headers {
        request = request.header(name, filled(value.as_str().expect("a header"), acme, cast).await);
    }
    match &recorded.body {
        Value::Null => {}
        Value::String(raw) => request = request.body(raw.clone()),
        body => {
            let mut body = body.clone();
            for value in body.as_object_mut().into_iter().flat_map(|object| object.values_mut()) {
                *value = json!(filled(value.as_str().expect("a text"), acme, cast).await);
            }
            request = request.body(body.to_string());
        }
    }
    Reply::to(request).await
}

/// Whether an answer says what was recorded.
fn difference(recorded: &Response, reply: &Reply) -> Option<String> {
    if reply.status != recorded.status {
        return Some(format!("status {} instead of {}", reply.status, recorded.status));
    }
    for (name, value) in &recorded.headers {
        if reply.header(name) != value.as_str().unwrap_or_default() {
            return Some(format!("{name}: {:?} instead of {value}", reply.header(name)));
        }
    }
    let body = reply.json();
    let mut members = recorded.body.as_object().into_iter().flatten();
    let other = members.find(|(name, value)| !alike(value, &body[name.as_str()]));
    other.map(|(name, value)| format!("{name}: {} instead of {value}", body[name.as_str()]))
}

fn alike(recorded: &Value, said: &Value) -> bool {
    match (recorded.as_str(), said.as_str()) {
        (Some("<jwt>"), Some(token)) => token.split('.').count() == 3,
        (Some(recorded), Some(said)) if recorded.starts_with("JSON parse error - ") => {
            said.starts_with("JSON parse error - ")
        }
        _ => recorded == said,
    }
}

#[tokio::test]
async fn clients_of_the_old_service_meet_what_they_know() {
    let stack = Stack::own("contract").await;
    let settings = json!({"retry_window_secs": 0, "min_password_length": 8});
    let acme = Tenant::create_with(&stack, json!({"settings": settings})).await;
    let cast = Cast::gather(&acme).await;
    // What moves time comes last.
    let (late, early): (Vec<_>, Vec<_>) =
        exchanges().into_iter().partition(|exchange| exchange.name == "refresh expired");
    assert_eq!((early.len(), late.len()), (19, 1), "the recording has other lines than this replay knows");
    let mut differences = Vec::new();
    for exchange in early.iter().chain(&late) {
        let reply = send(&acme, &cast, &exchange.request).await;
        if let Some(difference) = difference(&exchange.response, &reply) {
            differences.push(format!("{}: {difference}\n    {}", exchange.name, reply.text));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn tokens_of_an_imported_key_are_as_good_as_ours() {
    let acme = Tenant::create(Stack::shared().await).await;
    let signer = Signer::generate();
    let path = format!("{}keys/import/", acme.path());
    // The tenant's own administrators may not: whoever knows a key can be anybody.
    let _ = acme.admin.post(&path, &json!({"pkcs8": signer.pem()})).await.expect(403);
    let _ = acme.operator.post(&path, &json!({"pkcs8": signer.pem()})).await.expect(201);
    acme.settle().await;
    let session: Session = acme.user("ada").await.sign_in().await;
    let forged = session.with_access(signer.sign(&session.claims()));
    let _ = forged.validate().await.expect(200);
    assert!(acme.keys().await.verify(&forged.access).is_ok());
    assert_eq!(forged.me().await.expect(200).text_at("username"), "ada");
}
