//! A tenant that demands a second factor: no path leads past it.

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::tenant::settings::Settings;
use shared::wire::needs::SECOND_FACTOR_POLICY;
use shared::wire::push::{KeptSession, Push};

use super::super::browser::{Browser, PAGE, cleared};
use super::super::fixture::{START_MS, Tokens, message, old_token};
use super::super::scale::scaled;
use super::*;

const START: u64 = START_MS / 1000;

/// The roles that need a second factor, and from when on (Unix seconds).
#[derive(Clone, Copy, Debug)]
struct Policy {
    roles: &'static [&'static str],
    from: Option<u64>,
}

/// So many seconds from the start of the tests, which is eight o'clock.
pub(super) fn time<T: serde::de::DeserializeOwned>(secs: i64, nanos: u32) -> T {
    let of_day = 8 * 3600 + secs;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let text = format!("2027-01-15T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z");
    serde_json::from_value(json!(text)).unwrap()
}

/// A tenant with cookies, a legacy key, and users of the role `staff`.
fn tenant() -> (World, Actor) {
    let (world, acme) = super::super::browser::acme();
    let marker = shared::tokens::legacy::Marker { claim: "realm".into(), value: json!("acme") };
    acme.came_from(Some(marker), START + 20 * 86_400);
    acme.old_user("ada", "7");
    acme.user("mfa");
    acme.change("mfa", with_factors(acme.id(), &[1], &[]));
    (world, acme)
}

fn demand(acme: &Actor, policy: Policy) {
    acme.edit(|tenant| {
        tenant.settings.second_factor_roles = policy.roles.iter().map(|role| (*role).to_owned()).collect();
        tenant.settings.second_factor_from =
            policy.from.and_then(|secs| time(secs.cast_signed() - START.cast_signed(), 0));
        tenant.needs = match policy.roles {
            [] => Needs::default(),
            _ => Needs::of(&[SECOND_FACTOR_POLICY]),
        };
    });
}

fn old(kind: &str) -> String {
    let exp = START + 86_400;
    old_token(
        &json!({"token_type": kind, "exp": exp, "iat": exp - 90_000, "jti": kind, "user_id": 7, "realm": "acme"}),
    )
}

/// Credentials from before the policy.
struct Held {
    tokens: Tokens,
    browser: Browser,
    /// The browser has no access cookie any more, only the refresh cookie.
    renewing: Browser,
    mfa: Tokens,
}

fn hold(world: &World, acme: &Actor) -> Held {
    let answer =
        acme.post("/api/token/", &json!({"username": "mfa", "password": PASSWORD, "otp": code(world, 1)}));
    let answer = answer.expect(200);
    let mfa = Tokens { access: answer.text("access"), refresh: answer.text("refresh") };
    let (browser, mut renewing) = (Browser::signed_in(acme, "ada"), Browser::signed_in(acme, "ada"));
    renewing.jar.remove("__Host-access_token");
    let tokens = acme.sign_in("ada");
    // The isolate has verified all of it.
    acme.validate(&tokens.access).expect(200);
    acme.validate(&mfa.access).expect(200);
    Held { tokens, browser, renewing, mfa }
}

/// Every path to a token or past one, for a session of the password alone: its name, and the status it gave.
fn paths(acme: &Actor, held: &Held) -> Vec<(&'static str, u16)> {
    let (world, Tokens { access, refresh }) = (&acme.world, &held.tokens);
    let sign_in = |path: &str| acme.post(path, &json!({"username": "ada", "password": PASSWORD})).status;
    let verify = |token: &str| acme.post("/api/token/verify/", &json!({"token": token})).status;
    let bearer = |token: &str| world.send(acme.request("GET", "/api/user/me/").bearer(token)).status;
    let step_up = acme.request("POST", "/api/step-up/").bearer(access).json(&json!({"password": PASSWORD}));
    let gateway = acme.request("GET", "/api/token/validate/").bearer(access);
    let mut browser = held.browser.clone();
    let mut renewing = held.renewing.clone();
    vec![
        ("token", sign_in("/api/token/")),
        ("login", sign_in("/api/login/")),
        ("validate", acme.validate(access).status),
        ("validate for gateways", world.send(gateway).status),
        ("validate of the old service's", acme.validate(&old("access")).status),
        ("verify of an access token", verify(access)),
        ("verify of a refresh token", verify(refresh)),
        ("verify of the old service's", verify(&old("refresh"))),
        ("forward", bearer(access)),
        ("forward of the old service's", bearer(&old("access"))),
        ("forward by cookie", browser.get("/api/user/me/").status),
        ("step-up", world.send(step_up).status),
        ("renewal", renewing.get("/api/user/me/").status),
        ("refresh", acme.refresh(refresh).status),
        ("exchange", acme.refresh(&old("refresh")).status),
    ]
}

