//! Cookies: where they are set and read, and what wins beside them.

use std::cell::RefCell;

use serde_json::json;
use shared::tenant::settings::Cookies;

use super::browser::{Browser, PAGE, acme, cleared, own_request, set_cookies};
use super::fixture::{Actor, Answered, PASSWORD, Request, claims};
use crate::http::{BodyError, Incoming};
use crate::serve::handle_now;

const ACCESS: &str = "__Host-access_token";
const REFRESH: &str = "__Host-refresh_token";

fn credentials() -> serde_json::Value {
    json!({"username": "ada", "password": PASSWORD})
}

fn names(answer: &Answered) -> Vec<String> {
    set_cookies(answer).into_iter().map(|(name, ..)| name).collect()
}

fn login(acme: &Actor) -> Request {
    own_request(acme, "POST", "/api/login/").json(&credentials())
}

#[test]
fn sign_in_sets_three_cookies_of_the_sessions_length() {
    let (world, acme) = acme();
    let mut browser = Browser::at(&acme);
    let answer = browser.sign_in("ada").expect(200);
    let month = 30 * 86_400;
    let hidden = format!("Path=/; Max-Age={month}; Secure; HttpOnly; SameSite=Lax");
    let readable = format!("Path=/; Max-Age={month}; Secure; SameSite=Lax");
    assert_eq!(
        set_cookies(&answer),
        [
            (ACCESS.to_owned(), answer.text("access"), hidden.clone()),
            (REFRESH.to_owned(), answer.text("refresh"), hidden),
            ("csrftoken".to_owned(), answer.text("csrf_token"), readable),
        ]
    );
    assert_eq!(answer.text("csrf_token").len(), 43);
    let other = Browser::signed_in(&acme, "ada");
    assert_ne!(other.jar["csrftoken"], browser.jar["csrftoken"], "another session, another value");
    // A refresh ten minutes on sets what is left of the session.
    world.advance(600_000);
    let refreshed = browser.post("/api/token/refresh/", &json!({})).expect(200);
    let left = month - 600;
    for (_, _, attributes) in set_cookies(&refreshed) {
        assert!(attributes.contains(&format!("Max-Age={left};")), "{attributes}");
    }
}

#[test]
fn names_are_the_tenants_choice() {
    let (world, acme) = acme();
    for (choice, expected) in [
        (Cookies::Off, &[][..]),
        (Cookies::Plain, &["access_token", "refresh_token", "csrftoken"]),
        (Cookies::Host, &[ACCESS, REFRESH, "csrftoken"]),
    ] {
        acme.edit(|tenant| tenant.settings.cookies = choice);
        let answer = world.send(login(&acme).header("origin", PAGE)).expect(200);
        assert_eq!(names(&answer), expected);
        assert_eq!(answer.json().get("csrf_token").is_some(), choice != Cookies::Off);
        // Cookies of other names are not read.
        let (access, both) = (answer.text("access"), ["access_token", ACCESS]);
        for name in both {
            let request = own_request(&acme, "GET", "/api/user/me/");
            let known = expected.first() == Some(&name);
            let status = if known { 200 } else { 401 };
            world.send(request.header("cookie", &format!("{name}={access}"))).expect(status);
        }
    }
}

#[test]
fn nobodys_browser_is_signed_in_behind_their_back() {
    let (world, acme) = acme();
    let form = |request: Request| {
        let body = format!("username=ada&password={}", PASSWORD.replace(' ', "+")).into_bytes();
        Request { body, ..request.header("content-type", "application/x-www-form-urlencoded") }
    };
    let plain = |path: &str| own_request(&acme, "POST", path);
    for (what, request) in [
        ("token", plain("/api/token/").json(&credentials()).header("origin", PAGE)),
        ("a form", form(plain("/api/login/")).header("origin", PAGE)),
        ("a form without origin", form(plain("/api/login/"))),
        ("another origin", login(&acme).header("origin", "https://evil.example")),
        ("the host's own origin, not listed", login(&acme).header("origin", "https://acme.example")),
        ("an origin spelled otherwise", login(&acme).header("origin", "https://APP.acme.example")),
        ("null", login(&acme).header("origin", "null")),
        ("an empty origin", login(&acme).header("origin", "")),
        ("two origins", login(&acme).header("origin", PAGE).header("origin", PAGE)),
        ("a browser that hides it", login(&acme).header("sec-fetch-site", "cross-site")),
        ("the shared host", acme.request("POST", "/api/login/").json(&credentials()).header("origin", PAGE)),
        (
            "the shared host by header",
            Request::new("POST", "https://auth.example/api/login/")
                .header("x-tenant", "acme")
                .json(&credentials())
                .header("origin", PAGE),
        ),
    ] {
        let answer = world.send(request).expect(200);
        assert_eq!(names(&answer), [""; 0], "{what}");
        assert!(answer.json().get("csrf_token").is_none(), "{what}");
        answer.text("refresh");
    }
    // A program has no browser that others could use.
    assert_eq!(names(&world.send(login(&acme)).expect(200)).len(), 3);
}

