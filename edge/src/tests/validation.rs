//! Validation: what it costs, how old its cache may be, and what it refuses.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;
use shared::ids::TenantId;
use shared::tenant::{KeyState, Status};
use shared::user::UserStatus;
use shared::wire::push::{NameRow, Push};

use super::entry::handle_now;
use super::fixture::{Actor, Answered, Request, World, claims, document, forge, message, signing_key};
use crate::http::Body;

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

#[test]
fn storage_calls_before_the_answer_are_counted() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let validate = || acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
    acme.validate(&tokens.access).expect(200);
    assert_eq!(world.counted(validate()).1, 0, "fresh");
    world.advance(1500);
    assert_eq!(world.counted(validate()).1, 0, "over a second: refreshed after the answer");
    world.advance(3001);
    assert_eq!(world.counted(validate()).1, 1, "over three seconds: read first");
    let sign_in = json!({"username": "ada", "password": super::fixture::PASSWORD});
    assert_eq!(world.counted(acme.request("POST", "/api/token/").json(&sign_in)).1, 2);
    let refresh = json!({"refresh": tokens.refresh});
    let (refreshed, batches) = world.counted(acme.request("POST", "/api/token/refresh/").json(&refresh));
    assert_eq!(batches, 1);
    world.advance(60_000);
    assert_eq!(world.counted(acme.request("POST", "/api/token/").json(&sign_in)).1, 2, "after silence, too");
    let refresh = json!({"refresh": refreshed.text("refresh")});
    assert_eq!(world.counted(acme.request("POST", "/api/token/refresh/").json(&refresh)).1, 1);
}

/// A refusal counts as an answer, too: its data is equally old.
#[test]
fn whatever_was_served_from_older_knowledge_it_is_refreshed_after_the_answer() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    let get = |path: &str| acme.request("GET", path);
    let post = |path: &str, body| acme.request("POST", path).json(&body);
    for (request, status) in [
        (get("/api/token/validate/").bearer(&tokens.access), 200),
        (get("/api/token/validate/").bearer("abc"), 401),
        (get("/.well-known/jwks.json"), 200),
        (acme.request("OPTIONS", "/api/token/"), 200),
        (acme.request("PUT", "/api/token/"), 405),
        (get("/api/user/users/").bearer(&tokens.access), 200),
        (get("/api/user/users/").bearer("abc"), 401),
        (post("/api/token/verify/", json!({"token": tokens.access})), 200),
        (post("/api/token/verify/", json!({"token": tokens.refresh})), 200),
        (post("/api/token/verify/", json!({"token": "abc"})), 401),
        (post("/api/logout/", json!({})).bearer("abc"), 401),
        (post("/api/token/blacklist/", json!({"refresh": tokens.refresh})), 200),
    ] {
        world.advance(1500);
        let url = request.url.clone();
        world.send(request).expect(status);
        let age = world.app.shard_cache.borrow().age_ms(world.memory().now_ms.get());
        assert_eq!(age, Some(0), "{url}: {status}");
    }
}

#[test]
fn the_answer_is_the_contracts() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let answer = acme.validate(&tokens.access).expect(200);
    let access = claims(&tokens.access);
    assert_eq!(
        answer.json(),
        json!({"valid": true, "user_id": access["user_id"], "tenant": acme.id(), "sid": access["sid"],
            "roles": ["staff"], "token_type": "access", "exp": access["exp"]})
    );
    assert_eq!(answer.header("wardgate-state-age"), Some("0.0"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("allow"), None);
    world.advance(1500);
    assert_eq!(acme.validate(&tokens.access).expect(200).header("wardgate-state-age"), Some("1.5"));
    let in_body = acme.post("/api/token/validate/", &json!({"token": format!(" {} ", tokens.access)}));
    in_body.expect(200);
    acme.post("/api/token/validate/", &json!({})).expect(400);
    let bad = acme.validate("abc").expect(401);
    assert_eq!(bad.json(), json!({"valid": false, "detail": "Token is invalid", "code": "token_not_valid"}));
    world.advance(300_000);
    assert_eq!(acme.validate(&tokens.access).expect(401).text("detail"), "Token is expired");
}

