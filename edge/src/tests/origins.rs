//! Origins: which pages may act by cookie (CSRF). Which may read an answer is in [`super::cors`].

use serde_json::json;
use shared::tenant::settings::Cookies;

use super::browser::{Browser, PAGE, acme, own_request, set_cookies};
use super::fixture::{Request, START_MS, claims, second_session_root};

/// Routes that a cookie may authenticate: two of control, of which the second needs no credential, and three of the
/// edge.
const UNSAFE: [(&str, &str); 6] = [
    ("POST", "/api/user/users/"),
    ("DELETE", "/api/user/users/abc/"),
    ("POST", "/api/user/setup/"),
    ("POST", "/api/token/validate/"),
    ("POST", "/api/token/refresh/"),
    ("POST", "/api/logout/"),
];

#[test]
fn a_change_by_cookie_needs_a_listed_origin_and_the_sessions_value() {
    let (world, acme) = acme();
    let browser = Browser::signed_in(&acme, "ada");
    let other = Browser::signed_in(&acme, "ada");
    let value = browser.jar["csrftoken"].clone();
    let lower = value.to_ascii_lowercase();
    let own = "https://acme.example";
    let cases: [(&str, &[&str], &[&str]); 15] = [
        ("nothing", &[], &[]),
        ("no origin", &[], &[&value]),
        ("no value", &[PAGE], &[]),
        ("another origin", &["https://evil.example"], &[&value]),
        ("the host's own, which is not listed", &[own], &[&value]),
        ("null", &["null"], &[&value]),
        ("another scheme", &["http://app.acme.example"], &[&value]),
        ("another port", &["https://app.acme.example:8443"], &[&value]),
        ("a path", &["https://app.acme.example/"], &[&value]),
        ("two origins", &[PAGE, PAGE], &[&value]),
        ("an empty value", &[PAGE], &[""]),
        ("another session's value", &[PAGE], &[&other.jar["csrftoken"]]),
        ("the value in lower case", &[PAGE], &[&lower]),
        ("the value twice", &[PAGE], &[&value, &value]),
        ("the access token", &[PAGE], &[browser.access()]),
    ];
    // As a page would send it, as a form would, and without any body.
    let bodies: [&dyn Fn(Request) -> Request; 3] = [
        &|request| request.json(&json!({})),
        &|request| {
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            Request { body: b"a=b".to_vec(), ..request }
        },
        &|request| request,
    ];
    for (what, origins, values) in cases {
        for (method, path) in UNSAFE {
            for (at, body) in bodies.iter().enumerate() {
                if path == "/api/token/refresh/" && at == 1 {
                    continue;
                }
                let mut request = browser.with_cookies(own_request(&acme, method, path));
                for origin in origins {
                    request = request.header("origin", origin);
                }
                for value in values {
                    request = request.header("x-csrftoken", value);
                }
                let (refused, batches) = world.counted(body(request));
                let refused = refused.expect(403);
                assert_eq!(
                    refused.json(),
                    json!({"detail": "CSRF verification failed.", "code": "csrf_failed"}),
                    "{what}: {path}"
                );
                assert_eq!((batches, set_cookies(&refused)), (0, vec![]), "{what}: {path}");
            }
        }
    }
    assert!(world.memory().forwarded.borrow().is_empty());
    for (method, path) in UNSAFE {
        let answer = world.send(browser.request(method, path).json(&json!({})));
        assert!([200, 204].contains(&answer.status), "{path}: {}", answer.text);
    }
    assert_eq!(world.memory().forwarded.borrow().len(), 3);
}

#[test]
fn an_origin_that_is_taken_off_the_list_acts_no_more_also_where_nobody_asked_for_long() {
    for (method, path) in UNSAFE {
        let (world, acme) = acme();
        let browser = Browser::signed_in(&acme, "ada");
        acme.edit(|tenant| tenant.settings.origins.clear());
        world.advance(4000);
        world.send(browser.request(method, path).json(&json!({}))).expect(403);
    }
}

#[test]
fn reading_by_cookie_needs_neither() {
    let (world, acme) = acme();
    let browser = Browser::signed_in(&acme, "ada");
    for method in ["GET", "HEAD"] {
        world.send(browser.with_cookies(own_request(&acme, method, "/api/user/me/"))).expect(200);
    }
    let foreign = own_request(&acme, "GET", "/api/user/me/").header("origin", "https://evil.example");
    let answer = world.send(browser.with_cookies(foreign)).expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), None, "but no page of theirs can read it");
    // Without cookies there is nothing to forge: a client without a session may call open routes.
    world.send(own_request(&acme, "POST", "/api/user/setup/").json(&json!({}))).expect(200);
    // A garbage cookie is no cookie.
    let garbage = own_request(&acme, "POST", "/api/user/setup/").header("cookie", "__Host-access_token=x.y");
    world.send(garbage.json(&json!({}))).expect(200);
}

#[test]
fn a_siblings_cookie_never_becomes_the_session() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.settings.cookies = Cookies::Plain);
    world.new_isolate();
    acme.user("mallory");
    let (ada, mallory) = (Browser::signed_in(&acme, "ada"), Browser::signed_in(&acme, "mallory"));
    let cookie = |access: &str, refresh: &str| format!("access_token={access}; refresh_token={refresh}");
    let (a, m) = (&ada.jar, &mallory.jar);
    // Beside the refresh cookie of one session, another's access cookie is as one that is missing.
    let mixed = cookie(&m["access_token"], &a["refresh_token"]);
    let get = own_request(&acme, "GET", "/api/user/me/").header("cookie", &mixed);
    let renewed = world.send(get).expect(200);
    let set = set_cookies(&renewed);
    assert_eq!(claims(&set[0].1)["sub"], json!(acme.user_id("ada")));
    let post = |value: &str| {
        let request = own_request(&acme, "POST", "/api/user/users/").header("cookie", &mixed);
        world.send(request.header("origin", PAGE).header("x-csrftoken", value).json(&json!({})))
    };
    post(&m["csrftoken"]).expect(403);
    post(&a["csrftoken"]).expect(200);
}

#[test]
fn a_value_of_the_root_before_is_good_as_long_as_the_root_is() {
    let (world, acme) = acme();
    let mut browser = Browser::signed_in(&acme, "ada");
    let before = browser.clone();
    let users = |browser: &Browser| browser.request("POST", "/api/user/users/").json(&json!({}));
    let switch = START_MS / 1000 + 100;
    for sign_from in [None, Some(switch)] {
        acme.edit(|tenant| second_session_root(tenant, sign_from));
        world.new_isolate();
        world.send(users(&browser)).expect(200);
        world.advance(1000);
        browser.post("/api/token/refresh/", &json!({})).expect(200);
        assert_eq!(before.jar["csrftoken"], browser.jar["csrftoken"], "{sign_from:?}");
    }
    world.advance(100_000);
    world.send(users(&browser)).expect(200);
    browser.post("/api/token/refresh/", &json!({})).expect(200);
    assert_ne!(before.jar["csrftoken"], browser.jar["csrftoken"]);
    world.send(users(&browser)).expect(200);
    browser.jar.insert("csrftoken".into(), before.jar["csrftoken"].clone());
    world.send(users(&browser)).expect(200);
    acme.edit(|tenant| drop(tenant.session_roots.remove(0)));
    world.new_isolate();
    world.send(users(&browser)).expect(403);
}
