//! Challenges: completed by a code, once, and with the same answer for every invalid one.

use serde_json::{Value, json};
use shared::contract::routes::{ROUTES, RouteKind};
use shared::tenant::Status;
use shared::user::UserStatus;

use super::super::browser::{Browser, acme as acme_with_pages, set_cookies};
use super::super::fixture::claims;
use super::*;
use crate::platform::Limit;

#[test]
fn a_code_finishes_the_sign_in_as_login_does() {
    let (world, acme) = acme();
    let token = mfa_token(&acme);
    let body = json!({"mfa_token": token, "otp": code(&world, 1)});
    let (answer, trips) = world.counted(acme.request("POST", "/api/verify-otp/").json(&body));
    assert_eq!(trips, 2);
    let answer = answer.expect(200);
    let body = answer.json();
    let user = json!({"id": acme.user_id("ada"), "roles": ["staff"], "tenant": acme.id()});
    assert_eq!(body["user"], user);
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["access", "refresh", "user"]);
    let access = claims(&answer.text("access"));
    assert_eq!(access["amr"], json!(["pwd", "otp", "mfa"]));
    let step = world.memory().now_ms.get() / STEP_MS;
    let more =
        json!({"amr": ["pwd", "otp", "mfa"], "step": step, "authenticator": authenticator(acme.id(), 1).id});
    assert_eq!(facts(&world), [(String::from("signed_in"), more)]);
    assert_eq!(count(&world, "select sum(count) from code_tries"), 0);
    acme.refresh(&answer.text("refresh")).expect(200);
    invalid(verify_otp(&acme, &token, &code_from_now(&world, 1, 1)));
}

#[test]
fn code_and_recovery_code_are_read_and_a_body_without_any_is_400() {
    let (world, acme) = acme();
    let send = |body: Value| acme.post("/api/verify-otp/", &body);
    send(json!({"mfa_token": mfa_token(&acme), "code": code(&world, 1)})).expect(200);
    send(json!({"mfa_token": mfa_token(&acme), "recovery_code": recovery_code(1)})).expect(200);
    invalid(send(json!({"mfa_token": mfa_token(&acme), "recovery_code": recovery_code(1)})));
    invalid(send(json!({"mfa_token": mfa_token(&acme), "otp": recovery_code(2)})));
    let required = "This field is required.";
    let token = mfa_token(&acme);
    for body in [json!({"mfa_token": token}), json!({"mfa_token": token, "otp": " ", "code": null})] {
        assert_eq!(send(body).expect(400).json(), json!({"otp": [required]}));
    }
    assert_eq!(send(json!({"otp": "000000"})).expect(400).json(), json!({"mfa_token": [required]}));
    assert_eq!(count(&world, "select tries from challenges"), 0);
}

#[test]
fn a_browser_gets_its_cookies_with_the_second_factor() {
    let (world, acme) = acme_with_pages();
    acme.change("ada", with_factors(acme.id(), &[1], &[]));
    let mut browser = Browser::at(&acme);
    let begun = browser.sign_in("ada").expect(200);
    assert!(set_cookies(&begun).is_empty());
    let body = json!({"mfa_token": begun.text("mfa_token"), "otp": code(&world, 1)});
    let answer = browser.post("/api/verify-otp/", &body).expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(super::super::browser::PAGE));
    let names: Vec<_> = set_cookies(&answer).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["__Host-access_token", "__Host-refresh_token", "csrftoken"]);
    assert_eq!(browser.jar["csrftoken"], answer.text("csrf_token"));
    browser.get("/api/user/me/").expect(200);
}

/// One way in which a challenge or its code is invalid.
type Spoil = fn(&World, &Actor, &str) -> (String, String);

