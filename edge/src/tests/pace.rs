//! Refresh, verification, renewal and sign-out are bounded for each session and tenant, before storage.

use serde_json::json;
use shared::contract::limits::{SESSION_PER_MINUTE, TENANT_SESSIONS_PER_MINUTE};

use super::browser::{self, Browser};
use super::fixture::{Actor, World};
use crate::platform::Limit;

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

#[test]
fn one_session_has_so_many_turns_in_a_minute_and_shuts_no_other_out() {
    let (world, acme) = acme();
    let (greedy, other) = (acme.sign_in("ada"), acme.sign_in("ada"));
    for _ in 0..SESSION_PER_MINUTE {
        acme.post("/api/token/verify/", &json!({"token": greedy.refresh})).expect(200);
    }
    let batches = world.memory().batches.get();
    for (path, body) in [
        ("/api/token/verify/", json!({"token": greedy.refresh})),
        ("/api/token/refresh/", json!({"refresh": greedy.refresh})),
        ("/api/token/blacklist/", json!({"refresh": greedy.refresh})),
        ("/api/logout/", json!({"refresh": greedy.refresh})),
        ("/api/logout/", json!({"refresh": greedy.refresh, "everywhere": true})),
    ] {
        let refused = acme.post(path, &body).expect(429);
        assert_eq!(refused.header("retry-after"), Some("60"), "{path}");
    }
    let logout = || acme.request("POST", "/api/logout/").json(&json!({})).bearer(&greedy.access);
    world.send(logout()).expect(429);
    assert_eq!(world.memory().batches.get(), batches, "no storage is asked");
    acme.validate(&greedy.access).expect(200);
    let other = acme.refreshed(&other.refresh);
    acme.validate(&other.access).expect(200);
    world.advance(60_000);
    world.send(logout()).expect(204);
}

/// Silent renewal, and sign-out with cookies or an expired access token.
#[test]
fn what_a_browser_sends_counts_as_well() {
    let (world, acme) = browser::acme();
    let mut browser = Browser::signed_in(&acme, "ada");
    world.advance(360_000);
    for _ in 0..SESSION_PER_MINUTE {
        acme.post("/api/token/verify/", &json!({"token": browser.refresh()})).expect(200);
    }
    let batches = world.memory().batches.get();
    let expired = acme.request("POST", "/api/logout/").json(&json!({})).bearer(browser.access());
    world.send(expired.clone()).expect(429);
    browser.send(browser.request("GET", "/api/user/me/")).expect(429);
    browser.post("/api/logout/", &json!({})).expect(429);
    assert_eq!(world.memory().batches.get(), batches, "no storage is asked");
    world.advance(60_000);
    world.send(expired).expect(204);
}

/// Otherwise one client could use up the turns of its tenant.
#[test]
fn a_session_that_is_over_its_limit_is_not_charged_to_its_tenant() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    for _ in 0..SESSION_PER_MINUTE + 20 {
        acme.post("/api/token/verify/", &json!({"token": tokens.refresh}));
    }
    let minute = world.memory().now_ms.get() / 60_000;
    let key = (Limit::TenantSessions, acme.id().to_string(), minute);
    assert_eq!(world.memory().charged.borrow().get(&key), Some(&SESSION_PER_MINUTE));
}

#[test]
fn garbage_uses_nothing_up() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let before = world.memory().charged.borrow().len();
    acme.refresh(&tokens.refresh[..tokens.refresh.len() - 2]).expect(401);
    acme.refresh("garbage").expect(401);
    assert_eq!(world.memory().charged.borrow().len(), before);
    acme.refreshed(&tokens.refresh);
}

#[test]
fn one_tenant_has_so_many_turns_in_a_minute() {
    let (world, acme) = acme();
    let globex = world.tenant("globex");
    globex.user("ada");
    let (here, there) = (acme.sign_in("ada"), globex.sign_in("ada"));
    let minute = world.memory().now_ms.get() / 60_000;
    let key = (Limit::TenantSessions, acme.id().to_string(), minute);
    world.memory().charged.borrow_mut().insert(key, TENANT_SESSIONS_PER_MINUTE);
    let refused = acme.refresh(&here.refresh).expect(429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    globex.refreshed(&there.refresh);
    world.advance(60_000);
    acme.refreshed(&here.refresh);
}