#[test]
fn a_cookie_is_a_credential_on_the_tenants_own_host_alone() {
    let (world, acme) = acme();
    let browser = Browser::signed_in(&acme, "ada");
    let other = world.tenant("other");
    let shared = |method: &str, path: &str| {
        let request = acme.request(method, path).header("origin", PAGE);
        browser.with_cookies(request.header("x-csrftoken", &browser.jar["csrftoken"]))
    };
    world.send(browser.request("GET", "/api/user/me/")).expect(200);
    let before = world.memory().forwarded.borrow().len();
    world.send(shared("GET", "/api/user/me/")).expect(401);
    world.send(shared("POST", "/api/token/validate/").json(&json!({}))).expect(400);
    world.send(shared("POST", "/api/token/refresh/").json(&json!({}))).expect(400);
    let left = world.send(shared("POST", "/api/logout/").json(&json!({}))).expect(401);
    assert_eq!(names(&left), [""; 0]);
    // At another tenant it is garbage.
    let elsewhere = browser.with_cookies(own_request(&other, "GET", "/api/user/me/"));
    let refused = world.send(elsewhere).expect(401);
    assert_eq!(refused.json()["messages"][0]["message"], "Token is invalid");
    assert_eq!(world.memory().forwarded.borrow().len(), before);
    // Off is off, and a name that arrives twice is no cookie.
    let pair = |name: &str, value: &str| format!("{name}={value}; ");
    let (access, refresh) = (pair(ACCESS, browser.access()), pair(REFRESH, browser.refresh()));
    let twice = [access.clone(), access.clone(), refresh.clone(), refresh.clone()].concat();
    let get = || own_request(&acme, "GET", "/api/user/me/");
    world.send(get().header("cookie", &twice)).expect(401);
    world.send(get().header("cookie", &access).header("cookie", &access)).expect(401);
    // Nor is the other one, which may be what is left of a pair that was planted.
    for evil in [pair("__host-Access_Token", "evil"), access.clone(), refresh.clone()] {
        let all = [access.as_str(), &refresh, &evil].concat();
        world.send(get().header("cookie", &all)).expect(401);
        let post = own_request(&acme, "POST", "/api/user/users/").header("cookie", &all);
        let post = post.header("origin", PAGE).header("x-csrftoken", &browser.jar["csrftoken"]);
        world.send(post.json(&json!({}))).expect(401);
    }
    acme.edit(|tenant| tenant.settings.cookies = Cookies::Off);
    world.advance(4000);
    world.send(browser.request("GET", "/api/user/me/")).expect(401);
}

#[test]
fn bearer_wins_and_a_bad_one_is_never_replaced() {
    let (world, acme) = acme();
    acme.user("bob");
    let browser = Browser::signed_in(&acme, "ada");
    let bob = acme.sign_in("bob");
    world.send(browser.request("GET", "/api/user/me/").bearer(&bob.access)).expect(200);
    let caller = |at: usize| {
        let forwarded = world.memory().forwarded.borrow();
        let headers = &forwarded[at].0.headers;
        headers.iter().find(|(name, _)| *name == "wardgate-caller").unwrap().1.clone()
    };
    assert_eq!(caller(0), acme.user_id("bob").to_string());
    for bad in ["Bearer x", "Bearer", "Bearer a b", "bearer x.y.z"] {
        world.send(browser.request("GET", "/api/user/me/").header("authorization", bad)).expect(401);
        world.send(browser.request("POST", "/api/token/validate/").header("authorization", bad)).expect(401);
    }
    assert_eq!(world.memory().forwarded.borrow().len(), 1);
    // Nor does CSRF stand in the way of a Bearer: no browser sends one on its own.
    let request = browser.with_cookies(own_request(&acme, "POST", "/api/user/users/"));
    world.send(request.bearer(&bob.access).json(&json!({}))).expect(200);
    // Another scheme is no Bearer.
    world.send(browser.request("GET", "/api/user/me/").header("authorization", "Basic abc")).expect(200);
}