#[test]
fn whatever_is_wrong_is_answered_alike_and_costs_as_many_round_trips() {
    let right = |world: &World| code_from_now(world, 1, 0);
    let ways: [(&str, Spoil); 11] = [
        ("a wrong code", |world, _, token| (token.to_owned(), wrong_code(world))),
        ("unknown", |world, _, _| {
            (shared::tokens::challenge::Challenge::new([9; 32]).to_text(), code(world, 1))
        }),
        ("garbage", |world, _, _| (String::from("garbage"), code(world, 1))),
        ("a ticket", |world, _, token| (token.replace("wgc_", "wgt_"), code(world, 1))),
        ("expired", |world, _, token| {
            world.advance(300_000);
            (token.to_owned(), code(world, 1))
        }),
        ("used", |world, acme, token| {
            verify_otp(acme, token, &code(world, 1)).expect(200);
            (token.to_owned(), code_from_now(world, 1, 1))
        }),
        ("a code that was used", |world, acme, token| {
            verify_otp(acme, token, &code(world, 1)).expect(200);
            (mfa_token(acme), code(world, 1))
        }),
        ("replaced", |world, acme, token| {
            mfa_token(acme);
            (token.to_owned(), code(world, 1))
        }),
        ("sessions ended", |world, acme, token| {
            acme.change("ada", |row| {
                with_factors(acme.id(), &[1], &[])(row);
                row.session_epoch = 1;
            });
            (token.to_owned(), code(world, 1))
        }),
        ("suspended", |world, acme, token| {
            acme.change("ada", |row| {
                with_factors(acme.id(), &[1], &[])(row);
                row.status = UserStatus::Suspended;
            });
            (token.to_owned(), code(world, 1))
        }),
        ("five tries", |world, acme, token| {
            for _ in 0..5 {
                invalid(verify_otp(acme, token, &wrong_code(world)));
            }
            (token.to_owned(), code(world, 1))
        }),
    ];
    let mut expected = None;
    for (way, spoil) in ways {
        let (world, acme) = acme();
        let token = mfa_token(&acme);
        let (token, otp) = spoil(&world, &acme, &token);
        let families = count(&world, "select count(*) from families");
        let body = json!({"mfa_token": token, "otp": otp});
        let (answer, trips) = world.counted(acme.request("POST", "/api/verify-otp/").json(&body));
        assert_eq!(trips, 2, "{way}");
        let visible = invalid(answer).visible();
        assert_eq!(expected.get_or_insert_with(|| visible.clone()), &visible, "{way}");
        assert_eq!(count(&world, "select count(*) from families"), families, "{way}");
    }
    // Of another tenant.
    let (world, acme) = acme();
    let other = world.tenant("other");
    other.user("ada");
    other.change("ada", with_factors(other.id(), &[1], &[]));
    let visible = invalid(verify_otp(&other, &mfa_token(&acme), &right(&world))).visible();
    assert_eq!(Some(visible), expected);
}

#[test]
fn a_challenge_has_five_tries_and_a_newer_one_has_five_again() {
    let (world, acme) = acme();
    let token = mfa_token(&acme);
    for _ in 0..4 {
        invalid(verify_otp(&acme, &token, &wrong_code(&world)));
    }
    verify_otp(&acme, &token, &code(&world, 1)).expect(200);
    let token = mfa_token(&acme);
    for _ in 0..5 {
        invalid(verify_otp(&acme, &token, &wrong_code(&world)));
    }
    invalid(verify_otp(&acme, &token, &code_from_now(&world, 1, 1)));
    assert_eq!(
        count(&world, "select count from code_tries"),
        9,
        "a try that the challenge refused is not counted"
    );
    verify_otp(&acme, &mfa_token(&acme), &code_from_now(&world, 1, 1)).expect(200);
}

#[test]
fn a_challenge_is_good_for_five_minutes() {
    let (world, acme) = acme();
    let token = mfa_token(&acme);
    world.advance(299_999);
    verify_otp(&acme, &token, &code(&world, 1)).expect(200);
}