#[test]
fn no_path_leads_past_what_the_tenant_demands() {
    let policies = [
        (Policy { roles: &[], from: None }, false),
        (Policy { roles: &["root-admin", "client"], from: None }, false),
        (Policy { roles: &["root-admin", "staff"], from: None }, true),
        (Policy { roles: &["*"], from: None }, true),
        (Policy { roles: &["*"], from: Some(START + 1) }, false),
        (Policy { roles: &["staff"], from: Some(START) }, true),
    ];
    for (policy, demanded) in policies {
        let (world, acme) = tenant();
        let held = hold(&world, &acme);
        demand(&acme, policy);
        // The isolate's data is at most three seconds old, and the clock does not move.
        futures::executor::block_on(crate::tenants::find::read_feed(&world.app)).unwrap();
        let families = count(&world, "select count(*) from families");
        for (path, status) in paths(&acme, &held) {
            let refused = match path {
                "token" | "login" => 403,
                "verify of an access token" | "verify of a refresh token" | "verify of the old service's" => {
                    400
                }
                _ => 401,
            };
            assert_eq!(status, if demanded { refused } else { 200 }, "{path} {policy:?}");
        }
        if demanded {
            assert_eq!(count(&world, "select count(*) from families"), families, "{policy:?}");
            assert_eq!(count(&world, "select max(generation) from families"), 1, "{policy:?}");
        }
        // A session that proved a second factor stays valid everywhere.
        acme.validate(&held.mfa.access).expect(200);
        world.send(acme.request("GET", "/api/user/me/").bearer(&held.mfa.access)).expect(200);
        acme.post("/api/token/verify/", &json!({"token": held.mfa.refresh})).expect(200);
        acme.refresh(&held.mfa.refresh).expect(200);
    }
}

#[test]
fn what_is_refused_is_worded_as_a_lower_epoch_is() {
    let (world, acme) = tenant();
    let held = hold(&world, &acme);
    demand(&acme, Policy { roles: &["staff"], from: None });
    world.advance(3001);
    let blacklisted = json!({"detail": "Token is blacklisted", "code": "token_not_valid"});
    assert_eq!(acme.refresh(&held.tokens.refresh).expect(401).json(), blacklisted);
    assert_eq!(acme.validate(&held.tokens.access).expect(401).text("detail"), "Token is blacklisted");
    let forwarded = world.send(acme.request("GET", "/api/user/me/").bearer(&held.tokens.access)).expect(401);
    assert_eq!(forwarded.json()["messages"][0]["message"], "Token is blacklisted");
    let mut renewing = held.renewing;
    let deadlines = "select sum(idle_deadline) from families";
    let before = count(&world, deadlines);
    world.advance(7_200_000);
    let answer = renewing.get("/api/user/me/").expect(401);
    assert_eq!(cleared(&answer).len(), 3, "the session is of no use");
    assert_eq!(count(&world, deadlines), before);
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
    // The more severe error is answered first.
    acme.edit(|tenant| tenant.settings.second_factor_roles.clear());
    let tokens = acme.sign_in("ada");
    demand(&acme, Policy { roles: &["staff"], from: None });
    acme.change("ada", |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (1, 1, 1));
    world.advance(3001);
    let forwarded = world.send(acme.request("GET", "/api/user/me/").bearer(&tokens.access)).expect(401);
    assert_eq!(forwarded.text("code"), "password_changed");
}

