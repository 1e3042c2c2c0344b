//! The published document against the running parts: every example of the edge's routes and of the
//! users's is sent, and what is answered has the shape that the document says.

use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::{Tenant, User};
use wardgate_tests::clients::Browser;
use wardgate_tests::http::{Http, Reply};
use wardgate_tests::stack::Stack;
use wardgate_tests::wait;

/// The user and the password of the examples.
const ADA: (&str, &str) = ("ada", "correct horse battery staple");
/// What no example can be sent to: a setup takes a token from a terminal, once, and only at the platform tenant; a code is
/// one of an authenticator (`second_factor.rs`). The example of the limits shows two of many (`limits.rs` of the edge).
const ELSEWHERE: [&str; 4] = ["setup", "verify_otp", "step_up", "limits"];

/// One method of one path.
struct Operation {
    path: String,
    method: String,
    described: Value,
}

/// Those that the examples are held to, in an order in which they can be sent: who is made is read, then changed,
/// then deleted. Requests about a user come after the request that creates the user.
fn operations(document: &Value) -> Vec<Operation> {
    let order = ["post", "get", "put", "patch", "delete"];
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, described) in item.as_object().expect("methods") {
            let tag = described["tags"][0].as_str().expect("a tag");
            let id = described["operationId"].as_str().expect("an id");
            if ["Tokens", "Keys", "Health", "Users"].contains(&tag) && !ELSEWHERE.contains(&id) {
                let (path, method, described) = (path.clone(), method.clone(), described.clone());
                operations.push(Operation { path, method, described });
            }
        }
    }
    let rank = |it: &Operation| order.iter().position(|method| *method == it.method);
    let about = |it: &Operation| it.method == "post" && it.path.contains('{');
    operations.sort_by_key(|it| (rank(it), about(it), std::cmp::Reverse(it.path.len())));
    operations
}

impl Operation {
    fn is_of(&self, tag: &str) -> bool {
        self.described["tags"][0] == tag
    }

    /// The example of the body, if there is a body.
    fn body(&self) -> Option<Value> {
        let content = &self.described["requestBody"]["content"]["application/json"];
        let has_body = self.described["requestBody"].is_object();
        assert!(!has_body || content["example"].is_object(), "{} {} has no example", self.method, self.path);
        has_body.then(|| content["example"].clone())
    }

    /// Status and example of the answer that says yes.
    fn answer(&self) -> (u16, Option<&Value>) {
        let responses = self.described["responses"].as_object().expect("responses");
        let (status, response) = responses.iter().find(|(status, _)| status.starts_with('2')).expect("a yes");
        let json = &response["content"]["application/json"];
        assert!(
            status == "204" || json["example"].is_object(),
            "{} {} has no example",
            self.method,
            self.path
        );
        (status.parse().expect("a number"), (status != "204").then_some(&json["example"]))
    }
}

/// Where two values are not of one shape; null stands for whatever may be absent.
fn difference(at: &str, example: &Value, said: &Value) -> Option<String> {
    match (example, said) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Object(example), Value::Object(said)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            if names(example) != names(said) {
                return Some(format!("{at}: {:?} instead of {:?}", names(said), names(example)));
            }
            example.iter().find_map(|(name, value)| difference(&format!("{at}.{name}"), value, &said[name]))
        }
        (Value::Array(example), Value::Array(said)) => {
            let pattern = example.first()?;
            said.iter().find_map(|item| difference(&format!("{at}[]"), pattern, item))
        }
        (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_)) => None,
        _ => Some(format!("{at}: {said} instead of something like {example}")),
    }
}

/// What the examples cannot know.
struct Cast<'t> {
    acme: &'t Tenant<'t>,
    ada: User<'t>,
    /// The user of the example that makes one.
    made: Option<String>,
}

