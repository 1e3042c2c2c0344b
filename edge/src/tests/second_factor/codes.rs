//! Sign-in with a password and a code in one request.

use serde_json::{Value, json};
use shared::contract::limits::CODE_TRIES;
use shared::wire::needs::{Needs, PASSWORD_DUE, SECOND_FACTOR};
use shared::wire::push::PasswordDue;

use super::super::fixture::claims;
use super::*;

#[test]
fn a_right_password_without_a_code_gets_a_challenge_and_no_session() {
    let (world, acme) = acme();
    for (path, status) in [("/api/token/", 401), ("/api/login/", 200)] {
        let request = acme.request("POST", path).json(&json!({"username": "ada", "password": PASSWORD}));
        let (answer, trips) = world.counted(request);
        assert_eq!(trips, 2, "as many round trips as a sign-in");
        let body = answer.expect(status).json();
        let token = body["mfa_token"].as_str().unwrap();
        assert!(token.starts_with("wgc_") && token.len() == 47, "{token}");
        let mut rest = json!({"mfa_token": token, "methods": ["totp", "recovery_code"], "expires_in": 300});
        if status == 401 {
            rest["detail"] = json!("Multi-factor authentication required.");
            rest["code"] = json!("mfa_required");
        } else {
            rest["mfa_required"] = json!(true);
        }
        assert_eq!(body, rest);
        let kept: String = world
            .memory()
            .db
            .borrow()
            .query_row("select digest from challenges", [], |row| row.get(0))
            .unwrap();
        assert!(!token.contains(&kept), "what is stored is no challenge");
    }
    assert_eq!(count(&world, "select count(*) from families"), 0);
    assert_eq!(
        count(&world, "select count(*) from challenges"),
        1,
        "a newer one takes the older one's place"
    );
    assert_eq!(count(&world, "select max(count) from attempts"), 0, "the password was right");
    assert!(facts(&world).is_empty(), "the sign-in is not over");
    acme.sign_in("bob");
    acme.change("ada", with_factors(acme.id(), &[1], &[]));
    assert_eq!(sign_in_with(&acme, &json!({})).expect(401).json()["methods"], json!(["totp"]));
}

#[test]
fn password_and_code_open_a_session_in_two_round_trips() {
    let (world, acme) = acme();
    let request = acme.request("POST", "/api/token/");
    let body = json!({"username": "ada", "password": PASSWORD, "otp": code(&world, 1)});
    let (answer, trips) = world.counted(request.json(&body));
    assert_eq!(trips, 2);
    let answer = answer.expect(200);
    let access = claims(&answer.text("access"));
    assert_eq!(access["amr"], json!(["pwd", "otp", "mfa"]));
    let step = world.memory().now_ms.get() / STEP_MS;
    let more =
        json!({"amr": ["pwd", "otp", "mfa"], "step": step, "authenticator": authenticator(acme.id(), 1).id});
    assert_eq!(facts(&world), [(String::from("signed_in"), more)]);
    assert_eq!(count(&world, "select max(count) from attempts"), 0, "the password gave its try back");
    assert_eq!(count(&world, "select sum(count) from code_tries"), 0, "and so did the code");
    world.advance(301_000);
    let renewed = acme.refreshed(&answer.text("refresh"));
    assert_eq!(claims(&renewed.access)["amr"], access["amr"]);
    // A session of the password alone says so to control as well.
    acme.sign_in("bob");
    assert_eq!(facts(&world)[1].1, json!({"amr": ["pwd"]}));
}

#[test]
fn a_step_is_good_once_one_step_either_side_and_never_behind_a_later_one() {
    let (world, acme) = acme();
    world.advance(10 * STEP_MS);
    let with = |otp: &str| sign_in_with(&acme, &json!({"otp": otp}));
    for steps in [-2, 2] {
        invalid(with(&code_from_now(&world, 1, steps)));
    }
    let (before, now, after) = (code_from_now(&world, 1, -1), code(&world, 1), code_from_now(&world, 1, 1));
    with(&before).expect(200);
    invalid(with(&before));
    with(&after).expect(200);
    // No code of a step up to the last used one is accepted, whether that code was used or not.
    for used in [&before, &now, &after] {
        invalid(with(used));
    }
    world.advance(STEP_MS);
    invalid(with(&after));
    with(&code_from_now(&world, 1, 1)).expect(200);
}