#[test]
fn a_demand_that_the_isolate_does_not_know_of_holds_wherever_rows_are_read() {
    let (world, acme) = tenant();
    let held = hold(&world, &acme);
    demand(&acme, Policy { roles: &["staff"], from: None });
    let step_up = || acme.request("POST", "/api/step-up/").bearer(&held.tokens.access);
    world.send(step_up().json(&json!({"password": PASSWORD}))).expect(401);
    acme.refresh(&held.tokens.refresh).expect(401);
    acme.try_sign_in("ada", PASSWORD).expect(403);
    // Nor does a password give tokens while one is made.
    let (world, acme) = tenant();
    let tokens = acme.sign_in("ada");
    while_hashing(&world, r#"update tenants set factor_roles = '["staff"]'"#);
    let step_up = acme.request("POST", "/api/step-up/").bearer(&tokens.access);
    let refused = world.send(step_up.json(&json!({"password": PASSWORD}))).expect(401);
    assert_eq!(refused.text("detail"), "Token is blacklisted");
}

#[test]
fn a_token_is_judged_by_the_demand_in_a_crowd_too() {
    let (world, acme) = tenant();
    demand(&acme, Policy { roles: &["staff"], from: Some(START + 10) });
    let tokens = acme.sign_in("ada");
    let crowd = "insert into crowds (tenant) select id from tenants where id not in (select tenant from crowds); \
                 update crowds set at = 1";
    run(&world, crowd);
    world.advance(3001);
    acme.validate(&tokens.access).expect(200);
    world.advance(7000);
    acme.validate(&tokens.access).expect(401);
    world.new_isolate();
    acme.validate(&tokens.access).expect(401);
}

#[test]
fn a_demand_begins_by_the_clock_without_a_read() {
    let (world, acme) = tenant();
    demand(&acme, Policy { roles: &["staff"], from: Some(START + 2) });
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    world.advance(1999);
    acme.validate(&tokens.access).expect(200);
    acme.refresh(&tokens.refresh).expect(200);
    world.advance(1);
    let ask = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
    let (answer, trips) = world.counted(ask);
    assert_eq!(answer.expect(401).text("detail"), "Token is blacklisted");
    assert_eq!(trips, 0);
    let request = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
    let now = crate::tests::entry::handle_now(&world.app, &request).unwrap();
    assert_eq!(now.response.status, 401, "nor on the synchronous way");
    assert_eq!(acme.try_sign_in("ada", PASSWORD).expect(403).text("code"), "mfa_enrollment_required");
}

#[test]
fn a_right_password_gets_a_ticket_for_enrolling_alone() {
    let (world, acme) = tenant();
    demand(&acme, Policy { roles: &["*"], from: None });
    for path in ["/api/token/", "/api/login/"] {
        let body = json!({"username": "ada", "password": PASSWORD, "otp": "123456"});
        let (answer, trips) = world.counted(acme.request("POST", path).json(&body));
        assert!(trips <= 3, "as many round trips as a sign-in, and the new document");
        let body = answer.expect(403).json();
        let rest = json!({"detail": "Multi-factor authentication must be set up.",
            "code": "mfa_enrollment_required", "ticket": body["ticket"], "expires_in": 600});
        assert_eq!(body, rest);
    }
    assert_eq!(kinds(&world), ["mfa_enrollment_required", "mfa_enrollment_required"]);
    assert_eq!(count(&world, "select count(*) from families"), 0);
    assert_eq!(count(&world, "select max(count) from attempts"), 0);
    let ticket = acme.try_sign_in("ada", PASSWORD).expect(403).text("ticket");
    let at = |method: &str, path: &str| {
        world.send(acme.request(method, path).bearer(&ticket).json(&json!({}))).status
    };
    for (method, path) in
        [("GET", "/api/user/mfa/"), ("POST", "/api/user/mfa/totp/"), ("POST", "/api/user/mfa/totp/confirm/")]
    {
        assert_eq!(at(method, path), 200, "{path}");
        let forwarded = world.memory().forwarded.borrow();
        let headers = &forwarded.last().unwrap().0.headers;
        let vouched = &headers.iter().find(|(name, _)| *name == "wardgate-ticket").unwrap().1;
        assert!(vouched.starts_with("purpose=mfa_enrollment; user="), "{vouched}");
    }
    for (method, path) in [
        ("POST", "/api/user/password/change/"),
        ("POST", "/api/user/mfa/recovery-codes/"),
        ("GET", "/api/user/me/"),
        ("POST", "/api/step-up/"),
    ] {
        assert_eq!(at(method, path), 401, "{path}");
    }
    // With an authenticator the ticket is over, even before an epoch is raised.
    let given = r#"update users set needs = '["second_factor"]'"#;
    run(&world, given);
    assert_eq!(at("POST", "/api/user/mfa/totp/"), 401);
    run(&world, "update users set needs = null");
    assert_eq!(at("POST", "/api/user/mfa/totp/"), 200);
    acme.change("ada", |row| row.access_epoch = 1);
    assert_eq!(at("POST", "/api/user/mfa/totp/"), 401);
}

#[test]
fn no_ticket_for_enrolling_is_given_to_a_user_who_has_a_factor_by_now() {
    let (world, acme) = tenant();
    demand(&acme, Policy { roles: &["*"], from: None });
    acme.try_sign_in("ada", PASSWORD).expect(403);
    run(&world, "delete from tickets");
    while_hashing(&world, r#"update users set needs = '["second_factor"]'"#);
    acme.try_sign_in("ada", PASSWORD).expect(401);
    assert_eq!(count(&world, "select count(*) from tickets"), 0);
}

#[test]
fn a_user_with_a_second_factor_exchanges_no_token_of_the_old_service() {
    let (world, acme) = tenant();
    let refused = json!({"detail": "Token is blacklisted", "code": "token_not_valid"});
    acme.change("ada", |row| {
        with_factors(acme.id(), &[1], &[])(row);
        row.legacy_id = Some("7".into());
    });
    assert_eq!(acme.refresh(&old("refresh")).expect(401).json(), refused);
    acme.post("/api/token/verify/", &json!({"token": old("refresh")})).expect(400);
    assert_eq!(count(&world, "select count(*) from families"), 0);
    acme.change("ada", |row| row.legacy_id = Some("7".into()));
    acme.refresh(&old("refresh")).expect(200);
}

#[test]
fn the_session_in_which_a_factor_was_enrolled_goes_on() {
    let (world, acme) = tenant();
    let (kept, other) = (acme.sign_in("ada"), acme.sign_in("ada"));
    let sid = shared::ids::SessionId::parse(claims_of(&kept)["sid"].as_str().unwrap()).unwrap();
    let mut row = acme.user_row("ada");
    with_factors(acme.id(), &[1], &[])(&mut row);
    (row.access_epoch, row.session_epoch) = (1, 1);
    row.kept_session = Some(KeptSession { sid, from: 0 });
    world.push(&Push { users: vec![row.into()], ..message(acme.id()) }).expect(200);
    acme.refresh(&other.refresh).expect(401);
    acme.refresh(&kept.refresh).expect(200);
}

fn claims_of(tokens: &Tokens) -> Value {
    super::super::fixture::claims(&tokens.access)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(scaled(100, 1_000)))]
    /// The statements' word and the settings' are one.
    #[test]
    fn statements_and_settings_demand_alike(
        demanded in proptest::collection::vec(prop_oneof![Just("*"), Just("staff"), Just("a b"), Just("ä\"'")], 0..3),
        roles in proptest::collection::vec(prop_oneof![Just("staff"), Just("a b"), Just("ä\"'"), Just("client")], 0..3),
        from in proptest::option::of(-2i64..3), nanos in prop_oneof![Just(0u32), Just(1), Just(999_999_999)],
    ) {
        let world = World::new();
        let acme = world.tenant("acme");
        acme.user("ada");
        acme.change("ada", |row| row.roles = roles.iter().map(|role| (*role).to_owned()).collect());
        let now = START.cast_signed();
        let from = from.and_then(|secs| time(secs, nanos));
        let settings = Settings {
            second_factor_roles: demanded.iter().map(|role| (*role).to_owned()).collect(),
            second_factor_from: from,
            ..Settings::default()
        };
        acme.edit(|tenant| tenant.settings = settings.clone());
        let by_statement: bool = world.memory().db.borrow().query_row(
            "select coalesce(factor_from <= ?1, false) from subjects", [now * 1000], |row| row.get(0)).unwrap();
        prop_assert_eq!(by_statement, settings.demands_second_factor(&roles, now));
    }
}