#[test]
fn validate_takes_the_cookie_where_nothing_else_is_sent() {
    let (world, acme) = acme();
    acme.user("bob");
    let mut browser = Browser::signed_in(&acme, "ada");
    let valid = browser.post("/api/token/validate/", &json!({})).expect(200);
    assert_eq!(valid.json()["sid"], claims(browser.access())["sid"]);
    let bob = acme.sign_in("bob");
    let named = browser.post("/api/token/validate/", &json!({"token": bob.access})).expect(200);
    assert_eq!(named.json()["sid"], claims(&bob.access)["sid"], "the body is asked first");
    world.advance(301_000);
    let expired = browser.post("/api/token/validate/", &json!({})).expect(401);
    assert_eq!(
        expired.json(),
        json!({"valid": false, "detail": "Token is expired", "code": "token_not_valid"})
    );
    assert_eq!(names(&expired), [""; 0], "nothing is renewed here");
}

#[test]
fn refresh_by_cookie_rotates_and_sets_the_successor() {
    let (world, acme) = acme();
    let mut browser = Browser::signed_in(&acme, "ada");
    let before = browser.clone();
    let answer = browser.post("/api/token/refresh/", &json!({})).expect(200);
    assert_eq!(answer.text("refresh"), browser.refresh());
    assert_eq!(answer.text("access"), browser.access());
    assert_ne!(before.refresh(), browser.refresh());
    assert_eq!(before.jar["csrftoken"], browser.jar["csrftoken"], "it is the session's, not the token's");
    // Without a body as well; a form does not see the cookie.
    browser.send(browser.request("POST", "/api/token/refresh/")).expect(200);
    let kept = browser.clone();
    let form = browser.request("POST", "/api/token/refresh/");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    browser.send(Request { body: b"a=b".to_vec(), ..form }).expect(400);
    assert_eq!(kept.jar, browser.jar);
    // A refresh by the body is one of the same session: its cookies must not stay behind.
    let token = browser.refresh().to_owned();
    let by_body = browser.post("/api/token/refresh/", &json!({"refresh": token})).expect(200);
    assert_eq!(by_body.text("refresh"), browser.refresh());
    browser.get("/api/user/me/").expect(200);
    // A refused one leaves the cookies alone.
    world.memory().store_down.set(true);
    assert_eq!(names(&browser.post("/api/token/refresh/", &json!({})).expect(503)), [""; 0]);
}

#[test]
fn logout_takes_the_cookies_away() {
    let (world, acme) = acme();
    let all = [ACCESS, REFRESH, "csrftoken"];
    let leave = |browser: &Browser| browser.request("POST", "/api/logout/");
    let mut browser = Browser::signed_in(&acme, "ada");
    let before = browser.clone();
    assert_eq!(cleared(&browser.send(leave(&browser)).expect(204)), all);
    assert!(browser.jar.is_empty());
    acme.refresh(before.refresh()).expect(401);
    // Again, with what a slow tab still has: it has ended already, and that is fine.
    let again = world.send(leave(&before)).expect(204);
    assert_eq!(cleared(&again), all);
    // With the refresh cookie alone, as long as the session lives; everywhere only while it does.
    for (body, gone) in [(json!({}), false), (json!({"everywhere": true}), true)] {
        let mut browser = Browser::signed_in(&acme, "ada");
        let other = Browser::signed_in(&acme, "ada");
        browser.jar.remove(ACCESS);
        let before = browser.clone();
        assert_eq!(cleared(&browser.send(leave(&browser).json(&body)).expect(204)), all);
        acme.refresh(other.refresh()).expect(if gone { 401 } else { 200 });
        let fresh = Browser::signed_in(&acme, "ada");
        let stale = world.send(leave(&before).json(&json!({"everywhere": true}))).expect(401);
        assert_eq!(cleared(&stale), all);
        acme.refresh(fresh.refresh()).expect(200);
    }
    // By Bearer and by the body, too, where the answer may set cookies.
    let browser = Browser::signed_in(&acme, "ada");
    let by_bearer = own_request(&acme, "POST", "/api/logout/").bearer(browser.access());
    assert_eq!(cleared(&world.send(by_bearer.header("origin", PAGE)).expect(204)), all);
    let mine = acme.sign_in("ada");
    let strangers = own_request(&acme, "POST", "/api/logout/").json(&json!({"refresh": mine.refresh}));
    let answer = world.send(strangers.header("origin", "https://evil.example")).expect(204);
    assert_eq!(names(&answer), [""; 0], "a stranger's page signs nobody out of their browser");
    assert_eq!(names(&acme.post("/api/logout/", &json!({"refresh": acme.sign_in("ada").refresh}))), [""; 0]);
}