#[test]
fn a_wrong_password_says_and_counts_nothing_of_codes() {
    let (world, acme) = acme();
    let attempt = |name: &str, otp: Value| {
        let (hashes, batches) = (world.app.hashes.get(), world.memory().batches.get());
        let body =
            json!({"username": name, "password": "wrong", "otp": otp, "recovery_code": recovery_code(1)});
        let answer = acme.post("/api/token/", &body).expect(401);
        (answer.visible(), world.app.hashes.get() - hashes, world.memory().batches.get() - batches)
    };
    let expected = attempt("nobody", Value::Null);
    for otp in [json!(code(&world, 1)), json!(wrong_code(&world)), json!(123_456), json!(["1"]), json!("x")] {
        for name in ["ada", "bob"] {
            assert_eq!(attempt(name, otp.clone()), expected, "{name} {otp}");
        }
    }
    assert_eq!(count(&world, "select count(*) from code_tries"), 0);
    assert_eq!(count(&world, "select count(*) from recovery_codes where used_at is not null"), 0);
    world.advance(300_001);
    sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(200);
}

#[test]
fn what_is_no_code_is_a_wrong_one_and_what_is_blank_was_not_sent() {
    let (world, acme) = acme();
    let code = code(&world, 1);
    let number: u32 = code.parse().unwrap();
    let arabic: String = code.chars().map(|digit| char::from_u32(0x630 + digit as u32).unwrap()).collect();
    let wrong = [
        json!(number),
        json!([code]),
        json!({"otp": code}),
        json!(true),
        json!(arabic),
        json!(format!("+{}", &code[1..])),
        json!(format!("0{code}")),
        json!(&code[1..]),
        json!(recovery_code(1)),
    ];
    for (tried, otp) in (1..).zip(&wrong) {
        invalid(sign_in_with(&acme, &json!({"otp": otp})));
        assert_eq!(count(&world, "select count from code_tries"), tried, "{otp}");
    }
    for blank in [Value::Null, json!(""), json!(" \n")] {
        let answer = sign_in_with(&acme, &json!({"otp": blank, "recovery_code": blank}));
        assert_eq!(answer.expect(401).text("code"), "mfa_required");
    }
    assert_eq!(count(&world, "select count from code_tries"), wrong.len() as i64);
    sign_in_with(&acme, &json!({"otp": format!(" {code}\n")})).expect(200);
}

#[test]
fn after_thirty_wrong_codes_right_ones_wait_for_a_day_too() {
    let (world, acme) = acme();
    let wrong = |acme: &Actor| sign_in_with(acme, &json!({"otp": wrong_code(&world)}));
    for tried in 0..CODE_TRIES {
        // Neither a right password nor a right code takes the wrong ones back.
        if tried == 7 {
            sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(200);
        }
        mfa_token(&acme);
        invalid(wrong(&acme));
    }
    assert_eq!(kinds(&world).iter().filter(|kind| *kind == "second_factor_refused").count(), 30);
    world.advance(1000);
    let token = mfa_token(&acme);
    let right = || json!({"otp": code_from_now(&world, 1, 1)});
    let refused = sign_in_with(&acme, &right()).expect(429);
    assert_eq!(refused.header("retry-after"), Some("86399"));
    sign_in_with(&acme, &json!({"recovery_code": recovery_code(1)})).expect(429);
    verify_otp(&acme, &token, &code_from_now(&world, 1, 1)).expect(429);
    assert_eq!(kinds(&world).iter().filter(|kind| *kind == "second_factor_refused").count(), 30);
    assert_eq!(count(&world, "select count(*) from recovery_codes where used_at is not null"), 0);
    world.advance(DAY_MS - 1001);
    sign_in_with(&acme, &right()).expect(429);
    invalid(verify_otp(&acme, &token, &code_from_now(&world, 1, 1)));
    world.advance(1);
    sign_in_with(&acme, &right()).expect(200);
    acme.sign_in("bob");
}

