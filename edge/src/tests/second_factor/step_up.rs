//! Step-up: a session whose user proves again who they are.

use serde_json::{Value, json};
use shared::tenant::{Foreign, Status};
use shared::wire::push::PasswordDue;

use super::super::browser::{Browser, PAGE, acme as acme_with_pages, own_request, set_cookies};
use super::super::fixture::{Request, START_MS, Tokens, claims, old_token};
use super::*;

fn step_up(acme: &Actor, access: &str, proof: &Value) -> Answered {
    acme.world.send(request(acme, access).json(proof))
}

fn request(acme: &Actor, access: &str) -> Request {
    acme.request("POST", "/api/step-up/").bearer(access)
}

fn session(acme: &Actor) -> Tokens {
    let answer = sign_in_with(acme, &json!({"otp": code(&acme.world, 1)})).expect(200);
    acme.world.advance(STEP_MS);
    Tokens { access: answer.text("access"), refresh: answer.text("refresh") }
}

#[test]
fn a_code_gives_tokens_of_the_same_session_with_a_new_time() {
    let (world, acme) = acme();
    let before = session(&acme);
    acme.validate(&before.access).expect(200);
    let (answer, trips) =
        world.counted(request(&acme, &before.access).json(&json!({"otp": code(&world, 1)})));
    assert_eq!(trips, 2);
    let answer = answer.expect(200);
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["access", "refresh"]);
    assert_eq!(answer.text("refresh"), before.refresh, "the generation stays");
    let (old, new) = (claims(&before.access), claims(&answer.text("access")));
    for kept in ["sid", "sub", "epoch", "roles", "amr"] {
        assert_eq!(old[kept], new[kept], "{kept}");
    }
    assert_eq!(new["auth_time"].as_i64().unwrap() - old["auth_time"].as_i64().unwrap(), 30);
    let step = world.memory().now_ms.get() / STEP_MS;
    let more = json!({"method": "otp", "step": step, "authenticator": authenticator(acme.id(), 1).id});
    assert_eq!(facts(&world)[1], (String::from("stepped_up"), more));
    let refreshed = claims(&acme.refreshed(&before.refresh).access);
    assert_eq!((&refreshed["auth_time"], &refreshed["amr"]), (&new["auth_time"], &new["amr"]));
    // The former access token stays valid with the same claims.
    acme.validate(&before.access).expect(200);
}

#[test]
fn a_session_of_the_password_alone_has_both_factors_after_it() {
    let (world, acme) = acme();
    let bob = acme.sign_in("bob");
    acme.change("bob", with_factors(acme.id(), &[2], &[5]));
    for (proof, method) in [
        (json!({"otp": code(&world, 2)}), "otp"),
        (json!({"recovery_code": recovery_code(5)}), "recovery_code"),
    ] {
        let answer = step_up(&acme, &bob.access, &proof).expect(200);
        assert_eq!(claims(&answer.text("access"))["amr"], json!(["pwd", "otp", "mfa"]), "{proof}");
        assert_eq!(facts(&world).last().unwrap().1["method"], method);
        invalid(step_up(&acme, &bob.access, &proof));
        assert_eq!(
            *facts(&world).last().unwrap(),
            (String::from("second_factor_refused"), json!({"method": method}))
        );
    }
    let sids = "select count(distinct sid) from outbox where kind <> 'signed_in'";
    assert_eq!(count(&world, sids), 1, "each fact names the session");
    assert_eq!(kinds(&world).iter().filter(|kind| *kind == "recovery_code_used").count(), 1);
}

