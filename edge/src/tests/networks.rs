//! Networks that a tenant allows and denies, for users and for administration.

use serde_json::{Value, json};
use shared::tenant::networks::Network;
use shared::wire::facts::DrainIn;
use shared::wire::signature::Tag;

use super::fixture::{Actor, Answered, PASSWORD, Request, Tokens, World};

const OFFICE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| Network::parse(text).unwrap()).collect()
}

/// Everything that a user sends with a good token or password, and the statuses that it gets where nothing is refused.
fn requests(acme: &Actor, tokens: &Tokens) -> Vec<(Request, u16)> {
    let post = |path: &str, body: Value| acme.request("POST", path).json(&body);
    let credentials = |name: &str, password: &str| json!({"username": name, "password": password});
    vec![
        (post("/api/token/", credentials("ada", PASSWORD)), 200),
        (post("/api/token/", credentials("ada", "wrong")), 401),
        (post("/api/token/", credentials("nobody", "wrong")), 401),
        (post("/api/login/", credentials("ada", PASSWORD)), 200),
        (post("/api/verify-otp/", json!({"mfa_token": "wgc_x", "otp": "123456"})), 401),
        (post("/api/step-up/", json!({"password": PASSWORD})).bearer(&tokens.access), 200),
        (post("/api/token/refresh/", json!({"refresh": tokens.refresh})), 200),
        (acme.request("GET", "/api/user/me/").bearer(&tokens.access), 200),
        (acme.request("GET", "/api/user/me/"), 401),
        (post("/api/user/password/reset/", json!({"email": "ada@acme.example"})), 200),
    ]
}

fn from(client: &str, request: Request) -> Request {
    Request { client: client.into(), ..request }
}

fn assert_refused(answer: Answered, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {}", answer.text);
    let body = json!({"detail": "This network is not allowed.", "code": "network_not_allowed"});
    assert_eq!(answer.json(), body, "{what}");
}

fn acme() -> (World, Actor, Tokens) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    (world, acme, tokens)
}

fn facts(world: &World) -> Vec<Value> {
    let drain = DrainIn { shard: 0, acknowledge: None, limit: 500 };
    let drained = world.signed("/internal/v1/drain", Tag::Drain, &drain).expect(200).json();
    let facts = drained["facts"].as_array().unwrap().iter();
    facts.filter(|fact| fact["kind"] == "network_refused").cloned().collect()
}

#[test]
fn what_comes_from_another_network_is_refused_alike_before_anything_is_looked_at() {
    for denied in [false, true] {
        let (world, acme, tokens) = acme();
        acme.edit(|tenant| match denied {
            false => tenant.settings.allowed_networks = networks(&["192.0.2.0/24"]),
            true => tenant.settings.denied_networks = networks(&["198.51.100.0/24"]),
        });
        let hashes = world.app.hashes.get();
        let mut seen = Vec::new();
        for (request, _) in requests(&acme, &tokens) {
            let what = format!("{} {}", request.method, request.url);
            let refused = world.send(from(ELSEWHERE, request));
            seen.push(refused.visible());
            assert_refused(refused, &what);
        }
        assert!(seen.windows(2).all(|two| two[0].1 == two[1].1));
        assert_eq!(world.app.hashes.get(), hashes, "no password is hashed");
        let forwarded = world.memory().forwarded.borrow().len();
        assert_eq!(forwarded, 0, "and nothing reaches control");
        for (request, status) in requests(&acme, &tokens) {
            world.send(from(OFFICE, request)).expect(status);
        }
    }
}

#[test]
fn a_sign_in_that_is_refused_asks_no_storage() {
    let (world, acme, _) = acme();
    acme.edit(|tenant| tenant.settings.allowed_networks = networks(&["192.0.2.0/24"]));
    let body = json!({"username": "ada", "password": PASSWORD});
    let sign_in = || from(ELSEWHERE, acme.request("POST", "/api/token/").json(&body));
    assert_refused(world.send(sign_in()), "the one that is recorded");
    let batches = world.memory().batches.get();
    assert_refused(world.send(sign_in()), "the next one");
    assert_eq!(world.memory().batches.get(), batches);
}

