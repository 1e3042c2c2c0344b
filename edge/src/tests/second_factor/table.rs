//! The table of paths and policies: the result of each path to tokens for a user who is enrolled or not, under each
//! policy. The paths that begin in control (reset, registration, invitation, import) end at a sign-in here;
//! `control/tests/it/mfa_paths.rs` has their first part.

use serde_json::{Value, json};
use shared::wire::needs::SECOND_FACTOR_POLICY;

use super::super::browser::{Browser, set_cookies};
use super::super::fixture::{Answered, START_MS, Tokens, claims, old_token};
use super::*;

const START: u64 = START_MS / 1000;

/// The result of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    /// A full token.
    Token,
    /// A challenge.
    Challenge,
    /// A ticket for enrolling.
    Ticket,
    /// None of these.
    Nothing,
}

/// A policy by name: its roles, and from when on (seconds from now).
const POLICIES: [(&str, &[&str], Option<i64>, bool); 6] = [
    ("none", &[], None, false),
    ("all", &["*"], None, true),
    ("their role", &["root-admin", "staff"], None, true),
    ("another role", &["root-admin", "client"], None, false),
    ("a grace period", &["*"], Some(3600), false),
    ("a grace period that is over", &["staff"], Some(0), true),
];

/// The table: for each path the results under each policy, in the order of [`POLICIES`]: for a user without a second
/// factor, and for one with. `t` is a token, `c` a challenge, `e` a ticket for enrolling, `-` nothing.
const TABLE: [(&str, Path, &str, &str); 13] = [
    ("token", token, "teette", "cccccc"),
    ("login", login, "teette", "cccccc"),
    ("token with a code", token_with_code, "teette", "tttttt"),
    ("login with a recovery code", login_with_recovery_code, "teette", "tttttt"),
    ("verify-otp", verify, "------", "tttttt"),
    ("verify-otp with a wrong code", verify_wrong, "------", "------"),
    ("a remembered device", device, "teette", "tttttt"),
    ("refresh of a session by password", refresh, "t--tt-", "t--tt-"),
    ("refresh of a session by code", refresh_by_code, "tttttt", "tttttt"),
    ("silent renewal", renewal, "t--tt-", "t--tt-"),
    ("legacy exchange", exchange, "t--tt-", "------"),
    ("step-up by password", step_up, "t--tt-", "------"),
    ("step-up by code", step_up_by_code, "------", "t--tt-"),
];

/// Credentials from before the policy.
struct Held {
    world: World,
    acme: Actor,
    by_password: Tokens,
    by_code: Tokens,
    /// Its access cookie is gone.
    renewing: Browser,
    /// Where the user is remembered.
    remembered: Browser,
    /// The challenge of a sign-in from before, where the user is enrolled.
    challenge: String,
}

type Path = fn(&mut Held) -> Answered;

