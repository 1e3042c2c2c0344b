//! Sessions: rotation, retries, theft, deadlines, and their end.

use proptest::bool::weighted;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::ids::SessionId;
use shared::user::UserStatus;

use super::fixture::{Actor, Request, World, claims};
use super::scale::scaled;
use crate::sessions::family::{FamilyRow, Outcome, RefreshAttempt, outcome};
use crate::sql;

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

fn kinds(world: &World) -> Vec<String> {
    let facts = world.memory().run(&sql::OUTBOX.bind([1000.into()]));
    facts.iter().map(|fact| fact["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_retry_within_the_window_gets_the_same_bytes() {
    let (world, acme) = acme();
    let first = acme.sign_in("ada");
    world.advance(5000);
    let second = acme.refreshed(&first.refresh);
    world.advance(30_000);
    assert_eq!(acme.refreshed(&first.refresh).refresh, second.refresh);
    let third = acme.refreshed(&second.refresh);
    assert_ne!(third.refresh, second.refresh);
    // Three tabs: two behind within the window is refused and ends nothing.
    acme.refresh(&first.refresh).expect(401);
    acme.refresh(&third.refresh).expect(200);
}

#[test]
fn one_behind_after_the_window_is_theft_and_ends_that_family_alone() {
    let (world, acme) = acme();
    let (stolen, other) = (acme.sign_in("ada"), acme.sign_in("ada"));
    let current = acme.refreshed(&stolen.refresh);
    world.advance(30_001);
    let refused = acme.refresh(&stolen.refresh).expect(401);
    assert_eq!(refused.json(), json!({"detail": "Token is blacklisted", "code": "token_not_valid"}));
    acme.refresh(&current.refresh).expect(401);
    acme.refresh(&other.refresh).expect(200);
    assert!(kinds(&world).contains(&"reuse_detected".to_owned()));
    world.advance(4000);
    assert_eq!(acme.validate(&current.access).expect(401).text("detail"), "Token is blacklisted");
    acme.validate(&other.access).expect(200);
}

#[test]
fn a_request_that_holds_its_body_back_stays_in_no_window() {
    let (world, acme) = acme();
    let first = acme.sign_in("ada");
    let second = acme.refreshed(&first.refresh);
    let held = |path: &str, body: &serde_json::Value| {
        let world = world.clone();
        acme.request("POST", path).json(body).before_body(move || world.advance(300_000))
    };
    // Begun in time for its `exp` and for the retry window; when it arrives, both are over.
    let validated = held("/api/token/validate/", &json!({"token": second.access}));
    assert_eq!(world.send(validated).expect(401).text("detail"), "Token is expired");
    let third = acme.refreshed(&second.refresh);
    let late = held("/api/token/refresh/", &json!({"refresh": second.refresh}));
    assert_eq!(world.send(late).expect(401).text("detail"), "Token is blacklisted");
    acme.refresh(&third.refresh).expect(401);
    assert!(kinds(&world).contains(&"reuse_detected".to_owned()));
}

#[test]
fn three_behind_is_theft_even_at_once() {
    let (world, acme) = acme();
    let first = acme.sign_in("ada");
    let mut token = first.refresh.clone();
    for _ in 0..3 {
        token = acme.refreshed(&token).refresh;
    }
    acme.refresh(&first.refresh).expect(401);
    acme.refresh(&token).expect(401);
    assert!(kinds(&world).contains(&"reuse_detected".to_owned()));
}

#[test]
fn a_window_of_zero_behaves_as_the_old_service() {
    let (_, acme) = acme();
    acme.edit(|tenant| tenant.settings.retry_window_secs = 0);
    let first = acme.sign_in("ada");
    let second = acme.refreshed(&first.refresh);
    acme.refresh(&first.refresh).expect(401);
    let third = acme.refreshed(&second.refresh);
    acme.refresh(&first.refresh).expect(401);
    acme.refresh(&third.refresh).expect(401);
}

#[test]
fn a_generation_ahead_of_its_row_is_a_rollback_and_not_theft() {
    let (world, acme) = acme();
    let first = acme.sign_in("ada");
    let second = acme.refreshed(&first.refresh);
    world.memory().db.borrow().execute_batch("update families set generation = 1").unwrap();
    acme.refresh(&second.refresh).expect(401);
    assert!(kinds(&world).contains(&"storage_rollback".to_owned()));
    assert!(!kinds(&world).contains(&"reuse_detected".to_owned()));
}

#[test]
fn deadlines_hold_and_rotation_moves_only_the_idle_one() {
    let (world, acme) = acme();
    let idle = acme.sign_in("ada");
    world.advance(86_400_000);
    let refused = acme.refresh(&idle.refresh).expect(401);
    assert_eq!(refused.json(), json!({"detail": "Token is expired", "code": "token_not_valid"}));
    let mut token = acme.sign_in("ada").refresh;
    let born = claims(&token)["iat"].as_i64().unwrap();
    for _ in 0..31 {
        world.advance(83_600_000);
        token = acme.refreshed(&token).refresh;
    }
    assert_eq!(claims(&token)["exp"].as_i64().unwrap(), born + 30 * 86_400);
    world.advance(900_000);
    acme.refresh(&token).expect(401);
}

#[test]
fn a_lost_answer_is_repeated_harmlessly() {
    let (world, acme) = acme();
    let first = acme.sign_in("ada");
    world.memory().lose_answer.set(true);
    acme.refresh(&first.refresh).expect(503);
    let second = acme.refreshed(&first.refresh);
    assert_eq!(claims(&second.refresh)["jti"].as_str().unwrap().rsplit('.').next(), Some("2"));
    acme.refresh(&second.refresh).expect(200);
}

#[test]
fn refresh_says_what_the_user_became() {
    let (_, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.change("ada", |row| {
        row.roles = vec!["client".into()];
        row.access_epoch = 1;
    });
    let renewed = acme.refreshed(&tokens.refresh);
    assert_eq!(claims(&renewed.access)["roles"], json!(["client"]));
    assert_eq!(claims(&renewed.access)["epoch"], 1);
    acme.change("ada", |row| (row.access_epoch, row.session_epoch) = (2, 1));
    assert_eq!(acme.refresh(&renewed.refresh).expect(401).text("detail"), "Token is blacklisted");
    let again = acme.sign_in("ada");
    acme.change("ada", |row| {
        row.status = UserStatus::Suspended;
        (row.access_epoch, row.session_epoch) = (3, 2);
    });
    let refused = acme.refresh(&again.refresh).expect(401);
    assert_eq!(refused.json(), json!({"detail": "No active account found for the given token."}));
}

#[test]
fn tokens_of_another_tenant_kind_or_make_are_garbage_before_storage() {
    let (world, acme) = acme();
    let beta = world.tenant("beta");
    beta.user("ada");
    let (ours, theirs) = (acme.sign_in("ada"), beta.sign_in("ada"));
    acme.validate(&ours.access).expect(200);
    let garbage = acme.refresh("abc").expect(401).visible();
    let cut = &ours.refresh[..ours.refresh.len() - 1];
    for bad in [theirs.refresh.as_str(), theirs.access.as_str(), cut, &format!("{}A", ours.refresh)] {
        let before = world.memory().batches.get();
        assert_eq!(acme.refresh(bad).visible(), garbage);
        assert_eq!(world.memory().batches.get(), before);
    }
    assert_eq!(acme.refresh(&ours.access).expect(401).text("detail"), "Token has wrong type");
    assert_eq!(acme.validate(&ours.refresh).expect(401).text("detail"), "Token has wrong type");
    world.advance(86_400_000);
    assert_eq!(acme.refresh(&ours.access).expect(401).text("detail"), "Token is expired");
    assert_eq!(acme.validate(&ours.refresh).expect(401).text("detail"), "Token is expired");
}

#[test]
fn a_refresh_token_without_its_row_is_invalid_or_expired() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    world.memory().db.borrow().execute_batch("delete from families").unwrap();
    assert_eq!(acme.refresh(&tokens.refresh).expect(401).text("detail"), "Token is invalid");
    world.advance(86_400_000);
    assert_eq!(acme.refresh(&tokens.refresh).expect(401).text("detail"), "Token is expired");
}

#[test]
fn signing_out_ends_one_session_or_all() {
    let (world, acme) = acme();
    let [one, two, three] = [0; 3].map(|_| acme.sign_in("ada"));
    let logout = |body: Value| world.send(acme.request("POST", "/api/logout/").json(&body));
    let bearer =
        |token: &str, body: Value| world.send(acme.request("POST", "/api/logout/").bearer(token).json(&body));
    bearer(&one.access, json!({})).expect(204);
    acme.validate(&one.access).expect(401);
    acme.refresh(&one.refresh).expect(401);
    assert_eq!(bearer(&one.access, json!({})).expect(401).text("code"), "token_not_valid");
    logout(json!({"refresh": two.refresh})).expect(204);
    acme.refresh(&two.refresh).expect(401);
    logout(json!({})).expect(401);
    let four = acme.sign_in("ada");
    bearer(&three.access, json!({"everywhere": true})).expect(204);
    for tokens in [&three, &four] {
        acme.refresh(&tokens.refresh).expect(401);
        acme.validate(&tokens.access).expect(401);
    }
    assert_eq!(kinds(&world).iter().filter(|kind| kind.starts_with("signed_out")).count(), 3);
}

#[test]
fn a_bad_credential_never_keeps_a_good_one_from_ending_its_session() {
    let (world, acme) = acme();
    let beta = world.tenant("beta");
    beta.user("ada");
    let theirs = beta.sign_in("ada");
    let old = acme.sign_in("ada");
    world.advance(301_000);
    acme.post("/api/token/blacklist/", &json!({"refresh": old.refresh})).expect(200);
    let bad = [
        format!("Bearer {}", old.access),
        format!("Bearer {}", old.refresh),
        format!("Bearer {}", theirs.access),
        String::from("Bearer x.y.z"),
        String::from("Bearer"),
        String::from("Bearer a b"),
    ];
    for everywhere in [false, true] {
        for authorization in &bad {
            let (tokens, other) = (acme.sign_in("ada"), acme.sign_in("ada"));
            let body = json!({"refresh": tokens.refresh, "everywhere": everywhere});
            let logout = acme.request("POST", "/api/logout/").header("authorization", authorization);
            world.send(logout.json(&body)).expect(204);
            acme.refresh(&tokens.refresh).expect(401);
            acme.refresh(&other.refresh).expect(if everywhere { 401 } else { 200 });
        }
    }
    beta.refresh(&theirs.refresh).expect(200);
    // And the other way round: a valid Bearer ends its session, whatever the body holds.
    for refresh in [json!(null), json!(""), json!("x"), json!({}), json!(old.refresh), json!(theirs.access)] {
        let tokens = acme.sign_in("ada");
        let logout = acme.request("POST", "/api/logout/").bearer(&tokens.access);
        world.send(logout.json(&json!({"refresh": refresh}))).expect(204);
        acme.refresh(&tokens.refresh).expect(401);
    }
    // The blacklist asks for the token in its body alone.
    let tokens = acme.sign_in("ada");
    let blacklist = acme.request("POST", "/api/token/blacklist/").bearer(&old.access);
    world.send(blacklist.json(&json!({"refresh": tokens.refresh}))).expect(200);
    acme.refresh(&tokens.refresh).expect(401);
}

#[test]
fn each_good_credential_of_a_request_ends_its_own_session_and_no_other() {
    let (world, acme) = acme();
    acme.user("bob");
    let (ada, bob) = (acme.sign_in("ada"), acme.sign_in("bob"));
    let (adas_other, bobs_other) = (acme.sign_in("ada"), acme.sign_in("bob"));
    let logout = |bearer: &str, body: Value| {
        world.send(acme.request("POST", "/api/logout/").bearer(bearer).json(&body))
    };
    logout(&ada.access, json!({"refresh": bob.refresh})).expect(204);
    for ended in [&ada, &bob] {
        acme.refresh(&ended.refresh).expect(401);
        acme.validate(&ended.access).expect(401);
    }
    let (adas, bobs) = (acme.refreshed(&adas_other.refresh), acme.refreshed(&bobs_other.refresh));
    logout(&adas.access, json!({"refresh": bobs.refresh, "everywhere": true})).expect(204);
    for ended in [&adas, &bobs] {
        acme.refresh(&ended.refresh).expect(401);
    }
    // One fact is recorded for each ended session.
    let ends = kinds(&world).into_iter().filter(|kind| kind.starts_with("signed_out")).collect::<Vec<_>>();
    assert_eq!(ends, ["signed_out", "signed_out", "signed_out_everywhere", "signed_out"]);
}

#[test]
fn an_access_token_that_has_only_expired_ends_its_living_session_alone() {
    let (world, acme) = acme();
    let (tokens, other) = (acme.sign_in("ada"), acme.sign_in("ada"));
    world.advance(301_000);
    let logout =
        |body: Value| world.send(acme.request("POST", "/api/logout/").bearer(&tokens.access).json(&body));
    let refused = logout(json!({"everywhere": true})).expect(401);
    assert_eq!(refused.json()["messages"][0]["message"], "Token is expired");
    acme.refresh(&acme.refreshed(&tokens.refresh).refresh).expect(200);
    logout(json!({})).expect(204);
    acme.refresh(&tokens.refresh).expect(401);
    acme.refresh(&other.refresh).expect(200);
    let refused = logout(json!({})).expect(401);
    assert_eq!(refused.json()["messages"][0]["message"], "Token is expired", "its session is over");
    // A signature that does not hold, or a key that was revoked, is no credential at any time.
    let expired = claims(&other.access);
    let forged = super::fixture::forge(2, &expired);
    world.send(acme.request("POST", "/api/logout/").bearer(&forged)).expect(401);
    acme.edit(|tenant| tenant.keys[0].state = shared::tenant::KeyState::Revoked);
    world.advance(3001);
    let refused = world.send(acme.request("POST", "/api/logout/").bearer(&other.access)).expect(401);
    assert_eq!(refused.json()["messages"][0]["message"], "Token is invalid");
}

#[test]
fn signing_out_reaches_another_isolate() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    let cache = world.app.shard_cache.take();
    world.send(acme.request("POST", "/api/logout/").bearer(&tokens.access)).expect(204);
    world.app.shard_cache.replace(cache);
    acme.validate(&tokens.access).expect(200);
    world.advance(3001);
    acme.validate(&tokens.access).expect(401);
}

#[test]
fn blacklist_and_verify_speak_as_the_old_service() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let verify = |token: &str| acme.post("/api/token/verify/", &json!({"token": token}));
    let blacklist = |token: &str| acme.post("/api/token/blacklist/", &json!({"refresh": token}));
    assert_eq!(verify(&tokens.access).expect(200).json(), json!({}));
    assert_eq!(verify(&tokens.refresh).expect(200).json(), json!({}));
    assert_eq!(
        verify("zzz").expect(401).json(),
        json!({"detail": "Token is invalid", "code": "token_not_valid"})
    );
    let second = acme.refreshed(&tokens.refresh);
    verify(&tokens.refresh).expect(200);
    world.advance(30_001);
    // Only verify refuses these with 400: its serializer looks into the blacklist, the token's class does it
    // everywhere else.
    let blacklisted = json!({"non_field_errors": ["Token is blacklisted"]});
    let behind = verify(&tokens.refresh).expect(400);
    assert_eq!((behind.json(), behind.header("www-authenticate")), (blacklisted.clone(), None));
    verify(&second.refresh).expect(200);
    assert_eq!(blacklist(&second.refresh).expect(200).json(), json!({}));
    let again = blacklist(&second.refresh).expect(401);
    assert_eq!(again.json(), json!({"detail": "Token is blacklisted", "code": "token_not_valid"}));
    assert_eq!(again.header("www-authenticate"), Some("Bearer realm=\"api\""));
    assert_eq!(verify(&second.refresh).expect(400).json(), blacklisted);
    assert_eq!(verify(&second.access).expect(400).json(), blacklisted);
    acme.refresh(&second.refresh).expect(401);
    world.advance(30 * 86_400_000);
    let expired = json!({"detail": "Token is expired", "code": "token_not_valid"});
    for token in [&second.refresh, &second.access] {
        assert_eq!(verify(token).expect(401).json(), expired);
    }
}

