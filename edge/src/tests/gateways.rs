//! What a gateway asks (nginx's `auth_request`, Traefik's `ForwardAuth`, Envoy's `ext_authz`): `GET` of
//! validate, answered by status and headers.

use serde_json::json;
use shared::tokens::claims::UserIdForm;

use super::browser::{Browser, PAGE, acme as acme_with_pages, own_request, set_cookies};
use super::entry::handle_now;
use super::fixture::{Actor, Answered, Request, World, claims};
use crate::http::Body;

const PATH: &str = "/api/token/validate/";

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

/// The synchronous way's answer.
fn now(world: &World, request: &Request) -> Option<Answered> {
    let response = handle_now(&world.app, request)?.response;
    let text = match response.body {
        Body::Text(text) => text,
        Body::Empty => String::new(),
        Body::Stream(never) => match never {},
    };
    let headers = response.headers.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
    Some(Answered { status: response.status, headers, text })
}

fn told(answer: &Answered) -> Vec<(&str, &str)> {
    let headers = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    headers.filter(|(name, _)| name.starts_with("X-Auth-")).collect()
}

#[test]
fn a_gateway_reads_who_it_is_in_headers_and_a_service_pays_for_none() {
    let (world, acme) = acme();
    acme.change("ada", |row| row.roles = vec!["staff".into(), "auditor".into()]);
    let tokens = acme.sign_in("ada");
    let (ada, id) = (acme.user_id("ada").to_string(), acme.id().to_string());
    let expected = [("X-Auth-User-Id", &*ada), ("X-Auth-Tenant", &*id), ("X-Auth-Roles", "staff,auditor")];
    let posted = acme.validate(&tokens.access).expect(200);
    assert_eq!(told(&posted), []);
    for method in ["GET", "HEAD"] {
        let ask = acme.request(method, PATH).bearer(&tokens.access);
        let (ordinary, sync) = (world.send(ask.clone()).expect(200), now(&world, &ask).unwrap());
        for answer in [&ordinary, &sync] {
            assert_eq!(told(answer), expected, "{method}");
            assert_eq!(answer.text, if method == "GET" { posted.text.as_str() } else { "" });
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("wardgate-state-age"), Some("0.0"));
            assert_eq!(answer.header("allow"), None);
        }
        assert_eq!(world.counted(ask).1, 0, "no storage");
    }
    acme.change("ada", |row| row.roles = vec![]);
    let nobody = acme.sign_in("ada");
    let answer = world.send(acme.request("GET", PATH).bearer(&nobody.access)).expect(200);
    assert_eq!(told(&answer)[2], ("X-Auth-Roles", ""), "an empty one is there, in place of a client's own");
}

#[test]
fn whoever_is_not_let_in_is_401_and_is_told_as_nobody() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let missing = "Authentication credentials were not provided.";
    for method in ["GET", "HEAD"] {
        let ask = || acme.request(method, PATH);
        for (what, request, detail) in [
            ("none", ask(), missing),
            ("another scheme", ask().header("authorization", "Basic YTpi"), missing),
            ("not two parts", ask().header("authorization", "Bearer a b"), "Token is invalid"),
            ("garbage", ask().bearer("abc"), "Token is invalid"),
            ("a refresh token", ask().bearer(&tokens.refresh), "Token has wrong type"),
            // URLs are logged, so no token is read from them; gateways send no body.
            (
                "in the query",
                Request::new(method, &acme.url(&format!("{PATH}?token={}", tokens.access))),
                missing,
            ),
            ("in a body", ask().json(&json!({"token": tokens.access})), missing),
            (
                "a cookie on a shared host",
                ask().header("cookie", &format!("access_token={}", tokens.access)),
                missing,
            ),
        ] {
            let refused = world.send(request).expect(401);
            assert_eq!(told(&refused), [], "{what}");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"api\""), "{what}");
            if method == "GET" {
                let said = refused.json();
                assert_eq!(
                    (&said["valid"], said["detail"].as_str()),
                    (&json!(false), Some(detail)),
                    "{what}"
                );
            }
        }
    }
    acme.validate(&tokens.access).expect(200);
    world
        .send(acme.request("POST", "/api/token/blacklist/").json(&json!({"refresh": tokens.refresh})))
        .expect(200);
    world.advance(3001);
    let ended = world.send(acme.request("GET", PATH).bearer(&tokens.access)).expect(401);
    assert_eq!((ended.text("detail").as_str(), told(&ended).len()), ("Token is blacklisted", 0));
    world.new_isolate();
    world.memory().store_down.set(true);
    let blind = world.send(acme.request("GET", PATH).bearer(&tokens.access)).expect(503);
    assert_eq!((blind.header("retry-after"), told(&blind).len()), (Some("1"), 0));
}