#[test]
fn the_synchronous_way_gives_the_same_answers() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let validate = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
    let now = |request: &Request| {
        let handled = handle_now(&world.app, request)?;
        let body = match handled.response.body {
            Body::Text(text) => text,
            Body::Empty => String::new(),
            Body::Stream(never) => match never {},
        };
        let headers =
            handled.response.headers.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
        Some((Answered { status: handled.response.status, headers, text: body }, handled.after))
    };
    assert!(now(&validate).is_none(), "the signature has not been checked yet");
    for request in [
        validate.clone(),
        acme.request("GET", "/.well-known/jwks.json"),
        acme.request("GET", "/api/public-key/").header("accept", "text/plain"),
        acme.request("GET", "/healthz"),
    ] {
        let ordinary = world.send(request.clone().header("x-request-id", "a"));
        let batches = world.memory().batches.get();
        let (sync, _) = now(&request.clone().header("x-request-id", "a")).unwrap();
        let sorted = |answer: &Answered| {
            let mut headers = answer.headers.clone();
            headers.sort();
            (answer.status, answer.text.clone(), headers)
        };
        assert_eq!(sorted(&sync), sorted(&ordinary), "{}", request.url);
        assert_eq!(world.memory().batches.get(), batches);
    }
    acme.change("ada", |row| row.access_epoch = 1);
    world.advance(1500);
    let due = now(&validate).unwrap().1;
    assert!(due.read_feed);
    futures::executor::block_on(crate::serve::run_after(&world.app, due));
    assert_eq!(now(&validate).unwrap().0.status, 401);
    world.advance(3001);
    assert!(now(&validate).is_none(), "a read is needed first");
    for request in [
        acme.request("PUT", "/api/token/validate/").bearer(&tokens.access),
        acme.request("POST", "/api/token/").bearer(&tokens.access),
        acme.request("GET", "/api/user/users/").bearer(&tokens.access),
    ] {
        assert!(now(&request).is_none(), "{}", request.url);
    }
}

#[test]
fn revocations_are_in_force_after_silence_and_in_the_recorded_words() {
    for (change, detail) in [("suspended", "User is inactive"), ("deleted", "User not found")] {
        let (world, acme) = acme();
        let tokens = acme.sign_in("ada");
        acme.validate(&tokens.access).expect(200);
        acme.change("ada", |row| {
            row.status = if change == "deleted" { UserStatus::Deleted } else { UserStatus::Suspended };
            (row.access_epoch, row.session_epoch) = (1, 1);
        });
        world.advance(60_000);
        assert_eq!(acme.validate(&tokens.access).expect(401).text("detail"), "Token is blacklisted");
        let forwarded = world.send(acme.request("GET", "/api/user/users/").bearer(&tokens.access));
        assert_eq!(forwarded.expect(401).text("detail"), detail);
    }
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.change("ada", |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (1, 1, 1));
    world.advance(60_000);
    let forwarded = world.send(acme.request("GET", "/api/user/users/").bearer(&tokens.access));
    assert_eq!(forwarded.expect(401).text("code"), "password_changed");
}

#[test]
fn an_isolate_that_meets_a_tenant_asks_for_what_is_denied() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.change("ada", |row| row.status = UserStatus::Suspended);
    world.new_isolate();
    let validate = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
    let (answer, batches) = world.counted(validate);
    assert_eq!((answer.status, batches), (401, 1));
}

#[test]
fn a_tenant_that_is_forgotten_while_a_signature_is_checked_lets_nobody_pass() {
    let (world, acme) = acme();
    let (ended, living) = (acme.sign_in("ada"), acme.sign_in("ada"));
    acme.post("/api/token/blacklist/", &json!({"refresh": ended.refresh})).expect(200);
    for (token, status) in [(&ended.access, 401), (&living.access, 200)] {
        world.new_isolate();
        let forgetful = world.clone();
        let forget = move || drop(forgetful.app.shard_cache.take());
        world.memory().while_verifying.replace(Some(Box::new(forget)));
        acme.validate(token).expect(status);
        assert!(world.memory().while_verifying.borrow().is_none());
    }
}