#[test]
fn wrong_codes_are_no_wrong_passwords() {
    let (world, acme) = acme();
    for _ in 0..15 {
        invalid(sign_in_with(&acme, &json!({"otp": wrong_code(&world)})));
    }
    assert_eq!(count(&world, "select max(count) from attempts"), 0);
    assert_eq!(facts(&world)[0], (String::from("second_factor_refused"), json!({"method": "otp"})));
}

#[test]
fn each_of_five_authenticators_is_good_by_itself() {
    let (world, acme) = acme();
    acme.change("ada", with_factors(acme.id(), &[1, 2, 3, 4, 5], &[]));
    for number in [3, 1, 5, 2, 4] {
        sign_in_with(&acme, &json!({"otp": code(&world, number)})).expect(200);
        invalid(sign_in_with(&acme, &json!({"otp": code(&world, number)})));
    }
    let told: Vec<_> =
        facts(&world).into_iter().filter_map(|(_, more)| more.get("authenticator").cloned()).collect();
    let ids = [3, 1, 5, 2, 4].map(|number| json!(authenticator(acme.id(), number).id));
    assert_eq!(told, ids);
    invalid(sign_in_with(&acme, &json!({"otp": code(&world, 6)})));
}

#[test]
fn a_recovery_code_is_good_once_in_its_own_field_beside_an_authenticator() {
    let (world, acme) = acme();
    let with = |code: &str| sign_in_with(&acme, &json!({"recovery_code": code}));
    let spelled = recovery_code(1).to_uppercase().replace('-', " ");
    let access = claims(&with(&spelled).expect(200).text("access"));
    assert_eq!(access["amr"], json!(["pwd", "otp", "mfa"]));
    let hash = &recovery(acme.id(), acme.user_id("ada"), &[1]).codes[0].hash;
    let told = facts(&world);
    assert_eq!(told[0], (String::from("recovery_code_used"), json!({"hash": hash})));
    assert_eq!(told[1], (String::from("signed_in"), json!({"amr": ["pwd", "otp", "mfa"]})));
    for wrong in [recovery_code(1), recovery_code(9), String::from("k3vp"), code(&world, 1)] {
        invalid(with(&wrong));
    }
    let refused = (String::from("second_factor_refused"), json!({"method": "recovery_code"}));
    assert_eq!(facts(&world).iter().filter(|fact| **fact == refused).count(), 4);
    assert_eq!(count(&world, "select count from code_tries"), 4);
    with(&recovery_code(2)).expect(200);
    // A code of the set, and no authenticator beside it.
    run(&world, "delete from authenticators");
    with(&recovery_code(3)).expect(503);
    assert_eq!(count(&world, "select count(*) from recovery_codes where used_at is null"), 1);
}

#[test]
fn a_code_is_of_its_user_and_tenant_alone() {
    let (world, acme) = acme();
    acme.change("bob", with_factors(acme.id(), &[2], &[]));
    let other = world.tenant("other");
    other.user("ada");
    other.change("ada", with_factors(other.id(), &[1], &[1]));
    invalid(sign_in_with(&acme, &json!({"otp": code(&world, 2)})));
    sign_in_with(&other, &json!({"otp": code(&world, 1)})).expect(200);
    sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(200);
    sign_in_with(&other, &json!({"recovery_code": recovery_code(1)})).expect(200);
    assert_eq!(count(&world, "select count(*) from recovery_codes where used_at is not null"), 1);
}

