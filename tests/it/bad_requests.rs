//! Requests that no client should send, at every public route: wrong method, media type, encoding,
//! size and shape, keys that come twice, nesting without end. Each gets a 4xx with the contract's
//! body, through workerd, and control's routes through the edge.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use shared::contract::limits::BODY_BYTES;
use shared::contract::routes::{ROUTES, Route, RouteKind};
use wardgate_tests::actors::Tenant;
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;

/// The routes of a tenant as its platform's administrator calls them, who may call all of them.
struct Caller<'t> {
    acme: &'t Tenant<'t>,
}

impl Caller<'_> {
    fn path(&self, route: &Route) -> String {
        // Whatever stands in a path has to exist, so that nothing but the request itself is wrong.
        let id =
            if route.path.starts_with("api/tenant") { self.acme.id.to_string() } else { self.operator_id() };
        let path = route.path.replacen('*', &id, 1).replace('*', &"A".repeat(43));
        format!("/{path}/")
    }

    fn operator_id(&self) -> String {
        self.acme.operator.session().claim("sub")
    }

    fn request(&self, method: &Method, route: &Route) -> RequestBuilder {
        let base = format!("{}/t/platform", self.acme.stack().edge_url());
        let request = self.acme.http.at(base).request(method.clone(), &self.path(route));
        // At the edge's own routes a good credential would be what they answer to.
        if matches!(route.kind, RouteKind::Protected) {
            request.bearer_auth(&self.acme.operator.session().access)
        } else {
            request
        }
    }
}

/// What every refusal has, whatever else it says.
fn assert_refusal(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status), "{what}: {} {}", reply.status, reply.text);
    assert_eq!(reply.header("content-type"), "application/json", "{what}");
    assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    assert!(!reply.header("x-request-id").is_empty(), "{what}");
    let body = reply.json();
    let worded = body["detail"].is_string()
        || body.as_object().is_some_and(|fields| fields.values().all(Value::is_array));
    assert!(worded, "{what}: {body}");
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have() {
    let acme = Tenant::create(Stack::shared().await).await;
    let caller = Caller { acme: &acme };
    for route in ROUTES {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if route.allows(method.as_str()) {
                continue;
            }
            let what = format!("{method} {}", route.path);
            let reply = Reply::to(caller.request(&method, route)).await;
            assert_refusal(&reply, &what);
            let expected = json!({"detail": format!("Method \"{method}\" not allowed.")});
            assert_eq!((reply.status, reply.json()), (405, expected), "{what}");
            assert_eq!(reply.header("allow"), route.allow, "{what}");
            if route.kind == RouteKind::Protected {
                // Who may not know of a route does not learn its methods.
                let stranger = Reply::to(acme.http.request(method, &caller.path(route))).await;
                assert_eq!(stranger.status, 401, "{what}, without credentials");
            }
        }
        let options = Reply::to(acme.http.request(Method::OPTIONS, &caller.path(route))).await.expect(200);
        assert_eq!((options.header("allow"), options.text.as_str()), (route.allow, "{}"), "{}", route.path);
    }
}

