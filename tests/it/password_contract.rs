//! How Django answers a reset of a password, its confirmation and a change (`contract/passwords.jsonl`), replayed
//! through the edge like the rest of the contract. What differs on purpose is in [`deviation`], by the name of its line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;
use wardgate_tests::actors::{Tenant, User};
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;

use crate::contract::{Exchange, Request, difference};

const RECORDED: &str = include_str!("../contract/passwords.jsonl");
const PASSWORD: &str = "Corr3ct-horse";
/// Who changes a password, each once.
const CHANGERS: [&str; 9] = ["carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kevin"];

/// Lines that have no counterpart: a client that asks for the new password twice compares the two itself, and a second
/// field is passed over where a user is signed in.
const ASKED_TWICE: [&str; 2] = ["change mismatched", "change retype missing"];
/// Lines about whose token it is: a link says that by itself, and `uid` is passed over. Otherwise these would say which
/// ids exist.
const BY_UID: [&str; 3] = ["confirm token of another", "confirm uid of nobody", "confirm garbage uid"];

/// What we answer otherwise than Django and djoser, by the name of the line.
fn deviation(exchange: &mut Exchange) {
    let Exchange { name, request, response } = exchange;
    let says = |words: &[&str]| json!({"new_password": words});
    let mut refuses = |body: Value| {
        response.status = 400;
        response.body = body;
    };
    match name.as_str() {
        // What is no text is said to be none, wherever a text is asked for.
        "reset list" => refuses(json!({"email": ["Not a valid string."]})),
        // These routes want no credentials, so the method is what is wrong.
        "reset GET" | "reset DELETE" | "confirm GET" | "confirm PUT" => {
            response.status = 405;
            response.body = json!({"detail": format!("Method \"{}\" not allowed.", request.method)});
            response.headers.remove("WWW-Authenticate");
        }
        // djoser compares a password with the names of the signed-in user, and here no user is signed in.
        "confirm like the username" => refuses(says(&["The password is too similar to the username."])),
        "confirm like the first name" => refuses(says(&["The password is too similar to the first name."])),
        "confirm like the last name" => refuses(says(&["The password is too similar to the last name."])),
        "confirm like the address" => refuses(says(&["The password is too similar to the email address."])),
        // A stranger's guess at a link costs no look at the password.
        "confirm bad token and weak" => refuses(json!({"token": ["Invalid token for given user."]})),
        // `uid` is passed over.
        "confirm missing all" | "confirm blank all" | "confirm null all" => {
            response.body.as_object_mut().map(|body| body.remove("uid"));
        }
        // Passwords are never trimmed.
        "confirm blanks alone" | "change blanks alone" => refuses(says(&["This password is too common."])),
        // Random digits are an acceptable password.
        "confirm entirely numeric" | "change entirely numeric" => response.status = 204,
        _ => {}
    }
    // A reset is always answered alike, with a text.
    if name.starts_with("reset ") && response.status == 204 {
        response.status = 200;
        response.body = json!({"detail": "If the address is known, a message is on its way."});
    }
    // So are the others, in the words of dj-rest-auth, whose answers have some; a change says what comes next, too.
    for (line, detail) in [
        ("confirm ", "Password has been reset with the new password."),
        ("change ", "New password has been saved."),
    ] {
        if name.starts_with(line) && response.status == 204 {
            response.status = 200;
            response.body = json!({"detail": detail});
        }
    }
}

/// Every line, as we are to answer it.
fn exchanges() -> Vec<Exchange> {
    let read = RECORDED.lines().map(|line| serde_json::from_str::<Exchange>(line).expect("a recorded line"));
    let counts = |exchange: &Exchange| {
        let name = exchange.name.as_str();
        !ASKED_TWICE.contains(&name) && !BY_UID.contains(&name)
    };
    let mut exchanges: Vec<_> = read.filter(counts).collect();
    exchanges.iter_mut().for_each(deviation);
    exchanges
}