#[test]
fn a_token_of_another_tenant_is_garbage() {
    let (world, acme) = acme();
    let beta = world.tenant("beta");
    beta.user("ada");
    let theirs = beta.sign_in("ada");
    beta.validate(&theirs.access).expect(200);
    assert_eq!(acme.validate(&theirs.access).visible(), acme.validate("garbage").visible());
    let forwarded = |token: &str| world.send(acme.request("GET", "/api/user/users/").bearer(token)).visible();
    assert_eq!(forwarded(&theirs.access), forwarded("garbage"));
}

#[test]
fn claims_are_believed_only_under_the_tenants_signature() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let good = claims(&tokens.access);
    acme.validate(&forge(0, &good)).expect(200);
    acme.validate(&forge(2, &good)).expect(401);
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        acme.validate(&forge(0, &claims)).text("detail")
    };
    assert_eq!(with("token_type", json!("refresh")), "Token has wrong type");
    assert_eq!(with("tenant", json!(world.tenant("beta").id())), "Token is invalid");
    assert_eq!(with("exp", json!(1)), "Token is expired");
    assert_eq!(with("iss", json!("https://evil.example")), "Token is invalid");
    let [header, _, signature] = tokens.access.split('.').collect::<Vec<_>>().try_into().unwrap();
    let altered = format!("{header}.{}.{signature}", tokens.refresh.split('.').nth(1).unwrap());
    acme.validate(&altered).expect(401);
}