/// The document of a network that is denied since came with the batch that counts the attempt.
#[test]
fn an_attempt_that_a_newer_document_refuses_is_not_counted() {
    let (world, acme, _) = acme();
    let body = json!({"username": "ada", "password": "wrong"});
    let wrong = || from(ELSEWHERE, acme.request("POST", "/api/token/").json(&body));
    world.send(wrong()).expect(401);
    let sum = "select coalesce(sum(count), 0) from attempts";
    let counted = || world.memory().db.borrow().query_row(sum, [], |row| row.get::<_, i64>(0)).unwrap();
    let before = counted();
    assert!(before > 0);
    let hashes = world.app.hashes.get();
    acme.edit(|tenant| tenant.settings.denied_networks = networks(&["198.51.100.0/24"]));
    assert_refused(world.send(wrong()), "by the newer document");
    assert_eq!((counted(), world.app.hashes.get()), (before, hashes));
}

#[test]
fn validation_keys_and_sign_out_are_for_every_network() {
    let (world, acme, tokens) = acme();
    acme.edit(|tenant| tenant.settings.allowed_networks = networks(&["192.0.2.0/24"]));
    let request = |method: &str, path: &str| from(ELSEWHERE, acme.request(method, path));
    world.send(request("POST", "/api/token/validate/").bearer(&tokens.access)).expect(200);
    world.send(request("GET", "/.well-known/jwks.json")).expect(200);
    world.send(request("GET", "/docs/")).expect(200);
    let verify = request("POST", "/api/token/verify/").json(&json!({"token": tokens.access}));
    world.send(verify).expect(200);
    world.send(request("POST", "/api/logout/").json(&json!({})).bearer(&tokens.access)).expect(204);
}

#[test]
fn administration_has_lists_of_its_own_beside_those_of_users() {
    let (world, acme, tokens) = acme();
    acme.edit(|tenant| {
        tenant.settings.denied_networks = networks(&["203.0.113.0/24"]);
        tenant.settings.admin_allowed_networks = networks(&["192.0.2.0/24", "203.0.113.0/24"]);
        tenant.settings.admin_denied_networks = networks(&["192.0.2.99"]);
    });
    world.advance(3001);
    let ask = |client: &str, path: &str| {
        world.send(from(client, acme.request("GET", path).bearer(&tokens.access))).status
    };
    for (client, own, others) in [
        (OFFICE, 200, 200),
        ("192.0.2.99", 200, 403),
        (ELSEWHERE, 200, 403),
        ("::ffff:192.0.2.5", 200, 200),
        ("203.0.113.5", 403, 403),
    ] {
        let statuses =
            (ask(client, "/api/user/me/"), ask(client, "/api/user/users/"), ask(client, "/api/audit/"));
        assert_eq!(statuses, (own, others, others), "{client}");
    }
}

#[test]
fn a_network_that_is_refused_is_one_fact_a_minute() {
    let (world, acme, _) = acme();
    acme.edit(|tenant| tenant.settings.allowed_networks = networks(&["192.0.2.0/24"]));
    world.advance(3001);
    let ask = |client: &str| world.send(from(client, acme.request("GET", "/api/user/me/")));
    ask(OFFICE).expect(401);
    let batches = world.memory().batches.get();
    for _ in 0..50 {
        assert_refused(ask(ELSEWHERE), "me");
    }
    assert_refused(ask("2001:db8:1:2:3::4"), "me");
    assert_refused(ask("2001:db8:1:2:9::9"), "me");
    assert_eq!(world.memory().batches.get(), batches + 2, "one write for each network");
    world.new_isolate();
    world.app.reported.take();
    assert_refused(ask(ELSEWHERE), "me");
    world.advance(60_000);
    let facts = facts(&world);
    let mut told: Vec<_> = facts
        .iter()
        .map(|fact| (fact["network"].as_str().unwrap(), fact["count"].as_i64().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(ELSEWHERE, 2), ("2001:db8:1:2::/64", 1)]);
    assert!(facts.iter().all(|fact| fact["name_hash"].is_null() && fact["user"].is_null()));
    // It is refused also if it cannot be recorded.
    world.app.reported.take();
    world.memory().store_down.set(true);
    assert_refused(ask(ELSEWHERE), "me");
}

/// An isolate that has not learned of the list yet learns of it from the batch of the sign-in.
#[test]
fn a_sign_in_is_judged_by_the_newest_list() {
    let (world, acme, _) = acme();
    world.memory().kv_frozen.set(true);
    acme.edit(|tenant| tenant.settings.allowed_networks = networks(&["192.0.2.0/24"]));
    let body = json!({"username": "ada", "password": PASSWORD});
    let hashes = world.app.hashes.get();
    assert_refused(world.send(from(ELSEWHERE, acme.request("POST", "/api/token/").json(&body))), "token");
    assert_eq!(world.app.hashes.get(), hashes);
}