#[test]
fn verify_says_blacklisted_whatever_became_of_the_user() {
    type Change = fn(&mut shared::wire::push::UserRow);
    let changes: [Change; 4] = [
        |row| (row.status, row.access_epoch, row.session_epoch) = (UserStatus::Suspended, 1, 1),
        |row| (row.status, row.access_epoch, row.session_epoch) = (UserStatus::Deleted, 1, 1),
        |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (1, 1, 1),
        |row| (row.access_epoch, row.session_epoch) = (1, 1),
    ];
    for change in changes {
        let (world, acme) = acme();
        let tokens = acme.sign_in("ada");
        acme.change("ada", change);
        world.advance(3001);
        for token in [&tokens.refresh, &tokens.access] {
            let refused = acme.post("/api/token/verify/", &json!({"token": token})).expect(400);
            assert_eq!(refused.json(), json!({"non_field_errors": ["Token is blacklisted"]}));
            let refused = acme.validate(token).expect(401).text("detail");
            let of_refresh =
                if token == &tokens.refresh { "Token has wrong type" } else { "Token is blacklisted" };
            assert_eq!(refused, of_refresh);
        }
    }
}

fn statement_outcome(
    world: &World,
    sid: SessionId,
    acme: &Actor,
    presented: i64,
    now: i64,
    window: i64,
) -> Outcome {
    let (sid, tenant) = (sid.to_string(), acme.id().to_string());
    let (sid, tenant) = (sid.as_str(), tenant.as_str());
    let params = [sid.into(), tenant.into(), presented.into(), now.into(), window.into(), "event".into()];
    world.memory().run(&sql::END_STOLEN.bind(params));
    let rotate = sql::ROTATE.bind([
        sid.into(),
        tenant.into(),
        presented.into(),
        now.into(),
        1000.into(),
        sql::understood(),
    ]);
    let rotated = !world.memory().run(&rotate).is_empty();
    let rows = world.memory().run(&sql::FAMILY.bind([sid.into(), tenant.into()]));
    let row: FamilyRow = serde_json::from_value(rows[0].clone()).unwrap();
    let ended = row.ended_by.as_deref() == Some("event");
    outcome(&row, RefreshAttempt { generation: presented, rotated, ended, now, window })
}