#[test]
fn a_password_counts_for_a_user_without_a_second_factor_alone() {
    let (world, acme) = acme();
    let (ada, bob) = (session(&acme), acme.sign_in("bob"));
    world.advance(60_000);
    acme.validate(&bob.access).expect(200);
    let (answer, trips) = world.counted(request(&acme, &bob.access).json(&json!({"password": PASSWORD})));
    assert_eq!(trips, 2);
    let access = claims(&answer.expect(200).text("access"));
    assert_eq!(access["amr"], json!(["pwd"]));
    assert_eq!(
        access["auth_time"].as_i64().unwrap() * 1000,
        i64::try_from(world.memory().now_ms.get()).unwrap()
    );
    assert_eq!(*facts(&world).last().unwrap(), (String::from("stepped_up"), json!({"method": "password"})));
    invalid(step_up(&acme, &bob.access, &json!({"otp": "123456"})));
    let refused = step_up(&acme, &ada.access, &json!({"password": PASSWORD})).expect(400);
    assert_eq!(refused.json(), json!({"password": ["A second factor is required."]}));
    for nothing in [json!({}), json!({"otp": " "})] {
        let refused = step_up(&acme, &bob.access, &nothing).expect(400);
        assert_eq!(refused.json(), json!({"otp": ["This field is required."]}));
    }
    step_up(&acme, &bob.access, &json!({"password": ["x"]})).expect(400);
    step_up(&acme, &bob.access, &json!({"password": ""})).expect(400);
}

#[test]
fn ten_wrong_passwords_and_then_right_ones_wait_too() {
    let (world, acme) = acme();
    let bob = acme.sign_in("bob");
    let with = |password: &str| step_up(&acme, &bob.access, &json!({"password": password}));
    for _ in 0..20 {
        with(PASSWORD).expect(200);
    }
    for _ in 0..10 {
        invalid(with("wrong"));
    }
    world.advance(1000);
    assert_eq!(with(PASSWORD).expect(429).header("retry-after"), Some("299"));
    let refused = (String::from("second_factor_refused"), json!({"method": "password"}));
    assert_eq!(facts(&world).iter().filter(|fact| **fact == refused).count(), 10);
    // The counter of sign-ins is another one, in both directions.
    acme.sign_in("bob");
    let name = format!("user:{}", acme.user_id("bob"));
    world.advance(299_000);
    for _ in 0..10 {
        acme.try_sign_in(&name, "wrong").expect(401);
    }
    let bob = acme.sign_in("bob");
    step_up(&acme, &bob.access, &json!({"password": PASSWORD})).expect(200);
}

#[test]
fn wrong_codes_are_counted_with_those_of_sign_ins() {
    let (world, acme) = acme();
    let ada = session(&acme);
    for tried in 0..30 {
        invalid(match tried % 2 {
            0 => step_up(&acme, &ada.access, &json!({"otp": wrong_code(&world)})),
            _ => sign_in_with(&acme, &json!({"otp": wrong_code(&world)})),
        });
    }
    let refused = step_up(&acme, &ada.access, &json!({"otp": code(&world, 1)})).expect(429);
    // The window began with the first code, which was right, thirty seconds before.
    assert_eq!(refused.header("retry-after"), Some("86370"));
    sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(429);
}

#[test]
fn a_password_that_another_service_hashed_is_asked_about() {
    let (world, acme) = acme();
    let bob = acme.sign_in("bob");
    acme.edit(|tenant| tenant.foreign = Some(Foreign { until: None }));
    acme.change("bob", |row| (row.verifier, row.foreign) = (None, true));
    world.memory().foreign.borrow_mut().insert(acme.user_id("bob"), String::from("an old one"));
    step_up(&acme, &bob.access, &json!({"password": "an old one"})).expect(200);
    invalid(step_up(&acme, &bob.access, &json!({"password": "another"})));
    world.memory().control_down.set(true);
    step_up(&acme, &bob.access, &json!({"password": "an old one"})).expect(503);
}