#[test]
fn a_bad_bearer_does_not_keep_the_cookies_from_signing_out() {
    let (world, acme) = acme();
    let all = [ACCESS, REFRESH, "csrftoken"];
    for everywhere in [false, true] {
        for bad in ["Bearer x", "Bearer", "Bearer a b", "bearer x.y.z"] {
            let (browser, other) = (Browser::signed_in(&acme, "ada"), Browser::signed_in(&acme, "ada"));
            let leave = browser.request("POST", "/api/logout/").header("authorization", bad);
            let left = world.send(leave.json(&json!({"everywhere": everywhere}))).expect(204);
            assert_eq!(cleared(&left), all);
            acme.refresh(browser.refresh()).expect(401);
            acme.refresh(other.refresh()).expect(if everywhere { 401 } else { 200 });
        }
    }
    // The page's own access token has expired; its cookies have not.
    let browser = Browser::signed_in(&acme, "ada");
    world.advance(301_000);
    world.send(browser.request("POST", "/api/logout/").bearer(browser.access())).expect(204);
    acme.refresh(browser.refresh()).expect(401);
    // Cookies count only with a CSRF header, which a foreign page cannot send; without it, the error is that of the
    // Bearer.
    let browser = Browser::signed_in(&acme, "ada");
    let strangers = own_request(&acme, "POST", "/api/logout/").header("origin", "https://evil.example");
    let refused = world.send(browser.with_cookies(strangers).bearer("x")).expect(401);
    assert_eq!(names(&refused), [""; 0]);
    let alone = own_request(&acme, "POST", "/api/logout/").header("origin", "https://evil.example");
    assert_eq!(world.send(browser.with_cookies(alone)).expect(403).text("code"), "csrf_failed");
    acme.refresh(browser.refresh()).expect(200);
    // A good Bearer needs no cookie, and the cookies of another session, proven, end that one, too.
    let browser = Browser::signed_in(&acme, "ada");
    let tokens = acme.sign_in("ada");
    let strangers = own_request(&acme, "POST", "/api/logout/").header("origin", "https://evil.example");
    world.send(browser.with_cookies(strangers).bearer(&tokens.access)).expect(204);
    acme.refresh(&tokens.refresh).expect(401);
    let tokens = acme.sign_in("ada");
    let left = world.send(browser.request("POST", "/api/logout/").bearer(&tokens.access)).expect(204);
    assert_eq!(cleared(&left), all);
    acme.refresh(&tokens.refresh).expect(401);
    acme.refresh(browser.refresh()).expect(401);
}

#[test]
fn the_synchronous_way_reads_no_more_than_it_did() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let browser = Browser::signed_in(&acme, "ada");
    acme.validate(&tokens.access).expect(200);
    let ask = |request: Request| {
        let spy = Spy { request, read: RefCell::default() };
        let batches = world.memory().batches.get();
        let answered = handle_now(&world.app, &spy, 0).is_some();
        assert_eq!(world.memory().batches.get(), batches);
        (answered, spy.read.into_inner())
    };
    let validate = || own_request(&acme, "POST", "/api/token/validate/").bearer(&tokens.access);
    acme.edit(|tenant| tenant.settings.origins.clear());
    world.advance(4000);
    acme.validate(&tokens.access).expect(200);
    assert_eq!(
        ask(browser.with_cookies(validate())),
        (true, vec!["x-tenant".to_owned(), "authorization".to_owned(), "x-request-id".to_owned()])
    );
    acme.edit(|tenant| tenant.settings.origins = vec![shared::tenant::origin::Origin::parse(PAGE).unwrap()]);
    world.advance(4000);
    acme.validate(&tokens.access).expect(200);
    let (answered, read) = ask(validate());
    assert_eq!((answered, read.len()), (true, 4), "the origin besides, where there is a list: {read:?}");
    let by_cookie = browser.request("POST", "/api/token/validate/");
    assert_eq!(ask(by_cookie), (false, vec!["x-tenant".to_owned(), "authorization".to_owned()]));
}

/// Notes which headers are read.
struct Spy {
    request: Request,
    read: RefCell<Vec<String>>,
}

impl Incoming for Spy {
    fn method(&self) -> String {
        self.request.method()
    }
    fn url(&self) -> String {
        self.request.url()
    }
    fn header(&self, name: &str) -> Option<String> {
        self.read.borrow_mut().push(name.to_owned());
        Incoming::header(&self.request, name)
    }
    fn client(&self) -> String {
        self.request.client()
    }
    fn place(&self) -> [Option<String>; 2] {
        self.request.place()
    }
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        self.request.body(limit).await
    }
}
