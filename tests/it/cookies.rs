//! Browsers: cookies on a tenant's own host, who may act by them, who may read an answer, and that no user is signed
//! out by a lost answer or by ten requests at once.

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wardgate_tests::actors::{Page, Session, Tenant};
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier;
use wardgate_tests::wait;

const ACCESS: &str = "__Host-access_token";
const REFRESH: &str = "__Host-refresh_token";
const ALL: [&str; 3] = [ACCESS, REFRESH, "csrftoken"];
const ME: &str = "/api/user/me/";

/// A tenant with a host of its own, and a page of an origin that it lists.
async fn acme(stack: &Stack) -> (Tenant<'_>, Page) {
    let host = format!("h{}.localhost", wardgate_tests::seed::unique());
    let origin = format!("http://app.{host}:3000");
    let settings = json!({"origins": [origin]});
    let tenant = Tenant::create_with(stack, json!({"hosts": [host], "settings": settings})).await;
    (tenant, Page::open(stack, &host, &origin))
}

fn names(reply: &Reply) -> Vec<String> {
    reply.cookies().into_iter().map(|(name, ..)| name).collect()
}

#[tokio::test]
async fn a_page_signs_in_acts_and_leaves_by_cookie() {
    let stack = Stack::shared().await;
    let (acme, mut page) = acme(stack).await;
    let ada = acme.user("ada").await;

    // Three headers, not one: a browser does not part what a comma joins.
    let signed_in = page.sign_in(&ada).await.expect(200);
    assert_eq!(signed_in.headers.get_all("set-cookie").iter().count(), 3);
    assert_eq!(names(&signed_in), ALL);
    for (name, _, attributes) in signed_in.cookies() {
        let hidden = if name == "csrftoken" { "" } else { " HttpOnly;" };
        assert_eq!(attributes, format!("Path=/; Max-Age=2592000; Secure;{hidden} SameSite=Lax"));
    }
    assert_eq!(page.jar["csrftoken"], signed_in.text_at("csrf_token"));

    assert_eq!(page.get(ME).await.expect(200).text_at("username"), "ada");
    let valid = page.post("/api/token/validate/", &json!({})).await.expect(200);
    assert_eq!(valid.json()["user_id"], json!(ada.id));
    let before = page.clone();
    let _ = page.post("/api/token/refresh/", &json!({})).await.expect(200);
    assert_ne!(page.jar[REFRESH], before.jar[REFRESH]);
    // It is control that refuses her this, so it was reached.
    let create = json!({"username": "eve"});
    let forbidden = page.post("/api/user/users/", &create).await.expect(403);
    assert!(forbidden.json().get("code").is_none(), "{}", forbidden.text);

    let left = page.post("/api/logout/", &json!({})).await.expect(204);
    assert_eq!(left.headers.get_all("set-cookie").iter().count(), 3);
    assert!(page.jar.is_empty());
    let _ = page.get(ME).await.expect(401);
    let stale = json!({"refresh": before.jar[REFRESH]});
    let _ = acme.http.post("/api/token/refresh/", &stale).await.expect(401);
}