/// The state of a family's row and its user.
struct Row {
    expired: bool,
    active: bool,
    ended: bool,
    /// Whether the family was born under the user's present epoch.
    epoch: bool,
    /// Whether the tenant demands a second factor that the session did not show.
    lacking: bool,
    understood: bool,
}

/// The expected meaning of a presented token, written independently of the code.
fn expected(behind: i64, elapsed: i64, window: i64, row: Row) -> Outcome {
    let Row { expired, active, ended, epoch, lacking, understood } = row;
    let elapsed = elapsed.max(0);
    if !ended {
        if behind < 0 {
            return Outcome::RolledBack;
        }
        let late = window > 0 && elapsed > window;
        if behind >= 3 || (behind == 2 && (late || window == 0)) || (behind == 1 && late) {
            return Outcome::Stolen;
        }
    }
    match (expired, active, ended || !epoch, behind) {
        (true, ..) => Outcome::Expired,
        (false, false, ..) => Outcome::Inactive,
        (false, true, true, _) => Outcome::Ended,
        (false, true, false, _) if lacking => Outcome::FactorDue,
        (false, true, false, _) if !understood => Outcome::NotUnderstood,
        (false, true, false, 0) => Outcome::Successor,
        (false, true, false, 1) if window > 0 => Outcome::Successor,
        (false, true, false, _) => Outcome::Behind,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(scaled(400, 2_000)))]
    /// SQL and the pure function are held to one table.
    #[test]
    fn statements_and_words_agree(
        generation in 1i64..6, presented in 1i64..7, elapsed in prop_oneof![Just(-5i64), 0i64..120_000],
        window in prop_oneof![Just(0i64), Just(30_000i64)], expired in weighted(0.2), active in weighted(0.8),
        ended in weighted(0.2), epoch in weighted(0.8), understood in weighted(0.8), demanded in proptest::option::of(-1i64..2), mfa: bool,
        idle in proptest::option::of(-1i64..2), absolute in proptest::option::of(-1i64..2),
    ) {
        let world = World::new();
        let acme = world.tenant("acme");
        let ada = acme.user("ada");
        let sid = SessionId::new(0, [1; 16]);
        let now = 1_000_000;
        let deadline = if expired { now } else { now + 1 };
        world.memory().db.borrow().execute(
            "insert into families (id, tenant, user, generation, created_at, rotated_at, idle_deadline,
               absolute_deadline, session_epoch, amr, auth_time, ended_at, used_at)
             values (?1, ?2, ?3, ?4, 0, ?5, ?6, 9000000, ?7, ?9, 0, ?8, ?5)",
            rusqlite::params![sid.to_string(), acme.id().to_string(), ada.to_string(), generation,
                now - elapsed, deadline, i64::from(!epoch), ended.then_some(5),
                if mfa { r#"["pwd","mfa"]"# } else { r#"["pwd"]"# }],
        ).unwrap();
        let status = if active { "active" } else { "suspended" };
        let needs = (!understood).then_some(r#"["a later word"]"#);
        world.memory().db.borrow().execute("update users set status = ?1, needs = ?2", (status, needs)).unwrap();
        if let Some(later) = demanded {
            let sql = "update tenants set factor_roles = '[\"staff\"]', factor_from = ?1";
            world.memory().db.borrow().execute(sql, [now + later]).unwrap();
        }
        let caps = [("idle", idle.map(|later| elapsed + later)), ("absolute", absolute.map(|later| now + later))];
        let timeouts: Vec<_> = caps.iter().filter_map(|(what, cap)| Some(json!({"role": "staff", *what: (*cap)?}))).collect();
        let sql = "update tenants set role_timeouts = ?1";
        world.memory().db.borrow().execute(sql, [json!(timeouts).to_string()]).unwrap();
        let expired = expired || [idle, absolute].into_iter().flatten().any(|later| later <= 0);
        let lacking = demanded.is_some_and(|later| later <= 0) && !mfa;
        let found = statement_outcome(&world, sid, &acme, presented, now, window);
        let behind = generation - presented;
        let row = Row { expired, active, ended, epoch, lacking, understood };
        prop_assert_eq!(found, expected(behind, elapsed, window, row));
    }
}

#[test]
fn a_token_at_a_name_that_moved_to_another_tenant_is_garbage() {
    let (world, acme) = acme();
    let beta = world.tenant("beta");
    let tokens = acme.sign_in("ada");
    let at_host = |path: &str| Request::new("POST", &format!("https://acme.example{path}"));
    let refresh = |token: &str| world.send(at_host("/api/token/refresh/").json(&json!({"refresh": token})));
    let second = refresh(&tokens.refresh).expect(200).text("refresh");
    let moved = "update names set tenant = ?1 where name = 'host:acme.example'";
    world.memory().db.borrow().execute(moved, [beta.id().to_string()]).unwrap();
    assert_eq!(refresh(&second).expect(401).text("detail"), "Token is invalid");
    acme.refresh(&second).expect(200);
}

/// The statement and the words after it go by one window, also where the batch finds a newer document.
#[test]
fn a_retry_is_worded_by_the_window_that_its_batch_went_by() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let first = acme.sign_in("ada");
    let second = acme.refreshed(&first.refresh);
    acme.edit(|tenant| tenant.settings.retry_window_secs = 0);
    assert_eq!(acme.refreshed(&first.refresh).refresh, second.refresh, "not known here yet");
    acme.refresh(&first.refresh).expect(401);
}