/// A body, how it is labelled, and what is said of it.
struct Bad {
    what: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    status: u16,
    says: fn(&Value) -> bool,
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn unsupported(body: &Value) -> bool {
    body["detail"].as_str().is_some_and(|detail| detail.starts_with("Unsupported media type"))
}

fn parse_error(body: &Value) -> bool {
    body["detail"].as_str().is_some_and(|detail| detail.starts_with("JSON parse error - "))
}

fn too_large(body: &Value) -> bool {
    *body == json!({"detail": "Request body is too large.", "code": "too_large"})
}

fn expected_a_dictionary(body: &Value) -> bool {
    let says = |kind: &str| json!([format!("Invalid data. Expected a dictionary, but got {kind}.")]);
    ["list", "int", "str", "NoneType"].iter().any(|kind| body["non_field_errors"] == says(kind))
}

fn bad_bodies() -> Vec<Bad> {
    let bad = |what, headers, body: &str, status, says| Bad {
        what,
        headers,
        body: body.as_bytes().to_vec(),
        status,
        says,
    };
    let large = |size: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(size - 8));
    let not_utf8 = Bad {
        what: "no UTF-8",
        headers: JSON,
        body: b"{\"username\":\"\xff\"}".to_vec(),
        status: 400,
        says: parse_error,
    };
    vec![
        bad("another media type", &[("content-type", "text/plain")], "{}", 415, unsupported),
        bad("no media type", &[], "{}", 415, unsupported),
        bad(
            "an encoding",
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            "{}",
            415,
            unsupported,
        ),
        bad("a byte too many", JSON, &large(BODY_BYTES + 1), 413, too_large),
        bad("no JSON", JSON, "{bad", 400, parse_error),
        bad("half of JSON", JSON, "{\"username\": \"ada\"", 400, parse_error),
        bad("more than JSON", JSON, "{} {}", 400, parse_error),
        bad("a list", JSON, "[]", 400, expected_a_dictionary),
        bad("a number", JSON, "7", 400, expected_a_dictionary),
        bad("a text", JSON, "\"text\"", 400, expected_a_dictionary),
        bad("null", JSON, "null", 400, expected_a_dictionary),
        bad("a key twice", JSON, "{\"username\":\"a\",\"username\":\"b\"}", 400, parse_error),
        bad("a key twice, deep inside", JSON, "{\"x\":[{\"a\":1,\"a\":2}]}", 400, parse_error),
        bad(
            "deep nesting",
            JSON,
            &format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
            400,
            parse_error,
        ),
        not_utf8,
    ]
}

/// The methods of a route that read a body. Rotating and revoking a key take none, nor do retrying and cancelling a job,
/// making recovery codes, and a test of mail. Where registration is closed, the answer says so before a body is read.
fn methods_with_a_body(route: &Route) -> Vec<Method> {
    let without = ["rotate", "revoke", "retry", "cancel", "mail/test", "public-register", "recovery-codes"];
    let bodiless = without.iter().any(|end| route.path.ends_with(end));
    let all = [Method::POST, Method::PUT, Method::PATCH];
    all.into_iter().filter(|method| route.allows(method.as_str()) && !bodiless).collect()
}