#[tokio::test]
async fn nobody_acts_by_cookie_from_elsewhere() {
    let stack = Stack::shared().await;
    let (acme, mut page) = acme(stack).await;
    let root = acme.user_with("ada", json!({"roles": ["root-admin"]})).await;
    let _ = page.sign_in(&root).await.expect(200);
    let value = page.jar["csrftoken"].clone();
    let create = json!({"username": "eve", "email": "eve@acme.test", "roles": ["client"]});
    for (what, origin, value) in [
        ("neither", None, None),
        ("no value", Some(page.origin.as_str()), None),
        ("another value", Some(page.origin.as_str()), Some("x")),
        ("no origin", None, Some(value.as_str())),
        ("another origin", Some("https://evil.example"), Some(value.as_str())),
        ("the host's own", Some(&*format!("http://{}", page.host)), Some(value.as_str())),
        ("null", Some("null"), Some(value.as_str())),
    ] {
        for (method, path) in [
            (Method::POST, "/api/user/users/"),
            (Method::POST, "/api/logout/"),
            (Method::DELETE, &*root.path()),
        ] {
            let mut request = page.bare(method, path).json(&create);
            for (name, value) in [("origin", origin), ("x-csrftoken", value)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let refused = Reply::to(request).await.expect(403);
            assert_eq!(
                (refused.text_at("code").as_str(), names(&refused).len()),
                ("csrf_failed", 0),
                "{what}"
            );
        }
    }
    let _ = page.post("/api/user/users/", &create).await.expect(201);
    // The same cookies where the tenant is named by path or header are none.
    for (path, slug) in [(format!("/t/{}{ME}", acme.slug), None), (ME.to_owned(), Some(&acme.slug))] {
        let mut shared = page.clone();
        shared.host = String::from("127.0.0.1");
        let mut request = shared.request(Method::GET, &path);
        if let Some(slug) = slug {
            request = request.header("x-tenant", slug);
        }
        let _ = Reply::to(request).await.expect(401);
    }
    // Nor does a form sign a user in.
    let form = [("username", root.username.as_str()), ("password", root.password.as_str())];
    let form = page.request(Method::POST, "/api/login/").body(encoded(&form));
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let answer = Reply::to(form).await.expect(200);
    assert_eq!(names(&answer), [""; 0]);
    let _ = Session::of(&acme.http, &answer).validate().await.expect(200);
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", value.replace(' ', "+"));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn listed_pages_read_answers_and_refusals_and_others_nothing() {
    let stack = Stack::shared().await;
    let (acme, page) = acme(stack).await;
    let session = acme.user("ada").await.sign_in().await;
    let bearer = |request: reqwest::RequestBuilder| request.bearer_auth(&session.access);
    let answers = async |page: &Page| {
        vec![
            Reply::to(bearer(page.request(Method::GET, ME))).await.expect(200),
            Reply::to(page.request(Method::GET, ME)).await.expect(401),
            Reply::to(bearer(page.request(Method::GET, "/api/user/users/nobody/"))).await.expect(403),
            Reply::to(page.request(Method::POST, "/api/token/").json(&json!({}))).await.expect(400),
            Reply::to(bearer(page.request(Method::POST, "/api/token/validate/"))).await.expect(200),
            Reply::to(bearer(page.request(Method::POST, "/api/token/validate/"))).await.expect(200),
        ]
    };
    let said = |reply: &Reply| {
        let one = |name: &str| {
            let values: Vec<_> =
                reply.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
            assert!(values.len() <= 1, "{name}: {values:?}");
            values.first().map(|value| (*value).to_owned())
        };
        assert!(reply.header("vary").contains("Origin"), "{:?}", reply.headers);
        (one("access-control-allow-origin"), one("access-control-allow-credentials"))
    };
    for reply in answers(&page).await {
        assert_eq!(said(&reply), (Some(page.origin.clone()), Some("true".to_owned())));
        assert!(reply.header("access-control-expose-headers").contains("X-Request-Id"));
    }
    let mut stranger = page.clone();
    stranger.origin = String::from("https://evil.example");
    for reply in answers(&stranger).await {
        assert_eq!(said(&reply), (None, None));
    }
    let preflight = async |page: &Page, path: &str| {
        let request = page.request(Method::OPTIONS, path).header("access-control-request-method", "PATCH");
        Reply::to(request.header("access-control-request-headers", "content-type,x-csrftoken"))
            .await
            .expect(200)
    };
    for (path, methods) in [
        ("/api/login/", "POST, OPTIONS"),
        (&*format!("/api/user/users/{}/", acme.id), "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    ] {
        let allowed = preflight(&page, path).await;
        assert_eq!(said(&allowed), (Some(page.origin.clone()), Some("true".to_owned())));
        assert_eq!(allowed.header("access-control-allow-methods"), methods);
        assert!(allowed.header("access-control-allow-headers").contains("X-CSRFToken"));
        assert_eq!(allowed.header("access-control-max-age"), "600");
        let refused = preflight(&stranger, path).await;
        assert_eq!(said(&refused), (None, None));
        assert_eq!(refused.header("access-control-allow-methods"), "");
    }
    // What the administrators take off the list is off within seconds, also where it was cached.
    let none = json!({"settings": {"origins": []}});
    let _ = acme.admin.patch(&acme.path(), &none).await.expect(200);
    wait::until("the origin to be off the list", async || {
        let reply = Reply::to(page.request(Method::GET, ME)).await;
        reply.header("access-control-allow-origin").is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_missing_access_cookie_is_renewed_ten_at_once_and_whatever_is_lost() {
    let stack = Stack::shared().await;
    let (acme, mut page) = acme(stack).await;
    let ada = acme.user("ada").await;
    let _ = page.sign_in(&ada).await.expect(200);
    page.jar.remove(ACCESS);

    let ten = join_all((0..10).map(|_| Reply::to(page.request(Method::GET, ME)))).await;
    for reply in ten {
        let reply = reply.expect(200);
        assert_eq!(reply.text_at("username"), "ada");
        assert_eq!(names(&reply), [ACCESS]);
        let new = reply.cookies().remove(0).1;
        let _ = verifier::open(&new);
        assert_eq!(Reply::to(page.bare(Method::GET, ME).bearer_auth(&new)).await.expect(200).status, 200);
    }
    // The browser hangs up before it has an answer.
    for _ in 0..5 {
        lose_answer(stack, &page).await;
    }
    let refresh = page.jar[REFRESH].clone();
    assert_eq!(page.get(ME).await.expect(200).text_at("username"), "ada");
    assert_eq!((page.jar.len(), &page.jar[REFRESH]), (3, &refresh));
    // Nothing has rotated, so this is the first successor.
    let refreshed = page.post("/api/token/refresh/", &json!({})).await.expect(200);
    assert_eq!(Session::of(&acme.http, &refreshed).generation(), 2);
}

/// Sends a request and closes the connection at once.
async fn lose_answer(stack: &Stack, page: &Page) {
    let address = stack.edge_url().strip_prefix("http://").expect("an address");
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let (host, origin, cookie) = (&page.host, &page.origin, page.cookie());
    let request =
        format!("GET {ME} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nCookie: {cookie}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("a request");
    connection.flush().await.expect("a request");
}

#[tokio::test]
async fn the_cookies_of_a_session_that_ended_elsewhere_are_cleared() {
    let stack = Stack::shared().await;
    let (acme, mut page) = acme(stack).await;
    let ada = acme.user("ada").await;
    let signed_in = page.sign_in(&ada).await.expect(200);
    let elsewhere = Session::of(&acme.http, &signed_in);
    let _ = elsewhere.log_out().await.expect(204);
    let cleared = wait::until("the session to be over at every isolate", async || {
        let reply = Reply::to(page.request(Method::GET, ME)).await;
        (reply.status == 401).then_some(reply)
    })
    .await
    .0;
    assert_eq!(cleared.headers.get_all("set-cookie").iter().count(), 3);
    page.take(&cleared);
    assert!(page.jar.is_empty());

    let _ = page.sign_in(&ada).await.expect(200);
    ada.suspend().await;
    wait::until("the suspension to reach the edge", async || {
        let reply = Reply::to(page.request(Method::GET, ME)).await;
        (reply.status == 401 && names(&reply) == ALL).then_some(())
    })
    .await;
}
