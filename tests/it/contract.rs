//! The recorded contract of the old service (`contract/simplejwt.jsonl`): every line, replayed through
//! the edge in the order of the recording.
//!
//! Compared are status, every recorded member and message (more members are allowed), and the headers
//! shown. What differs on purpose is in [`deviation`], by the name of its line, and nowhere else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::ids::UserId;
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::clock;
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier::Signer;
use wardgate_tests::wait;

const RECORDED: &str = include_str!("../contract/simplejwt.jsonl");
const PASSWORD: &str = "Corr3ct-horse";

/// Users besides alice and bob, as the recording has them.
const OTHERS: usize = 45;

/// What we answer otherwise than the old service, by the name of the line.
fn deviation(exchange: &mut Exchange) {
    let Exchange { name, request, response } = exchange;
    match name.as_str() {
        // A filter that does not parse shows no users instead of all.
        "bad filter" => {
            response.status = 400;
            response.body = json!({"is_active": ["Must be a valid boolean."]});
        }
        // What follows is the old parser's own: `alike` compares the prefix.
        "malformed json" => {}
        // Inside a retry window the same successor is answered: this tenant's window is 0.
        "refresh reused" => {}
        // Ids are UUIDs: `alike` asks that there is one, and bob is not number 2.
        "create ok" => response.body["id"] = json!("<id>"),
        "delete" => request.path = request.path.replace("/2/", "/<id:bob>/"),
        // Routes of the recording alone, each in place of any that does the same.
        "method na" | "forbidden" => {
            request.path = "/api/user/roles/".to_owned();
            request.headers["Authorization"] = json!("Bearer <access:u0>");
            response.headers.remove("Allow");
        }
        "throttle" => {
            request.path = "/api/token/".to_owned();
            request.body = json!({"username": "u0", "password": PASSWORD});
            response.headers.remove("Allow");
        }
        _ => {}
    }
}

/// A line of a recording.
#[derive(Deserialize)]
pub struct Exchange {
    pub name: String,
    pub request: Request,
    pub response: Response,
}

#[derive(Deserialize)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Map<String, Value>,
    #[serde(default)]
    pub body: Value,
}

#[derive(Deserialize)]
pub struct Response {
    pub status: u16,
    pub headers: Map<String, Value>,
    pub body: Value,
}

/// Every line, as we are to answer it.
fn exchanges() -> Vec<Exchange> {
    let read = |line| {
        let mut exchange = serde_json::from_str::<Exchange>(line).expect("a recorded line");
        deviation(&mut exchange);
        exchange
    };
    RECORDED.lines().map(read).collect()
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
        other => other
            .replace("<access:alice>", &cast.alices)
            .replace("<access:u0>", &cast.u0s)
            .replace("<access:expired>", &cast.expired)
            .replace("<access:bob>", &cast.bobs)
            .replace("<id:bob>", &cast.bob.to_string()),
    };
    assert!(!text.contains('<'), "no such token: {text}");
    text
}

/// Whom the recording knows, and the tokens that cannot be had by signing in.
struct Cast<'t> {
    alice: User<'t>,
    alices: String,
    bob: UserId,
    u0s: String,
    expired: String,
    bobs: String,
}

impl<'t> Cast<'t> {
    /// Tokens of a suspended or long gone session are made with a key of the tenant's own, which the
    /// test has imported and therefore knows.
    async fn gather(acme: &'t Tenant<'t>) -> Self {
        let alice = json!({"password": PASSWORD, "roles": ["root-admin"], "email": "alice@x.io"});
        let alice = acme.user_with("alice", alice).await;
        let bob = json!({"password": PASSWORD, "status": "inactive", "email": "bob@x.io"});
        let bob = acme.user_with("bob", bob).await;
        let u0 = acme.users(OTHERS).await.swap_remove(0);
        u0.change(&json!({"password": PASSWORD})).await;
        acme.settle().await;
        // The recording has no other users, so the creator is deleted.
        let root = acme.admin.get("/api/user/me/").await.expect(200).text_at("id");
        let alices = alice.sign_in().await;
        let gone = acme.http.request(Method::DELETE, &format!("/api/user/users/{root}/"));
        let _ = Reply::to(gone.bearer_auth(&alices.access)).await.expect(204);
        let signer = acme.import_key().await;
        let now = clock::now_secs();
        let mut claims = alices.claims();
        (claims["iat"], claims["exp"]) = (json!(now - 600), json!(now - 300));
        let expired = signer.sign(&claims);
        (claims["iat"], claims["exp"]) = (json!(now), json!(now + 300));
        (claims["sub"], claims["user_id"]) = (json!(bob.id), json!(bob.id));
        claims["epoch"] = json!(0);
        // A session of bob's own, which ended with his account and is in no table any more.
        claims["sid"] = json!(URL_SAFE_NO_PAD.encode([0_u8; 17]));
        let u0s = u0.try_sign_in_with(PASSWORD).await.expect(200).text_at("access");
        Self { alice, alices: alices.access, bob: bob.id, u0s, expired, bobs: signer.sign(&claims) }
    }
}