#[test]
fn only_a_living_session_is_stepped_up() {
    let (world, acme) = acme();
    let proof = json!({"password": PASSWORD});
    assert_eq!(
        acme.post("/api/step-up/", &proof).expect(401).text("detail"),
        "Authentication credentials were not provided."
    );
    step_up(&acme, "abc", &proof).expect(401);
    let malformed = acme.request("POST", "/api/step-up/").header("authorization", "Bearer").json(&proof);
    assert_eq!(world.send(malformed).expect(401).text("code"), "bad_authorization_header");
    let bob = acme.sign_in("bob");
    step_up(&acme, &bob.refresh, &proof).expect(401);
    // The batches see changes that the isolate does not have yet: before the hash, and during it.
    for change in [
        "update families set ended_at = 1",
        "update families set idle_deadline = 1",
        "update users set session_epoch = 1",
        "update users set status = 'suspended'",
    ] {
        for while_it_runs in [false, true] {
            let (world, acme) = super::acme();
            let bob = acme.sign_in("bob");
            if while_it_runs {
                while_hashing(&world, change);
            } else {
                run(&world, change);
            }
            let refused = step_up(&acme, &bob.access, &proof).expect(401);
            let code = if while_it_runs { "otp_invalid" } else { "token_not_valid" };
            assert_eq!(refused.text("code"), code, "{change}");
            assert_eq!(kinds(&world), ["signed_in"], "{change}");
        }
    }
    run(&world, r#"update users set needs = '["a word of a later release"]'"#);
    step_up(&acme, &bob.access, &proof).expect(503);
    run(&world, "update users set needs = null");
    acme.edit(|tenant| tenant.status = Status::Suspended);
    world.advance(3001);
    step_up(&acme, &bob.access, &proof).expect(403);
}

#[test]
fn a_password_is_not_enough_for_a_user_who_has_a_factor_by_now() {
    let (world, acme) = acme();
    let bob = acme.sign_in("bob");
    while_hashing(&world, r#"update users set needs = '["second_factor"]'"#);
    invalid(step_up(&acme, &bob.access, &json!({"password": PASSWORD})));
    assert_eq!(kinds(&world), ["signed_in"]);
}

#[test]
fn a_token_of_the_old_service_is_no_session() {
    let (world, acme) = acme();
    let marker = shared::tokens::legacy::Marker { claim: "realm".into(), value: json!("acme") };
    acme.came_from(Some(marker), START_MS / 1000 + 86_400);
    acme.old_user("carol", "7");
    world.advance(3001);
    let exp = START_MS / 1000 + 3600;
    let access = old_token(&json!({"token_type": "access", "exp": exp, "iat": exp - 7200, "jti": "a1",
        "user_id": 7, "realm": "acme"}));
    acme.validate(&access).expect(200);
    let refused = step_up(&acme, &access, &json!({"password": PASSWORD})).expect(401);
    assert_eq!(refused.json()["messages"][0]["message"], "Token is invalid");
    assert_eq!(count(&world, "select count(*) from families"), 0);
}

#[test]
fn a_browser_steps_up_by_its_cookies_with_their_proof() {
    let (world, acme) = acme_with_pages();
    let mut browser = Browser::signed_in(&acme, "ada");
    let proof = json!({"password": PASSWORD});
    let without = browser.with_cookies(own_request(&acme, "POST", "/api/step-up/")).header("origin", PAGE);
    assert_eq!(world.send(without.json(&proof)).expect(403).text("code"), "csrf_failed");
    world.advance(1000);
    let answer = browser.post("/api/step-up/", &proof).expect(200);
    let names: Vec<_> = set_cookies(&answer).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["__Host-access_token", "__Host-refresh_token", "csrftoken"]);
    assert_eq!(claims(browser.access())["auth_time"], START_MS / 1000 + 1);
    // An access cookie that has expired is renewed on the way.
    world.advance(600_000);
    browser.post("/api/step-up/", &proof).expect(200);
    assert_eq!(claims(browser.access())["auth_time"], START_MS / 1000 + 601);
    browser.jar.remove("__Host-refresh_token");
    browser.post("/api/step-up/", &proof).expect(200);
    world.advance(600_000);
    browser.jar.remove("__Host-refresh_token");
    browser.post("/api/step-up/", &proof).expect(401);
}

#[test]
fn a_password_that_is_due_does_not_end_a_session_that_steps_up() {
    let (_, acme) = acme();
    let bob = acme.sign_in("bob");
    acme.change("bob", |row| row.password_due = Some(PasswordDue::Must));
    step_up(&acme, &bob.access, &json!({"password": PASSWORD})).expect(200);
}