#[test]
fn a_rotation_fails_no_token_and_a_revocation_all_of_its_key() {
    let (world, acme) = acme();
    let before = acme.sign_in("ada");
    let now_secs = world.memory().now_ms.get() / 1000;
    acme.edit(|tenant| tenant.keys[1].sign_from = Some(now_secs + 100));
    let kid = |token: &str| shared::tokens::jws::Jws::split(token).unwrap().access_key_id().unwrap();
    assert_eq!(kid(&acme.sign_in("ada").access), kid(&before.access));
    world.advance(100_000);
    let after = acme.sign_in("ada");
    assert_ne!(kid(&after.access), kid(&before.access));
    acme.validate(&before.access).expect(200);
    acme.validate(&after.access).expect(200);
    acme.edit(|tenant| tenant.keys[0].state = KeyState::Revoked);
    world.advance(3001);
    acme.validate(&before.access).expect(401);
    acme.validate(&after.access).expect(200);
    let jwks = world.send(acme.request("GET", "/.well-known/jwks.json")).expect(200).json();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn an_unknown_kid_costs_a_read_now_and_then() {
    let (world, acme) = acme();
    acme.validate(&acme.sign_in("ada").access).expect(200);
    let mut stranger = claims(&acme.sign_in("ada").access);
    stranger["jti"] = json!("1");
    let token = forge(2, &stranger);
    let validate = || world.counted(acme.request("POST", "/api/token/validate/").bearer(&token));
    assert_eq!(validate().1, 1);
    assert_eq!(validate().1, 0, "at most one in five seconds");
    acme.edit(|tenant| {
        let id = tenant.id;
        tenant.keys.push(signing_key(id, 2, KeyState::Next, None));
    });
    world.advance(900);
    acme.validate(&token).expect(401);
    world.advance(5000);
    acme.validate(&token).expect(200);
}

#[test]
fn the_tenant_is_found_by_host_header_and_path_and_nowhere_else() {
    let (world, acme) = acme();
    world.tenant("beta");
    let get = |url: &str, x_tenant: Option<&str>| {
        let request = Request::new("GET", url);
        let request = match x_tenant {
            Some(slug) => request.header("x-tenant", slug),
            None => request,
        };
        world.send(request)
    };
    let expected = acme.tenant.borrow().keys[0].kid.to_string();
    for (url, x_tenant) in [
        ("https://acme.example/api/public-key/", None),
        ("https://ACME.example:8443/api/public-key", None),
        ("https://acme.example/api/public-key/", Some("acme")),
        ("https://auth.example/api/public-key/", Some("acme")),
        ("https://auth.example/t/acme/api/public-key/", None),
        ("https://auth.example/t/acme/api/public-key/", Some("acme")),
    ] {
        assert_eq!(get(url, x_tenant).expect(200).text("kid"), expected, "{url}");
    }
    let unknown = get("https://auth.example/nowhere", Some("acme")).expect(404).visible();
    for (url, x_tenant) in [
        ("https://acme.example/api/public-key/", Some("beta")),
        ("https://acme.example/t/acme/api/public-key/", None),
        ("https://auth.example/t/acme/api/public-key/", Some("beta")),
        ("https://auth.example/t/nobody/api/public-key/", None),
        ("https://auth.example/api/public-key/", None),
        ("https://auth.example/api/public-key/", Some("ACME")),
        ("https://other.example/api/public-key/", None),
        ("https://other.example/api/public-key/", Some("acme")),
    ] {
        let answer = get(url, x_tenant).expect(404);
        assert_eq!((answer.status, answer.text.as_str()), (404, unknown.1.as_str()), "{url}");
    }
}

#[test]
fn a_host_that_no_tenant_can_have_is_not_looked_up() {
    let (world, _) = acme();
    let get = |host: &str| world.send(Request::new("GET", &format!("https://{host}/api/public-key/")));
    get("other.example").expect(404);
    let before = world.memory().batches.get();
    get(&"x".repeat(254)).expect(404);
    assert_eq!(world.memory().batches.get(), before);
    get(&"x".repeat(253)).expect(404);
    assert_eq!(world.memory().batches.get(), before + 1);
}

#[test]
fn a_name_moves_and_a_tenant_is_suspended_resumed_and_deleted() {
    let (world, acme) = acme();
    let (tokens, other) = (acme.sign_in("ada"), acme.sign_in("ada"));
    acme.validate(&tokens.access).expect(200);
    acme.edit(|tenant| tenant.status = Status::Suspended);
    world.advance(3001);
    let refused = acme.validate(&tokens.access).expect(401);
    assert_eq!(refused.text("detail"), "Token is invalid");
    assert_eq!(
        acme.post("/api/token/verify/", &json!({"token": tokens.access})).expect(401).text("detail"),
        "Token is invalid"
    );
    for path in ["/api/token/refresh/", "/api/token/blacklist/"] {
        let body = json!({"refresh": tokens.refresh});
        assert_eq!(acme.post(path, &body).expect(403).text("code"), "tenant_suspended", "{path}");
    }
    acme.try_sign_in("ada", super::fixture::PASSWORD).expect(403);
    world.send(acme.request("POST", "/api/logout/").bearer(&tokens.access)).expect(403);
    world.send(acme.request("GET", "/api/user/users/").bearer(&tokens.access)).expect(403);
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    acme.edit(|tenant| tenant.status = Status::Active);
    world.advance(3001);
    // The first request after the silence, too: its batch does not ask for the tenant's state.
    let other = acme.request("POST", "/api/token/blacklist/").json(&json!({"refresh": other.refresh}));
    world.send(other).expect(200);
    acme.refresh(&tokens.refresh).expect(200);
    acme.edit(|tenant| tenant.status = Status::Deleted);
    world.advance(3001);
    acme.validate(&tokens.access).expect(404);
    acme.try_sign_in("ada", super::fixture::PASSWORD).expect(404);
}

/// Names are pushed as the platform's and documents as their tenants': either may arrive first, and an isolate that is
/// asked in between remembers the name as unknown.
#[test]
fn a_tenant_is_found_in_whatever_order_its_name_and_its_document_arrive() {
    for name_first in [true, false] {
        let (world, acme) = acme();
        let tenant = Rc::new(RefCell::new(document("beta", 9)));
        let beta = Actor { world: world.clone(), tenant, rev: Rc::default() };
        let name = NameRow { name: "slug:beta".into(), rev: 2, tenant: Some(beta.id()), shard: 0 };
        let name = Push { names: vec![name], ..message(TenantId::new(1, [250; 10])) };
        let mut arriving = [name, beta.document_push()];
        if !name_first {
            arriving.reverse();
        }
        world.send(acme.request("GET", "/api/public-key/")).expect(200);
        for (push, status) in arriving.iter().zip([404, 200]) {
            world.send(beta.request("GET", "/api/public-key/")).expect(404);
            world.push(push).expect(200);
            world.advance(3001);
            let answer = world.send(beta.request("GET", "/api/public-key/"));
            assert_eq!(answer.status, status, "the name first: {name_first}");
        }
    }
}