fn credentials(more: &Value) -> Value {
    let mut body = json!({"username": "ada", "password": PASSWORD});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn tokens_of(answer: &Answered) -> Tokens {
    Tokens { access: answer.text("access"), refresh: answer.text("refresh") }
}

/// A user with a session of each kind, a remembered browser and a token of the old service, enrolled at last or not.
fn hold(enrolled: bool) -> Held {
    let (world, acme) = super::super::browser::acme();
    let marker = shared::tokens::legacy::Marker { claim: "realm".into(), value: json!("acme") };
    acme.came_from(Some(marker), START + 20 * 86_400);
    acme.edit(|tenant| tenant.settings.remember_device_days = 30);
    acme.old_user("ada", "7");
    let by_password = acme.sign_in("ada");
    let mut renewing = Browser::signed_in(&acme, "ada");
    renewing.jar.remove("__Host-access_token");
    let of_old = |row: &mut UserRow| row.legacy_id = Some("7".into());
    acme.change("ada", |row| {
        with_factors(acme.id(), &[1], &[1, 2])(row);
        of_old(row);
    });
    let mut remembered = Browser::at(&acme);
    let body = credentials(&json!({"otp": code(&world, 1), "remember": true}));
    let by_code = tokens_of(&remembered.post("/api/login/", &body).expect(200));
    remembered.jar.retain(|name, _| name == "__Host-device");
    assert_eq!(remembered.jar.len(), 1);
    let challenge = mfa_token(&acme);
    if !enrolled {
        acme.change("ada", of_old);
    }
    world.advance(STEP_MS);
    Held { world, acme, by_password, by_code, renewing, remembered, challenge }
}

fn token(held: &mut Held) -> Answered {
    held.acme.post("/api/token/", &credentials(&json!({})))
}

fn login(held: &mut Held) -> Answered {
    Browser::at(&held.acme).sign_in("ada")
}

fn token_with_code(held: &mut Held) -> Answered {
    held.acme.post("/api/token/", &credentials(&json!({"otp": code(&held.world, 1)})))
}

fn login_with_recovery_code(held: &mut Held) -> Answered {
    Browser::at(&held.acme).post("/api/login/", &credentials(&json!({"recovery_code": recovery_code(1)})))
}

fn verify(held: &mut Held) -> Answered {
    verify_otp(&held.acme, &held.challenge, &code(&held.world, 1))
}

fn verify_wrong(held: &mut Held) -> Answered {
    verify_otp(&held.acme, &held.challenge, &wrong_code(&held.world))
}

fn device(held: &mut Held) -> Answered {
    held.remembered.sign_in("ada")
}

fn refresh(held: &mut Held) -> Answered {
    held.acme.refresh(&held.by_password.refresh)
}

fn refresh_by_code(held: &mut Held) -> Answered {
    held.acme.refresh(&held.by_code.refresh)
}

fn renewal(held: &mut Held) -> Answered {
    held.renewing.get("/api/user/me/")
}

fn exchange(held: &mut Held) -> Answered {
    let exp = START + 86_400;
    let claims = json!({
        "token_type": "refresh", "exp": exp, "iat": exp - 90_000, "jti": "old", "user_id": 7, "realm": "acme",
    });
    held.acme.refresh(&old_token(&claims))
}

fn stepped(held: &Held, proof: &Value) -> Answered {
    let request = held.acme.request("POST", "/api/step-up/").bearer(&held.by_password.access);
    held.world.send(request.json(proof))
}

fn step_up(held: &mut Held) -> Answered {
    stepped(held, &json!({"password": PASSWORD}))
}

fn step_up_by_code(held: &mut Held) -> Answered {
    stepped(held, &json!({"otp": code(&held.world, 1)}))
}

/// The access token of an answer: in its body, or in its cookie.
fn access(answer: &Answered) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let in_cookie = || {
        let cookies = set_cookies(answer).into_iter();
        let mut access =
            cookies.filter(|(name, value, _)| name == "__Host-access_token" && !value.is_empty());
        access.next().map(|(_, value, _)| value)
    };
    body["access"].as_str().map(ToOwned::to_owned).or_else(in_cookie)
}

fn given(answer: &Answered) -> Given {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if access(answer).is_some() {
        Given::Token
    } else if body.get("mfa_token").is_some() {
        Given::Challenge
    } else if body["code"] == "mfa_enrollment_required" {
        Given::Ticket
    } else {
        Given::Nothing
    }
}

fn expected(letter: char) -> Given {
    match letter {
        't' => Given::Token,
        'c' => Given::Challenge,
        'e' => Given::Ticket,
        '-' => Given::Nothing,
        other => panic!("{other}"),
    }
}

fn demand(held: &Held, roles: &[&str], from: Option<i64>) {
    let now = held.world.memory().now_ms.get() / 1000 - START;
    let from = from.map(|secs| super::policy::time(now.cast_signed() + secs, 0));
    held.acme.edit(|tenant| {
        tenant.settings.second_factor_roles = roles.iter().map(|role| (*role).to_owned()).collect();
        tenant.settings.second_factor_from = from;
        tenant.needs = if roles.is_empty() { Needs::default() } else { Needs::of(&[SECOND_FACTOR_POLICY]) };
    });
    futures::executor::block_on(crate::tenants::find::read_feed(&held.world.app)).unwrap();
}

#[test]
fn each_path_gives_under_each_policy_what_the_table_says() {
    for (path, call, not_enrolled, enrolled) in TABLE {
        for (is_enrolled, row) in [(false, not_enrolled), (true, enrolled)] {
            assert_eq!(row.len(), POLICIES.len(), "{path}");
            for (letter, (policy, roles, from, demanded)) in row.chars().zip(POLICIES) {
                let mut held = hold(is_enrolled);
                demand(&held, roles, from);
                let answer = call(&mut held);
                let cell = format!("{path}, {policy}, enrolled: {is_enrolled}");
                assert_eq!(given(&answer), expected(letter), "{cell}: {} {}", answer.status, answer.text);
                let Some(access) = access(&answer) else { continue };
                let amr = claims(&access)["amr"].clone();
                let shows = amr.as_array().unwrap().iter().any(|method| method == "mfa");
                assert!(shows || !demanded, "{cell}: {amr}");
                held.acme.validate(&access).expect(200);
            }
        }
    }
}