/// Whom the recording knows.
struct Cast<'t> {
    acme: &'t Tenant<'t>,
    users: BTreeMap<String, User<'t>>,
    access: BTreeMap<String, String>,
}

impl<'t> Cast<'t> {
    async fn gather(acme: &'t Tenant<'t>) -> Self {
        let mut users = BTreeMap::new();
        let address = |name: &str| format!("{name}@x.io");
        let names = json!({
            "email": address("alice"), "first_name": "Alicia", "last_name": "Pleasance-Liddell", "password": PASSWORD,
        });
        users.insert("alice".to_owned(), acme.user_with("alice", names).await);
        let inactive = json!({"email": address("bob"), "password": PASSWORD, "status": "inactive"});
        users.insert("bob".to_owned(), acme.user_with("bob", inactive).await);
        for name in CHANGERS {
            let user = acme.user_with(name, json!({"email": address(name), "password": PASSWORD})).await;
            users.insert(name.to_owned(), user);
        }
        let mut access = BTreeMap::new();
        for (name, user) in users.iter().filter(|(name, _)| *name != "bob") {
            access.insert(name.clone(), user.sign_in().await.access);
        }
        Self { acme, users, access }
    }

    async fn write_link(&self, user: UserId, token: &[u8; 32], secs: i64) {
        self.acme.stack().database.write_reset_link(self.acme.id, user, token, secs).await;
    }

    /// A link's token, written as if it had been mailed: mails to one account are few.
    async fn token(&self, name: &str) -> String {
        let (text, bytes) = {
            let bytes: [u8; 32] = rand::random();
            (URL_SAFE_NO_PAD.encode(bytes), bytes)
        };
        match name {
            "used" => {}
            "expired" => self.write_link(self.users["alice"].id, &bytes, -1).await,
            name => self.write_link(self.users[name].id, &bytes, 3600).await,
        }
        text
    }

    /// Puts what the test has made in the place of `<kind:WHO>`.
    async fn filled(&self, text: &str) -> String {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, found)) = rest.split_once('<') {
            let Some(((kind, name), after)) =
                found.split_once('>').and_then(|(named, after)| Some((named.split_once(':')?, after)))
            else {
                // A body of another media type.
                let _ = write!(filled, "{before}<");
                rest = found;
                continue;
            };
            let value = match kind {
                "token" => self.token(name).await,
                "uid" => self.users.get(name).map_or_else(
                    || URL_SAFE_NO_PAD.encode("4711"),
                    |user| URL_SAFE_NO_PAD.encode(user.id.to_string()),
                ),
                "access" => self.access[name].clone(),
                other => panic!("no such thing: {other}"),
            };
            let _ = write!(filled, "{before}{value}");
            rest = after;
        }
        filled + rest
    }

    async fn send(&self, recorded: &Request) -> Reply {
        let method = Method::from_bytes(recorded.method.as_bytes()).expect("a method");
        let mut request = self.acme.http.request(method, &recorded.path);
        for (name, value) in &recorded.headers {
            request = request.header(name, self.filled(value.as_str().expect("a header")).await);
        }
        let body = match &recorded.body {
            Value::Null => return Reply::to(request).await,
            Value::String(raw) => raw.clone(),
            body => body.to_string(),
        };
        Reply::to(request.body(self.filled(&body).await)).await
    }
}

#[tokio::test]
async fn clients_of_djoser_meet_what_they_know() {
    let stack = Stack::own("passwords").await;
    let acme = Tenant::create_with(&stack, json!({"settings": {"min_password_length": 8}})).await;
    let cast = Cast::gather(&acme).await;
    let exchanges = exchanges();
    assert_eq!(exchanges.len(), 77, "the recording has other lines than this replay knows");
    let mut differences = Vec::new();
    for exchange in &exchanges {
        let reply = cast.send(&exchange.request).await;
        if let Some(difference) = difference(&exchange.response, &reply, acme.http.base()) {
            differences.push(format!("{}: {difference}\n    {}", exchange.name, reply.text));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
