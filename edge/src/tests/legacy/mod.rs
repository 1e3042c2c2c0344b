//! Tokens of a tenant's legacy service: their users, where they are accepted, and that a refresh token becomes
//! exactly one session.

mod access;
mod cookies;
mod exchange;
mod ownership;
mod user_id;

use serde_json::{Value, json};
use shared::tokens::legacy::Marker;

use super::fixture::{Actor, Answered, START_MS, World, old_token};
use crate::sql;

const DAY: u64 = 86_400;
const START: u64 = START_MS / 1000;
const JTI: &str = "ca3d3b2f4f9c4d3a8f0f6f8f2b1c0d9e";

fn marker(slug: &str) -> Marker {
    Marker { claim: "realm".into(), value: json!(slug) }
}

/// Tenants from one legacy service with one key: in each, user 1 is another person.
fn came(world: &World, slug: &str, marked: bool) -> Actor {
    let tenant = world.tenant(slug);
    tenant.came_from(marked.then(|| marker(slug)), START + 30 * DAY);
    tenant.old_user(&format!("{slug}-ada"), "1");
    tenant.old_user(&format!("{slug}-bob"), "2");
    world.send(tenant.request("GET", "/api/public-key/")).expect(200);
    tenant
}

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = came(&world, "acme", true);
    (world, acme)
}

/// Claims as SimpleJWT writes them, of user 1 of acme.
fn old(kind: &str, jti: &str) -> Value {
    let lifetime = if kind == "access" { DAY } else { 20 * DAY };
    json!({"token_type": kind, "exp": START + lifetime, "iat": START - 60, "jti": jti, "user_id": 1,
        "realm": "acme"})
}

fn old_access() -> String {
    old_token(&old("access", "a1"))
}

fn old_refresh() -> String {
    old_token(&old("refresh", JTI))
}

fn with(kind: &str, name: &str, value: Value) -> String {
    let mut claims = old(kind, JTI);
    claims[name] = value;
    old_token(&claims)
}

fn bearer(tenant: &Actor, token: &str) -> Answered {
    tenant.world.send(tenant.request("GET", "/api/user/me/").bearer(token))
}

fn verify(tenant: &Actor, token: &str) -> Answered {
    tenant.post("/api/token/verify/", &json!({"token": token}))
}

fn blacklist(tenant: &Actor, token: &str) -> Answered {
    tenant.post("/api/token/blacklist/", &json!({"refresh": token}))
}

fn logout(tenant: &Actor, token: Option<&str>, body: &Value) -> Answered {
    let request = tenant.request("POST", "/api/logout/").json(body);
    tenant.world.send(match token {
        Some(token) => request.bearer(token),
        None => request,
    })
}

/// Sends this token to every route that accepts one.
fn doors(tenant: &Actor, token: &str) -> Vec<(u16, String)> {
    let answers = [
        tenant.validate(token),
        verify(tenant, token),
        bearer(tenant, token),
        logout(tenant, Some(token), &json!({})),
        tenant.refresh(token),
        blacklist(tenant, token),
        logout(tenant, None, &json!({"refresh": token})),
    ];
    answers.into_iter().map(|answer| (answer.status, answer.text)).collect()
}

fn families(world: &World) -> i64 {
    let count = "select count(*) from families";
    world.memory().db.borrow().query_row(count, [], |row| row.get(0)).unwrap()
}

fn kinds(world: &World) -> Vec<String> {
    let facts = world.memory().run(&sql::OUTBOX.bind([1000.into()]));
    facts.iter().map(|fact| fact["kind"].as_str().unwrap().to_owned()).collect()
}

fn detail(answer: Answered) -> String {
    answer.expect(401).text("detail")
}

/// The answer of verify to a token on the blacklist.
fn blacklisted(answer: Answered) {
    assert_eq!(answer.expect(400).json(), json!({"non_field_errors": ["Token is blacklisted"]}));
}