#[test]
fn nothing_that_a_gateway_says_of_the_request_decides() {
    let (world, acme) = acme();
    let beta = world.tenant("beta");
    beta.user("ada");
    let tokens = acme.sign_in("ada");
    let theirs = beta.sign_in("ada");
    let good = acme.request("GET", PATH).bearer(&tokens.access);
    let bad = acme.request("GET", PATH).bearer(&theirs.access);
    let (let_in, refused) = (world.send(good.clone()).expect(200), world.send(bad.clone()).expect(401));
    for (name, value) in [
        ("x-forwarded-method", "OPTIONS"),
        ("x-original-method", "OPTIONS"),
        ("x-http-method-override", "OPTIONS"),
        ("x-forwarded-uri", "/healthz"),
        ("x-original-uri", "/healthz"),
        ("x-original-url", "/healthz"),
        ("x-rewrite-url", "/healthz"),
        ("x-forwarded-host", "beta.example"),
        ("x-forwarded-prefix", "/t/beta"),
        ("x-forwarded-for", "192.0.2.99"),
        ("forwarded", "host=beta.example;for=192.0.2.99"),
        ("x-auth-user-id", "1"),
        ("x-auth-roles", "root-admin"),
    ] {
        let with = |request: &Request| world.send(request.clone().header(name, value));
        assert_eq!(with(&good).visible(), let_in.visible(), "{name}");
        assert_eq!(with(&bad).visible(), refused.visible(), "{name}");
    }
    // Gateways hand on what a client sends. Where the URL names the tenant, a header does not choose another.
    for url in [acme.url(PATH), format!("https://acme.example{PATH}")] {
        let chosen = Request::new("GET", &url).bearer(&theirs.access).header("x-tenant", "beta");
        world.send(chosen).expect(404);
    }
    world.send(Request::new("GET", &format!("https://nobody.example{PATH}"))).expect(404);
    let malformed = Request::new("GET", &format!("https://nobody.example{PATH}"));
    world.send(malformed.header("authorization", "Bearer a b")).expect(404);
}

#[test]
fn no_id_and_no_role_can_end_a_header_or_begin_another() {
    let (world, acme) = acme();
    let evil = "1,2\r\nX-Auth-Roles: root-admin\u{1f511}%2C";
    acme.edit(|tenant| tenant.user_id = UserIdForm::String);
    acme.old_user("eve", evil);
    acme.change("eve", |row| {
        row.legacy_id = Some(evil.into());
        row.roles = vec!["a b".into(), "x,root-admin".into(), "ä\n".into(), "plain_1.2~-".into()];
    });
    let tokens = acme.sign_in("eve");
    assert_eq!(claims(&tokens.access)["user_id"], evil);
    let ask = acme.request("GET", PATH).bearer(&tokens.access);
    let (ordinary, sync) = (world.send(ask.clone()).expect(200), now(&world, &ask).unwrap());
    for answer in [ordinary, sync] {
        let told = told(&answer);
        assert_eq!(told[0].1, "1%2C2%0D%0AX-Auth-Roles%3A%20root-admin%F0%9F%94%91%252C");
        assert_eq!(told[2].1, "a%20b,x%2Croot-admin,%C3%A4%0A,plain_1.2~-");
        assert_eq!(answer.json()["user_id"], evil, "the body is JSON, which needs none of it");
    }
    acme.edit(|tenant| tenant.user_id = UserIdForm::Integer);
    acme.old_user("bob", "42");
    acme.change("bob", |row| row.legacy_id = Some("42".into()));
    world.advance(3001);
    let bob = world.send(acme.request("GET", PATH).bearer(&acme.sign_in("bob").access)).expect(200);
    assert_eq!(told(&bob)[0].1, "42");
}

#[test]
fn a_get_by_cookie_tells_a_page_of_another_origin_nothing() {
    let (world, acme) = acme_with_pages();
    let browser = Browser::signed_in(&acme, "ada");
    let ask = || browser.with_cookies(own_request(&acme, "GET", PATH));
    let ada = acme.user_id("ada").to_string();
    // No method that is safe needs a CSRF value: a gateway asks with what the browser sent to it.
    assert_eq!(told(&world.send(ask()).expect(200))[0].1, ada);
    for origin in ["https://evil.example", "null", "https://evil.acme.example"] {
        let answer = world.send(ask().header("origin", origin)).expect(200);
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("Access-Control-")), "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    let listed = world.send(ask().header("origin", PAGE)).expect(200);
    assert_eq!(listed.header("access-control-allow-origin"), Some(PAGE));
    let exposed = listed.header("access-control-expose-headers").unwrap();
    assert!(!exposed.to_ascii_lowercase().contains("x-auth-"), "who it is stands in the body: {exposed}");
    // A Bearer wins, a bad one is not replaced, and nothing is renewed.
    world.send(ask().bearer("abc")).expect(401);
    world.advance(301_000);
    let expired = world.send(ask()).expect(401);
    assert_eq!((expired.text("detail").as_str(), set_cookies(&expired).len()), ("Token is expired", 0));
}