#[tokio::test]
async fn a_body_that_is_none() {
    let acme = Tenant::create(Stack::shared().await).await;
    let caller = Caller { acme: &acme };
    let mut tried = 0;
    for route in ROUTES {
        for method in methods_with_a_body(route) {
            for bad in bad_bodies() {
                let what = format!("{} for {method} {}", bad.what, route.path);
                let mut request = caller.request(&method, route).body(bad.body.clone());
                for (name, value) in bad.headers {
                    request = request.header(*name, *value);
                }
                let reply = Reply::to(request).await;
                assert_refusal(&reply, &what);
                assert_eq!(reply.status, bad.status, "{what}: {}", reply.text);
                assert!((bad.says)(&reply.json()), "{what}: {}", reply.text);
                tried += 1;
            }
        }
    }
    eprintln!("{tried} bad bodies");
    assert!(tried >= 14 * 13);
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_off_at_the_limit() {
    let acme = Tenant::create(Stack::shared().await).await;
    let caller = Caller { acme: &acme };
    for route in ROUTES {
        for method in methods_with_a_body(route) {
            let chunks = (0..=16).map(|_| Ok::<_, std::io::Error>(vec![b' '; BODY_BYTES / 16]));
            let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
            let request = caller.request(&method, route).header("content-type", "application/json");
            let reply = Reply::to(request.body(body)).await;
            assert_eq!(reply.status, 413, "{method} {}: {}", route.path, reply.text);
            assert!(too_large(&reply.json()));
        }
    }
}

#[tokio::test]
async fn fields_of_the_wrong_shape() {
    let acme = Tenant::create(Stack::shared().await).await;
    let cases = [
        (
            "/api/token/",
            json!({"username": null, "password": []}),
            json!({
            "username": ["This field may not be null."], "password": ["Not a valid string."]}),
        ),
        ("/api/login/", json!({"username": "ada"}), json!({"password": ["This field is required."]})),
        ("/api/token/refresh/", json!({"refresh": {}}), json!({"refresh": ["Not a valid string."]})),
        ("/api/token/verify/", json!({"token": "  "}), json!({"token": ["This field may not be blank."]})),
        ("/api/token/blacklist/", json!({}), json!({"refresh": ["This field is required."]})),
        ("/api/token/validate/", json!({}), json!({"token": ["This field is required."]})),
    ];
    for (path, body, expected) in cases {
        assert_eq!(acme.http.post(path, &body).await.expect(400).json(), expected, "{path}");
    }
    let user = json!({"username": [], "roles": ["client"], "status": "gone"});
    let faults = acme.admin.post("/api/user/users/", &user).await.expect(400).json();
    assert_eq!(faults["username"], json!(["Not a valid string."]));
    assert_eq!(faults["status"], json!(["\"gone\" is not a valid choice."]));
}

#[tokio::test]
async fn a_form_is_as_good_as_json_and_a_field_in_it_twice_is_not() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let form = async |body: String| {
        let request = acme.http.request(Method::POST, "/api/token/").body(body);
        Reply::to(request.header("content-type", "application/x-www-form-urlencoded")).await
    };
    let _ = form(format!("username=ada&password={}", ada.password)).await.expect(200);
    assert_refusal(&form(format!("username=ada&username=eve&password={}", ada.password)).await, "twice");
    let multipart = async |path: &str, fields: &[(&str, &str)]| {
        let part = |(name, value): &(&str, &str)| {
            format!("--parts\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body = fields.iter().map(part).collect::<String>() + "--parts--\r\n";
        let request =
            acme.http.request(Method::POST, path).bearer_auth(&acme.admin.session().access).body(body);
        Reply::to(request.header("content-type", "multipart/form-data; boundary=parts")).await
    };
    let ada = [("username", "ada"), ("password", ada.password.as_str())];
    let _ = multipart("/api/token/", &ada).await.expect(200);
    assert_refusal(&multipart("/api/token/", &[ada[0], ada[0], ada[1]]).await, "twice");
    // The same on the other side, to which the edge forwards it as it came.
    let made =
        multipart("/api/user/users/", &[("username", "grace"), ("first_name", "Grace")]).await.expect(201);
    assert_eq!(made.json()["first_name"], "Grace");
}

#[tokio::test]
async fn a_credential_that_is_none() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let session = ada.sign_in().await;
    let with = async |authorization: String| {
        let request = acme.http.request(Method::GET, "/api/user/me/").header("authorization", authorization);
        Reply::to(request).await
    };
    for good in [format!("Bearer {}", session.access), format!("bEARER   {}", session.access)] {
        let _ = with(good).await.expect(200);
    }
    for two in ["Bearer".to_owned(), "Bearer a b".to_owned()] {
        assert_eq!(with(two).await.expect(401).text_at("code"), "bad_authorization_header");
    }
    for none in ["Basic YTpi", "Token abc"] {
        let expected = json!({"detail": "Authentication credentials were not provided."});
        assert_eq!(with(none.to_owned()).await.expect(401).json(), expected);
    }
    let wrong_type = with(format!("Bearer {}", session.refresh)).await.expect(401).json();
    assert_eq!(wrong_type["messages"][0]["message"], "Token has wrong type");
    let refresh = json!({"refresh": session.access});
    let refresh = acme.http.post("/api/token/refresh/", &refresh).await.expect(401);
    assert_eq!(refresh.text_at("detail"), "Token has wrong type");
    let client = acme.http.request(Method::GET, "/api/user/users/").bearer_auth(&session.access);
    let expected = json!({"detail": "You do not have permission to perform this action."});
    assert_eq!(Reply::to(client).await.expect(403).json(), expected);
}