#[test]
fn a_row_that_is_not_whole_opens_no_door() {
    let (world, acme) = acme();
    let otp = json!({"otp": code(&world, 1)});
    let moved = "update authenticators set id = '0190a0b0-c0d0-7000-8000-000000000001'";
    for broken in
        [moved, "update authenticators set seed = 'v1.other.AAAA.AAAA'", "delete from authenticators"]
    {
        run(&world, broken);
        sign_in_with(&acme, &otp).expect(503);
        let without = sign_in_with(&acme, &json!({}));
        assert_eq!(without.status, if broken.starts_with("delete") { 503 } else { 401 });
    }
    assert_eq!(count(&world, "select count(*) from families"), 0);
}

#[test]
fn what_commits_while_the_hash_runs_wins() {
    let id = authenticator(acme().1.id(), 1).id;
    let roles = r#"update tenants set factor_roles = '["staff"]'"#;
    let more = format!(
        "insert into authenticators (tenant, user, id, seed, last_step) select tenant, id, '{id}', 'x', 0 from users where recovery_key is null"
    );
    let changes = [
        "update users set session_epoch = 1",
        "update users set status = 'suspended'",
        r#"update users set needs = '["a word of a later release"]'"#,
        "delete from authenticators; update users set needs = null",
    ];
    for change in changes {
        for factor in [json!({}), json!({"otp": "code"}), json!({"recovery_code": recovery_code(1)})] {
            let (world, acme) = acme();
            let factor = match factor.get("otp") {
                Some(_) => json!({"otp": code(&world, 1)}),
                None => factor,
            };
            while_hashing(&world, change);
            let refused = sign_in_with(&acme, &factor).expect(401);
            assert!(refused.json().get("code").is_none(), "{change} {factor}");
            let left = "select (select count(*) from families) + (select count(*) from challenges) + \
                        (select count(*) from code_tries) + (select count(*) from authenticators where last_step > 0) + \
                        (select count(*) from recovery_codes where used_at is not null)";
            assert_eq!(count(&world, left), 0, "{change} {factor}");
            assert_eq!(count(&world, "select max(count) from attempts"), 1, "the try counts");
        }
    }
    // The password alone gives no session to a user who has a factor by now, or needs one by now.
    for change in [more.as_str(), roles] {
        let (world, acme) = acme();
        while_hashing(&world, change);
        acme.try_sign_in("bob", PASSWORD).expect(401);
        assert_eq!(count(&world, "select count(*) from families"), 0, "{change}");
    }
}

#[test]
fn a_code_whose_answer_was_lost_is_used() {
    let (world, acme) = acme();
    let otp = json!({"otp": code(&world, 1)});
    let (armed, memory) = (world.clone(), world.memory());
    // The answer of the second batch is lost.
    *memory.meanwhile.borrow_mut() = Some(Box::new(move |_| {
        let armed_again = armed.clone();
        *armed.memory().meanwhile.borrow_mut() =
            Some(Box::new(move |_| armed_again.memory().lose_answer.set(true)));
    }));
    sign_in_with(&acme, &otp).expect(503);
    invalid(sign_in_with(&acme, &otp));
    world.advance(STEP_MS);
    sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(200);
}

#[test]
fn a_password_that_is_due_comes_before_a_second_factor() {
    let (world, acme) = acme();
    acme.change("ada", |row| {
        with_factors(acme.id(), &[1], &[])(row);
        row.password_due = Some(PasswordDue::Must);
        row.needs = Needs::of(&[SECOND_FACTOR, PASSWORD_DUE]);
    });
    for factor in [json!({}), json!({"otp": code(&world, 1)})] {
        assert_eq!(sign_in_with(&acme, &factor).expect(403).text("code"), "password_change_required");
    }
    assert_eq!(count(&world, "select count(*) from authenticators where last_step > 0"), 0);
}

#[test]
fn a_code_of_a_user_without_a_second_factor_is_passed_over() {
    let (world, acme) = acme();
    let body = json!({"username": "bob", "password": PASSWORD, "otp": code(&world, 1)});
    let access = claims(&acme.post("/api/token/", &body).expect(200).text("access"));
    assert_eq!(access["amr"], json!(["pwd"]));
    assert_eq!(count(&world, "select count(*) from code_tries"), 0);
}
