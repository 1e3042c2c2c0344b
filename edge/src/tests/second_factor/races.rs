//! Sixteen at once: a code, a recovery code and a challenge have one winner.

use futures::executor::block_on;
use futures::future::join_all;
use serde_json::{Value, json};

use super::super::fixture::Request;
use super::*;
use crate::serve::handle;

/// Sends sixteen requests whose round trips interleave, and gives how many won, had a wrong code, and were throttled.
fn race(world: &World, request: impl Fn(usize) -> Request) -> [usize; 3] {
    world.memory().yields.set(true);
    let racing = (0..16).map(|number| handle(&world.app, request(number)));
    let answers = block_on(join_all(racing)).into_iter().map(|reply| Answered::from(reply.response));
    world.memory().yields.set(false);
    let mut counts = [0; 3];
    for answer in answers {
        let at = match answer.status {
            200 => 0,
            429 => 2,
            _ => {
                invalid(answer);
                1
            }
        };
        counts[at] += 1;
    }
    counts
}

/// The state after a race: families, counted attempts, and facts by kind.
fn left(world: &World) -> (i64, i64, usize, usize) {
    let kinds = kinds(world);
    let of = |kind: &str| kinds.iter().filter(|told| *told == kind).count();
    (
        count(world, "select count(*) from families"),
        count(world, "select count from code_tries"),
        of("signed_in"),
        of("second_factor_refused"),
    )
}

#[test]
fn one_code_opens_one_session_at_sign_in() {
    for factor in ["otp", "recovery_code"] {
        let (world, acme) = acme();
        let text = if factor == "otp" { code(&world, 1) } else { recovery_code(1) };
        let mut body = json!({"username": "ada", "password": PASSWORD});
        body[factor] = Value::from(text);
        let counts = race(&world, |_| acme.request("POST", "/api/token/").json(&body));
        // Of one name, ten passwords are tried at once.
        assert_eq!(counts, [1, 9, 6], "{factor}");
        assert_eq!(left(&world), (1, 9, 1, 9), "{factor}");
    }
}

#[test]
fn one_challenge_opens_one_session_whatever_is_shown() {
    let (world, acme) = acme();
    acme.change("ada", with_factors(acme.id(), &[1, 2, 3, 4], &(1..=12).collect::<Vec<_>>()));
    let token = mfa_token(&acme);
    // Every one of them is right: codes of four authenticators, and recovery codes.
    let body = |number: usize| match u8::try_from(number).unwrap() {
        number @ 0..4 => json!({"mfa_token": token, "otp": code(&world, number + 1)}),
        number => json!({"mfa_token": token, "recovery_code": recovery_code(number - 3)}),
    };
    let counts = race(&world, |number| acme.request("POST", "/api/verify-otp/").json(&body(number)));
    assert_eq!(counts, [1, 15, 0]);
    let used = "select (select count(*) from recovery_codes where used_at is not null) + \
                (select count(*) from authenticators where last_step > 0)";
    assert_eq!(count(&world, used), 1, "what came too late is still good");
    assert_eq!(left(&world), (1, 0, 1, 0));
}

#[test]
fn one_code_at_one_challenge_opens_one_session() {
    let (world, acme) = acme();
    let body = json!({"mfa_token": mfa_token(&acme), "otp": code(&world, 1)});
    let counts = race(&world, |_| acme.request("POST", "/api/verify-otp/").json(&body));
    assert_eq!(counts, [1, 15, 0]);
    assert_eq!(left(&world), (1, 0, 1, 0));
}

#[test]
fn sixteen_wrong_codes_at_one_challenge_are_five_tries() {
    let (world, acme) = acme();
    let body = json!({"mfa_token": mfa_token(&acme), "otp": wrong_code(&world)});
    let counts = race(&world, |_| acme.request("POST", "/api/verify-otp/").json(&body));
    assert_eq!(counts, [0, 16, 0]);
    assert_eq!(count(&world, "select tries from challenges"), 5);
    assert_eq!(left(&world), (0, 5, 0, 5));
}

#[test]
fn one_code_steps_one_session_up() {
    for factor in ["otp", "recovery_code"] {
        let (world, acme) = acme();
        acme.edit(|tenant| tenant.settings.access_ttl_secs = 900);
        let sessions = [0; 16].map(|_| {
            world.advance(STEP_MS);
            sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(200).text("access")
        });
        let before = world.memory().now_ms.get();
        world.advance(2 * STEP_MS);
        let text = if factor == "otp" { code(&world, 1) } else { recovery_code(1) };
        let counts = race(&world, |number| {
            acme.request("POST", "/api/step-up/").bearer(&sessions[number]).json(&json!({factor: text}))
        });
        assert_eq!(counts, [1, 15, 0], "{factor}");
        let stepped = format!("select count(*) from families where auth_time > {before}");
        assert_eq!(count(&world, &stepped), 1, "{factor}");
        assert_eq!(count(&world, "select count from code_tries"), 15, "{factor}");
        let told = kinds(&world);
        let of = |kind: &str| told.iter().filter(|told| *told == kind).count();
        assert_eq!((of("stepped_up"), of("second_factor_refused")), (1, 15), "{factor}");
    }
}
