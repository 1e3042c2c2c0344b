//! A tenant's session root changes: tokens of either root stay valid, and retries work.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use shared::tokens::claimed_root;

use super::browser::{self, Browser};
use super::fixture::{Actor, START_MS, World, second_session_root};

/// A tenant whose second root signs after a hundred seconds.
fn planned() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.edit(|tenant| second_session_root(tenant, Some(START_MS / 1000 + 100)));
    (world, acme)
}

#[test]
fn a_new_root_signs_from_its_time_and_both_verify() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let root = |token: &str| claimed_root(token).unwrap();
    let first = acme.sign_in("ada");
    acme.edit(|tenant| second_session_root(tenant, None));
    world.advance(10_000);
    let second = acme.refreshed(&first.refresh);
    acme.edit(|tenant| second_session_root(tenant, Some(START_MS / 1000 + 100)));
    world.advance(80_000);
    let (third, before) = (acme.refreshed(&second.refresh), acme.sign_in("ada"));
    assert!([&first, &second, &third, &before].iter().all(|tokens| root(&tokens.refresh) == 1));
    world.advance(10_000);
    let (fourth, after) = (acme.refreshed(&third.refresh), acme.sign_in("ada"));
    assert_eq!([root(&fourth.refresh), root(&after.refresh)], [2, 2]);
    for tokens in [&before, &fourth, &after] {
        let verify = acme.request("POST", "/api/token/verify/");
        world.send(verify.json(&json!({"token": tokens.refresh}))).expect(200);
        acme.validate(&tokens.access).expect(200);
    }
    for tokens in [before, after] {
        let blacklist = acme.request("POST", "/api/token/blacklist/");
        world.send(blacklist.json(&json!({"refresh": tokens.refresh}))).expect(200);
        acme.refresh(&tokens.refresh).expect(401);
    }
    // The order in the document says nothing, and nothing is left of the old root but the sessions it began.
    acme.edit(|tenant| tenant.session_roots.reverse());
    let fifth = acme.refreshed(&fourth.refresh);
    acme.edit(|tenant| tenant.session_roots.truncate(1));
    assert_eq!(root(&acme.refreshed(&fifth.refresh).refresh), 2);
}

#[test]
fn a_retry_that_straddles_the_switch_gets_the_same_bytes() {
    let (world, acme) = planned();
    let first = acme.sign_in("ada");
    world.advance(99_000);
    let second = acme.refreshed(&first.refresh);
    // The answer was lost, and the root changed meanwhile.
    world.advance(2000);
    let retried = acme.refreshed(&first.refresh);
    assert_eq!(retried.refresh, second.refresh);
    // Also if the document was written again since.
    acme.edit(|tenant| tenant.session_roots.reverse());
    world.advance(5000);
    assert_eq!(acme.refreshed(&first.refresh).refresh, second.refresh);
    let third = acme.refreshed(&second.refresh);
    assert_eq!(claimed_root(&third.refresh), Some(2));
    assert_eq!(acme.refreshed(&second.refresh).refresh, third.refresh);
}

#[test]
fn an_isolate_that_slept_over_the_change_refuses_no_token() {
    let (world, acme) = planned();
    let first = acme.sign_in("ada");
    acme.edit(|tenant| tenant.session_roots.truncate(1));
    world.new_isolate();
    acme.validate(&first.access).expect(200);
    let slept = world.app.shard_cache.take();
    // Meanwhile, at other isolates.
    acme.edit(|tenant| second_session_root(tenant, Some(START_MS / 1000 + 100)));
    world.advance(101_000);
    let second = acme.refreshed(&first.refresh);
    assert_eq!(claimed_root(&second.refresh), Some(2));
    *world.app.shard_cache.borrow_mut() = slept;
    // It cannot read the state, so it does not report the token as invalid.
    world.memory().store_down.set(true);
    acme.refresh(&second.refresh).expect(503);
    let verify = || acme.request("POST", "/api/token/verify/").json(&json!({"token": second.refresh}));
    world.send(verify()).expect(503);
    world.memory().store_down.set(false);
    // One read of the feed, one of the document, then the batch of every refresh.
    let refresh = |token: &str| acme.request("POST", "/api/token/refresh/").json(&json!({"refresh": token}));
    let (answer, trips) = world.counted(refresh(&second.refresh));
    answer.expect(200);
    assert!(trips <= 3, "{trips}");
}

#[test]
fn tokens_of_roots_that_never_were_cost_a_read_in_three_seconds() {
    let (world, acme) = planned();
    let ada = acme.sign_in("ada");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"r3","typ":"refresh+jwt"}"#);
    let other = format!("{header}.{}", ada.refresh.split_once('.').unwrap().1);
    assert_eq!(claimed_root(&other), Some(3));
    let refresh = || acme.request("POST", "/api/token/refresh/").json(&json!({"refresh": other}));
    world.advance(60_000);
    let trips: Vec<u32> = (0..4)
        .map(|_| {
            let (answer, trips) = world.counted(refresh());
            assert_eq!(answer.expect(401).text("detail"), "Token is invalid");
            trips
        })
        .collect();
    assert!(trips[0] <= 2 && trips[1..].iter().all(|trips| *trips == 0), "{trips:?}");
}

#[test]
fn without_its_root_a_session_is_over() {
    let (world, acme) = browser::acme();
    let browser = Browser::signed_in(&acme, "ada");
    let refresh = browser.refresh().to_owned();
    acme.edit(|tenant| {
        second_session_root(tenant, Some(1));
        tenant.session_roots.remove(0);
    });
    world.advance(4000);
    assert_eq!(acme.refresh(&refresh).expect(401).text("detail"), "Token is invalid");
    world.send(browser.request("POST", "/api/user/users/").json(&json!({}))).expect(403);
    let again = Browser::signed_in(&acme, "ada");
    world.send(again.request("POST", "/api/user/users/").json(&json!({}))).expect(200);
}