impl Cast<'_> {
    /// Sends an example, with tokens and ids that are good in place of those that it shows.
    async fn send(&self, operation: &Operation) -> Reply {
        let mut path = operation.path.clone();
        if path.contains("{id}") {
            path = path.replace("{id}", self.made.as_ref().expect("POST comes first"));
        }
        let root = Http::new(self.acme.stack().edge_url());
        let http = if operation.is_of("Health") { &root } else { &self.acme.http };
        let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).expect("a method");
        let mut request = http.request(method, &path);
        if operation.is_of("Users") {
            request = request.bearer_auth(&self.acme.admin.session().access);
        } else if operation.described["security"][0]["bearer"].is_array() {
            request = request.bearer_auth(self.ada.sign_in().await.access);
        }
        if let Some(mut body) = operation.body() {
            if body["refresh"].is_string() {
                body["refresh"] = json!(self.ada.sign_in().await.refresh);
            }
            if body["token"].is_string() {
                body["token"] = json!(self.ada.sign_in().await.access);
            }
            request = request.json(&body);
        }
        Reply::to(request).await
    }

    /// Sends the same with something that is not good in it, where the document shows how that is refused.
    async fn send_bad(&self, operation: &Operation) -> Option<Reply> {
        let Some(mut body) = operation.body() else { return Some(self.acme.http.get(&operation.path).await) };
        for member in ["password", "refresh", "token"] {
            if body[member].is_string() {
                body[member] = json!("nothing good");
            }
        }
        Some(self.acme.http.post(&operation.path, &body).await)
    }
}

#[tokio::test]
async fn every_example_is_answered_as_it_says() {
    let acme = Tenant::create(Stack::shared().await).await;
    let document = acme.http.get("/api/schema/").await.expect(200).json();
    assert_eq!(document["servers"][0]["url"], acme.http.base());
    let ada = json!({"password": ADA.1, "email": "ada@acme.example"});
    let mut cast = Cast { acme: &acme, ada: acme.user_with(ADA.0, ada).await, made: None };
    let operations = operations(&document);
    assert_eq!(operations.len(), 23, "the edge's 13 and the people's 10");
    let mut differences = Vec::new();
    for operation in &operations {
        let name = format!("{} {}", operation.method, operation.path);
        let reply = cast.send(operation).await;
        let (status, example) = operation.answer();
        if reply.status != status {
            differences.push(format!("{name}: {} instead of {status}: {}", reply.status, reply.text));
            continue;
        }
        differences.extend(example.and_then(|example| difference(&name, example, &reply.json())));
        if name == "post /api/user/users/" {
            cast.made = Some(reply.text_at("id"));
        }
        let refused = &operation.described["responses"]["401"]["content"]["application/json"]["example"];
        if refused.is_object() {
            let reply = cast.send_bad(operation).await.expect("a body").expect(401);
            differences.extend(difference(&format!("{name} 401"), refused, &reply.json()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn the_document_is_the_one_that_the_command_line_prints() {
    let acme = Tenant::create(Stack::shared().await).await;
    let mut served = acme.http.get("/api/schema/").await.expect(200).json();
    let printed = std::process::Command::new(wardgate_tests::environment::control_binary())
        .arg("openapi")
        .env_clear()
        .output()
        .expect("the binary");
    assert!(printed.status.success());
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    served.as_object_mut().expect("an object").remove("servers");
    assert_eq!(served, printed);
}

#[tokio::test]
async fn the_reader_shows_every_operation_and_loads_nothing_from_elsewhere() {
    let acme = Tenant::create(Stack::shared().await).await;
    let page = acme.http.get("/docs").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    let _ = acme.http.get("/docs/swagger-initializer.js").await.expect(404);

    let document = acme.http.get("/api/schema/").await.expect(200).json();
    let paths = document["paths"].as_object().expect("paths").values();
    let count: usize = paths.map(|item| item.as_object().expect("methods").len()).sum();
    let mut browser = Browser::start("docs");
    for path in ["/docs", "/docs/"] {
        let tab = browser.open(&format!("{}{path}", acme.http.base()));
        let shown = "return document.querySelectorAll('.opblock').length";
        wait::until("the operations", async || {
            let shown = browser.run(tab, shown, Value::Null);
            (shown == json!(count)).then_some(())
        })
        .await;
        let loaded = "return performance.getEntriesByType('resource').map((entry) => entry.name)";
        let loaded = browser.run(tab, loaded, Value::Null);
        let loaded: Vec<_> =
            loaded.as_array().expect("a list").iter().map(|url| url.as_str().unwrap()).collect();
        assert!(loaded.iter().any(|url| url.ends_with("/api/schema/")), "{loaded:?}");
        for url in loaded {
            assert!(url.starts_with(acme.http.base()) || url.starts_with("data:"), "{path} loaded {url}");
        }
    }
}