#[test]
fn a_reseed_ends_challenges_as_it_ends_sessions() {
    let (world, acme) = acme();
    let token = mfa_token(&acme);
    acme.reseed();
    acme.change("ada", with_factors(acme.id(), &[1], &[]));
    invalid(verify_otp(&acme, &token, &code(&world, 1)));
}

#[test]
fn a_challenge_is_garbage_at_every_other_door() {
    let (world, acme) = acme();
    let (token, garbage) = (mfa_token(&acme), "wgc_x");
    for route in ROUTES.iter().filter(|route| matches!(route.kind, RouteKind::Protected | RouteKind::Open)) {
        let path = format!("/{}/", route.path.replace('*', "0190a0b0-c0d0-7000-8000-000000000001"));
        let (method, _) = route.allow.split_once(',').unwrap();
        let send = |token: &str| world.send(acme.request(method, &path).bearer(token).json(&json!({})));
        assert_eq!(send(&token).expect(401).visible(), send(garbage).visible(), "{path}");
    }
    assert!(world.memory().forwarded.borrow().is_empty());
    for path in ["/api/token/refresh/", "/api/token/verify/", "/api/token/blacklist/", "/api/logout/"] {
        let send =
            |token: &str| acme.post(path, &json!({"refresh": token, "token": token})).expect(401).visible();
        assert_eq!(send(&token), send(garbage), "{path}");
    }
    assert_eq!(acme.validate(&token).expect(401).visible(), acme.validate(garbage).visible());
    verify_otp(&acme, &token, &code(&world, 1)).expect(200);
}

#[test]
fn strangers_are_limited_by_network_and_outages_are_503() {
    let (world, acme) = acme();
    let token = mfa_token(&acme);
    for limit in [Limit::NetworkTotal, Limit::Network] {
        world.memory().limited.set(Some(limit));
        let before = world.memory().batches.get();
        verify_otp(&acme, &token, &code(&world, 1)).expect(429);
        assert_eq!(world.memory().batches.get(), before);
    }
    world.memory().limited.set(None);
    world.memory().store_down.set(true);
    verify_otp(&acme, &token, &code(&world, 1)).expect(503);
    world.memory().store_down.set(false);
    acme.edit(|tenant| tenant.status = Status::Suspended);
    verify_otp(&acme, &token, &code(&world, 1)).expect(403);
    acme.edit(|tenant| tenant.status = Status::Active);
    run(&world, r#"update users set needs = '["a word of a later release"]'"#);
    verify_otp(&acme, &token, &code(&world, 1)).expect(503);
    run(&world, r#"update users set needs = '["second_factor"]'"#);
    verify_otp(&acme, &token, &code(&world, 1)).expect(200);
}

#[test]
fn what_commits_between_the_batches_wins() {
    for change in [
        "update users set session_epoch = 1",
        "update users set status = 'suspended'",
        "update challenges set used_at = 1",
        "update challenges set tries = 5",
        "delete from authenticators",
    ] {
        let (world, acme) = acme();
        let token = mfa_token(&acme);
        while_hashing(&world, change);
        invalid(verify_otp(&acme, &token, &code(&world, 1)));
        assert_eq!(count(&world, "select count(*) from families"), 0, "{change}");
        assert_eq!(count(&world, "select count(*) from authenticators where last_step > 0"), 0, "{change}");
    }
}

#[test]
fn expired_challenges_and_windows_are_swept() {
    let (world, acme) = acme();
    invalid(verify_otp(&acme, &mfa_token(&acme), &wrong_code(&world)));
    let left = || {
        futures::executor::block_on(crate::inside::sweep::clean(&world.app)).unwrap();
        ["challenges", "code_tries"].map(|table| count(&world, &format!("select count(*) from {table}")))
    };
    world.advance(300_000);
    assert_eq!(left(), [1, 1]);
    world.advance(1);
    assert_eq!(left(), [0, 1]);
    world.advance(DAY_MS - 300_001);
    assert_eq!(left(), [0, 1]);
    world.advance(1);
    assert_eq!(left(), [0, 0]);
}