async fn send(acme: &Tenant<'_>, cast: &Cast<'_>, recorded: &Request) -> Reply {
    let method = Method::from_bytes(recorded.method.as_bytes()).expect("a method");
    let mut request = acme.http.request(method, &filled(&recorded.path, acme, cast).await);
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
pub fn difference(recorded: &Response, reply: &Reply, origin: &str) -> Option<String> {
    if reply.status != recorded.status {
        return Some(format!("status {} instead of {}", reply.status, recorded.status));
    }
    for (name, value) in &recorded.headers {
        let said = reply.header(name);
        let alike = match name.as_str() {
            "Retry-After" => said.parse::<u32>().is_ok_and(|secs| secs > 0),
            _ => said == value.as_str().unwrap_or_default(),
        };
        if !alike {
            return Some(format!("{name}: {said:?} instead of {value}"));
        }
    }
    if recorded.body == "" {
        return (!reply.text.is_empty()).then(|| String::from("a body where there was none"));
    }
    let body = reply.json();
    let mut members = recorded.body.as_object().into_iter().flatten();
    let other = members.find(|(name, value)| !alike(value, &body[name.as_str()], origin));
    other.map(|(name, value)| format!("{name}: {} instead of {value}", body[name.as_str()]))
}

fn alike(recorded: &Value, said: &Value, origin: &str) -> bool {
    let (Some(placeholder), text) = (recorded.as_str(), said.as_str().unwrap_or_default()) else {
        return recorded == said;
    };
    match placeholder {
        "<jwt>" => text.split('.').count() == 3,
        "<id>" => UserId::parse(text).is_ok_and(|id| id.to_string() == text),
        "<datetime>" => {
            text.len() == "2026-01-01T00:00:00.000000Z".len()
                && text.ends_with('Z')
                && chrono::DateTime::parse_from_rfc3339(text).is_ok()
        }
        "<page of objects>" => {
            let page = said.as_array().map(Vec::as_slice).unwrap_or_default();
            page.len() == 20 && page.iter().all(Value::is_object)
        }
        _ if placeholder.starts_with("JSON parse error - ") => text.starts_with("JSON parse error - "),
        _ if placeholder.starts_with("Request was throttled.") => {
            let without_digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
            without_digits(text) == without_digits(placeholder)
        }
        _ => placeholder.replace("<origin>", origin) == text && said.is_string(),
    }
}

#[tokio::test]
async fn clients_of_the_old_service_meet_what_they_know() {
    let stack = Stack::own("contract").await;
    let settings = json!({"retry_window_secs": 0, "min_password_length": 8});
    let acme = Tenant::create_with(&stack, json!({"settings": settings})).await;
    let cast = Cast::gather(&acme).await;
    let exchanges = exchanges();
    assert_eq!(exchanges.len(), 33, "the recording has other lines than this replay knows");
    // What moves time comes last.
    let (late, early): (Vec<_>, Vec<_>) =
        exchanges.into_iter().partition(|exchange| exchange.name == "refresh expired");
    let mut differences = Vec::new();
    for exchange in early.iter().chain(&late) {
        if exchange.name == "throttle" && exchange.response.status == 429 {
            use_up_attempts(&acme, "u0").await;
        }
        let reply = send(&acme, &cast, &exchange.request).await;
        if let Some(difference) = difference(&exchange.response, &reply, acme.http.base()) {
            differences.push(format!("{}: {difference}\n    {}", exchange.name, reply.text));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Guesses until no more guess is looked at.
async fn use_up_attempts(acme: &Tenant<'_>, username: &str) {
    let guess = json!({"username": username, "password": "a wrong guess"});
    let throttled = async || (acme.http.post("/api/token/", &guess).await.status == 429).then_some(());
    wait::until("the attempts to be used up", throttled).await;
}

#[tokio::test]
async fn tokens_of_an_imported_key_are_as_good_as_ours() {
    let acme = Tenant::create(Stack::shared().await).await;
    let signer = Signer::generate();
    let path = format!("{}keys/import/", acme.path());
    // The tenant's own administrators may not: with the key they could impersonate every user.
    let _ = acme.admin.post(&path, &json!({"pkcs8": signer.pem()})).await.expect(403);
    let _ = acme.operator.post(&path, &json!({"pkcs8": signer.pem()})).await.expect(201);
    acme.settle().await;
    let session: Session = acme.user("ada").await.sign_in().await;
    let forged = session.with_access(signer.sign(&session.claims()));
    let _ = forged.validate().await.expect(200);
    assert!(acme.keys().await.verify(&forged.access).is_ok());
    assert_eq!(forged.me().await.expect(200).text_at("username"), "ada");
}
