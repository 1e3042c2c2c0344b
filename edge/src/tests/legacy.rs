//! Tokens of the service that a tenant came from: whose they are, what they are good for, and that a
//! refresh token of it becomes one session, once.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::executor::block_on;
use futures::future::join_all;
use serde_json::{Value, json};
use shared::claims::UserIdForm;
use shared::ids::{SessionId, UserId};
use shared::legacy::Marker;
use shared::person::PersonStatus;
use shared::settings::Cookies;
use shared::tenant::Status;

use super::browser::{Browser, PAGE, cleared, set_cookies};
use super::fixture::{Actor, Answered, OLD_KEY, START_MS, World, claims, forge_as, old_pem, old_token};
use crate::clean::clean;
use crate::refresh::presented;
use crate::serve::handle;
use crate::session::FamilyRow;
use crate::sql;

const DAY: u64 = 86_400;
const START: u64 = START_MS / 1000;
const JTI: &str = "ca3d3b2f4f9c4d3a8f0f6f8f2b1c0d9e";

fn marker(slug: &str) -> Marker {
    Marker { claim: "realm".into(), value: json!(slug) }
}

/// Tenants that came from one service with one key: in each, user 1 is somebody else.
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

/// Every door that takes a token, with this one.
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

// ---- Access tokens ------------------------------------------------------------------------------

#[test]
fn an_access_token_is_good_for_its_person_as_they_are_now() {
    let (world, acme) = acme();
    let token = old_access();
    let answer = acme.validate(&token).expect(200).json();
    assert_eq!((&answer["user_id"], &answer["roles"]), (&json!(1), &json!(["staff"])));
    assert_eq!((&answer["tenant"], &answer["exp"]), (&json!(acme.id()), &json!(START + DAY)));
    let sid = SessionId::parse(answer["sid"].as_str().unwrap()).unwrap();
    assert_eq!(families(&world), 0, "it has no session");
    assert_eq!(sid.shard(), 0);
    verify(&acme, &token).expect(200);
    bearer(&acme, &token).expect(200);
    let forwarded = world.memory().forwarded.borrow();
    let caller = &forwarded[0].0.headers.iter().find(|(name, _)| *name == "wardgate-caller").unwrap().1;
    assert_eq!(*caller, acme.user_id("acme-ada").to_string());
}

#[test]
fn an_access_token_costs_one_read_and_another_every_minute() {
    let (world, acme) = acme();
    let validate = || acme.request("POST", "/api/token/validate/").bearer(&old_access());
    assert_eq!(world.counted(validate()).1, 1);
    assert_eq!(world.counted(validate()).1, 0);
    world.advance(999);
    assert_eq!(world.counted(validate()).1, 0);
    world.advance(59_001);
    assert_eq!(world.counted(validate()).1, 2, "the feed, which is old, and the person");
    assert_eq!(world.counted(validate()).1, 0);
}

#[test]
fn what_has_happened_to_the_person_since_the_import_refuses_it_within_seconds() {
    type Change = fn(&mut shared::push::UserRow);
    let changes: [(&str, Change); 5] = [
        ("User is inactive", |row| (row.status, row.access_epoch) = (PersonStatus::Suspended, 1)),
        ("User not found", |row| (row.status, row.access_epoch) = (PersonStatus::Deleted, 1)),
        ("The user's password has been changed.", |row| (row.access_epoch, row.password_epoch) = (1, 1)),
        ("Given token not valid for any token type", |row| row.access_epoch = 1),
        // Suspended, and let in again.
        ("Given token not valid for any token type", |row| row.access_epoch = 2),
    ];
    for (words, change) in changes {
        let (world, acme) = acme();
        acme.validate(&old_access()).expect(200);
        acme.change("acme-ada", |row| {
            row.legacy_id = Some("1".into());
            change(row);
        });
        world.advance(3001);
        assert_eq!(detail(bearer(&acme, &old_access())), words, "known from before");
        world.new_isolate();
        assert_eq!(detail(bearer(&acme, &old_access())), words, "seen for the first time");
        assert_eq!(detail(acme.validate(&old_access())), "Token is blacklisted");
        acme.validate(&with("access", "user_id", json!(2))).expect(200);
    }
}

#[test]
fn a_denial_outlives_the_feed() {
    let (world, acme) = acme();
    acme.validate(&old_access()).expect(200);
    acme.change("acme-ada", |row| row.access_epoch = 1);
    world.advance(3 * 3600 * 1000);
    block_on(clean(&world.app)).unwrap();
    let feed = world.memory().run(&sql::FEED_AFTER.bind([0.into(), 1000.into()]));
    assert!(feed.iter().all(|row| row["kind"] != "person"), "the feed has forgotten");
    // An isolate that slept, and has met the tenant again.
    world.app.knowledge.take();
    assert_eq!(detail(acme.validate(&old_access())), "Token is blacklisted");
}

#[test]
fn a_person_whom_nobody_imported_is_not_found() {
    let (_, acme) = acme();
    let token = with("access", "user_id", json!(99));
    assert_eq!(bearer(&acme, &token).expect(401).text("code"), "user_not_found");
    assert_eq!(detail(acme.validate(&token)), "Token is blacklisted");
    let refused = acme.refresh(&with("refresh", "user_id", json!(99))).expect(401);
    assert_eq!(refused.json(), json!({"detail": "No active account found for the given token."}));
}

#[test]
fn signing_out_with_an_access_token_ends_it() {
    let (world, acme) = acme();
    let (token, other) = (old_access(), old_token(&old("access", "a2")));
    acme.validate(&token).expect(200);
    let knowledge = world.app.knowledge.take();
    logout(&acme, Some(&token), &json!({})).expect(204);
    assert_eq!(detail(acme.validate(&token)), "Token is blacklisted");
    world.app.knowledge.replace(knowledge);
    world.advance(3001);
    assert_eq!(detail(acme.validate(&token)), "Token is blacklisted", "in another isolate");
    acme.validate(&other).expect(200);
    world.advance(3 * 3600 * 1000);
    block_on(clean(&world.app)).unwrap();
    world.new_isolate();
    assert_eq!(detail(acme.validate(&token)), "Token is blacklisted", "and for good");
    assert_eq!(kinds(&world), ["signed_out"]);
}

#[test]
fn signing_out_everywhere_ends_every_legacy_token_of_the_person() {
    for by_refresh in [false, true] {
        let (world, acme) = acme();
        let exchanged = acme.refreshed(&old_token(&old("refresh", "r2")));
        let (other, theirs) = (old_token(&old("access", "a2")), with("refresh", "user_id", json!(2)));
        acme.validate(&other).expect(200);
        if by_refresh {
            let body = json!({"refresh": old_token(&old("refresh", "r3")), "everywhere": true});
            logout(&acme, None, &body).expect(204);
        } else {
            logout(&acme, Some(&old_access()), &json!({"everywhere": true})).expect(204);
            assert_eq!(detail(acme.validate(&old_access())), "Token is blacklisted");
        }
        acme.refresh(&exchanged.refresh).expect(401);
        assert_eq!(detail(acme.refresh(&old_token(&old("refresh", "r4")))), "Token is blacklisted");
        assert_eq!(detail(verify(&acme, &old_token(&old("refresh", "r4")))), "Token is blacklisted");
        world.advance(60_000);
        assert_eq!(detail(acme.validate(&other)), "Token is blacklisted");
        acme.refresh(&theirs).expect(200);
        assert!(kinds(&world).contains(&"signed_out_everywhere".to_owned()));
    }
}

// ---- Whose a token is ---------------------------------------------------------------------------

#[test]
fn user_1_of_one_tenant_is_never_user_1_of_another() {
    let (world, acme) = acme();
    let garbage = doors(&acme, "garbage");
    for (slug, marked) in [("beta", true), ("gamma", false)] {
        let other = came(&world, slug, marked);
        for token in [old_access(), old_refresh()] {
            assert_eq!(doors(&other, &token), garbage, "acme's token at {slug}");
        }
        for kind in ["access", "refresh"] {
            assert_eq!(doors(&acme, &with(kind, "realm", json!(slug))), garbage, "{slug}'s {kind} at acme");
        }
    }
    assert_eq!(families(&world), 0);
    acme.validate(&old_access()).expect(200);
    acme.refresh(&old_refresh()).expect(200);
}

#[test]
fn what_is_not_a_legacy_token_of_this_tenant_is_garbage() {
    let (world, acme) = acme();
    acme.validate(&old_access()).expect(200);
    let kid = |at: usize| acme.tenant.borrow().keys[at].kid.to_string();
    let rs256 = |more: Value| {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    let hs256 = |claims: &Value, key: &[u8]| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let unsigned = |claims: &Value, signature: &str| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", part(&json!({"alg": "none"})), part(claims))
    };
    let own_kid = shared::jwk::PublicKey::key_id(&acme.tenant.borrow().legacy.as_ref().unwrap().key);
    let garbage = doors(&acme, "garbage");
    assert!(garbage.iter().all(|(status, _)| *status == 401));
    for kind in ["access", "refresh"] {
        let good = old(kind, JTI);
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove("realm");
        let bad = [
            ("the marker is missing", old_token(&without)),
            ("another marker", with(kind, "realm", json!("beta"))),
            ("a marker of another type", with(kind, "realm", json!(["acme"]))),
            ("a kid of ours", forge_as(&rs256(json!({"kid": kid(0)})), OLD_KEY, &good)),
            ("its own kid", forge_as(&rs256(json!({"kid": own_kid})), OLD_KEY, &good)),
            ("an empty kid", forge_as(&rs256(json!({"kid": ""})), OLD_KEY, &good)),
            ("under a key of ours", forge_as(&rs256(json!({})), 0, &good)),
            ("under a key of ours, named", forge_as(&rs256(json!({"kid": kid(0)})), 0, &good)),
            ("HS256 over the PEM", hs256(&good, old_pem().as_bytes())),
            ("HS256 over the PEM's text", hs256(&good, old_pem().trim_end().as_bytes())),
            ("no algorithm", unsigned(&good, "AA")),
            ("no signature", unsigned(&good, "")),
            ("crit", forge_as(&rs256(json!({"crit": ["exp"]})), OLD_KEY, &good)),
            ("a type of ours", forge_as(&json!({"alg": "RS256", "typ": "refresh+jwt"}), OLD_KEY, &good)),
            ("another algorithm", forge_as(&json!({"alg": "RS512", "typ": "JWT"}), OLD_KEY, &good)),
            ("from the future", with(kind, "iat", json!(START + 61))),
            ("a sliding token", with(kind, "token_type", json!("sliding"))),
            ("nobody's", with(kind, "user_id", json!(""))),
        ];
        for (what, token) in bad {
            let before = world.memory().batches.get();
            assert_eq!(doors(&acme, &token), garbage, "{kind}: {what}");
            // An unknown key may cost one read of the feed, now and then.
            assert!(world.memory().batches.get() - before <= 1, "{kind}: {what}");
        }
    }
    assert_eq!(families(&world), 0);
}

#[test]
fn dates() {
    let (world, acme) = acme();
    acme.validate(&old_access()).expect(200);
    world.advance(DAY * 1000 - 1000);
    acme.validate(&old_access()).expect(200);
    world.advance(1000);
    assert_eq!(detail(acme.validate(&old_access())), "Token is expired");
    assert_eq!(detail(acme.refresh(&old_access())), "Token is expired");
    let (long, exchanged) = (with("access", "exp", json!(START + 90 * DAY)), acme.refreshed(&old_refresh()));
    acme.validate(&long).expect(200);
    // Less than the minute for which the person is known; the tenant's date cuts it short.
    world.advance((29 * DAY - 30) * 1000);
    acme.validate(&long).expect(200);
    world.advance(29_000);
    acme.validate(&long).expect(200);
    world.advance(1000);
    let garbage = doors(&acme, "garbage");
    assert_eq!(doors(&acme, &long), garbage, "after the date");
    let late = json!(START + 90 * DAY);
    assert_eq!(doors(&acme, &with("refresh", "exp", late)), garbage);
    assert_eq!(detail(acme.refresh(&exchanged.refresh)), "Token is expired");
}

#[test]
fn each_kind_at_the_other_door_is_of_the_wrong_type() {
    let (world, acme) = acme();
    for answer in [
        acme.validate(&old_refresh()),
        acme.refresh(&old_access()),
        blacklist(&acme, &old_access()),
        logout(&acme, None, &json!({"refresh": old_access()})),
    ] {
        assert_eq!(detail(answer), "Token has wrong type");
    }
    for answer in [bearer(&acme, &old_refresh()), logout(&acme, Some(&old_refresh()), &json!({}))] {
        assert_eq!(answer.expect(401).json()["messages"][0]["message"], "Token has wrong type");
    }
    world.advance(20 * DAY * 1000);
    assert_eq!(detail(acme.validate(&old_refresh())), "Token is expired");
    acme.refresh(&old_refresh()).expect(401);
    assert_eq!(families(&world), 0);
}

// ---- The exchange -------------------------------------------------------------------------------

#[test]
fn a_refresh_token_becomes_a_session_of_ours() {
    let (world, acme) = acme();
    let body = json!({"refresh": old_refresh()});
    let (answer, batches) = world.counted(acme.request("POST", "/api/token/refresh/").json(&body));
    assert_eq!(batches, 1);
    let answer = answer.expect(200);
    let (access, refresh) = (claims(&answer.text("access")), claims(&answer.text("refresh")));
    let ada = acme.user_id("acme-ada").to_string();
    for claims in [&access, &refresh] {
        assert_eq!((&claims["sub"], &claims["user_id"]), (&json!(ada), &json!(1)));
    }
    assert_eq!(
        (&access["amr"], &access["auth_time"], &access["epoch"]),
        (&json!(["pwd"]), &json!(0), &json!(0))
    );
    assert_eq!(refresh["jti"], format!("{}.1", access["sid"].as_str().unwrap()));
    assert_eq!(refresh["exp"], START + DAY, "idle from now, as of a sign-in");
    acme.validate(&answer.text("access")).expect(200);
    let next = acme.refreshed(&answer.text("refresh"));
    assert_eq!(claims(&next.refresh)["sid"], access["sid"]);
    assert_eq!(kinds(&world), ["legacy_exchanged"]);
}

#[test]
fn presented_again_within_the_window_it_gets_the_same_successor() {
    let (world, acme) = acme();
    let first = acme.refreshed(&old_refresh());
    world.advance(30_000);
    assert_eq!(acme.refreshed(&old_refresh()).refresh, first.refresh);
    let second = acme.refreshed(&first.refresh);
    assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted", "two behind");
    acme.refresh(&second.refresh).expect(200);
    assert_eq!((families(&world), kinds(&world)), (1, vec!["legacy_exchanged".to_owned()]));
}

#[test]
fn presented_again_long_after_it_is_theft_and_ends_that_session() {
    let (world, acme) = acme();
    let first = acme.refreshed(&old_refresh());
    world.advance(30_001);
    assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted");
    acme.refresh(&first.refresh).expect(401);
    assert_eq!(kinds(&world), ["legacy_exchanged", "reuse_detected"]);
}

#[test]
fn a_race_of_sixteen_makes_one_session() {
    for window in [30, 0] {
        let (world, acme) = acme();
        acme.edit(|tenant| tenant.settings.retry_window_secs = window);
        world.memory().yields.set(true);
        let request = || acme.request("POST", "/api/token/refresh/").json(&json!({"refresh": old_refresh()}));
        let racing = (0..16).map(|_| handle(&world.app, request()));
        let answers: Vec<_> =
            block_on(join_all(racing)).into_iter().map(|it| Answered::from(it.response)).collect();
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        let successor = won[0].text("refresh");
        if window == 0 {
            assert_eq!(won.len(), 1, "as the old service: one wins");
        } else {
            assert_eq!(won.len(), 16);
        }
        assert!(won.iter().all(|answer| answer.text("refresh") == successor));
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!((lost.status, lost.text("detail").as_str()), (401, "Token is blacklisted"));
        }
        assert_eq!((families(&world), kinds(&world)), (1, vec!["legacy_exchanged".to_owned()]));
        acme.refresh(&successor).expect(200);
    }
}

#[test]
fn a_lost_answer_is_repeated_harmlessly() {
    let (world, acme) = acme();
    world.memory().lose_answer.set(true);
    acme.refresh(&old_refresh()).expect(503);
    let tokens = acme.refreshed(&old_refresh());
    assert!(claims(&tokens.refresh)["jti"].as_str().unwrap().ends_with(".1"));
    assert_eq!(kinds(&world), ["legacy_exchanged"]);
}

#[test]
fn who_was_suspended_or_has_a_new_password_meanwhile_does_not_exchange() {
    let (world, acme) = acme();
    let inactive = "No active account found for the given token.";
    type Change = fn(&mut shared::push::UserRow);
    let changes: [(&str, Change); 4] = [
        (inactive, |row| (row.status, row.session_epoch) = (PersonStatus::Suspended, 1)),
        (inactive, |row| (row.status, row.session_epoch) = (PersonStatus::Deleted, 1)),
        ("Token is blacklisted", |row| (row.session_epoch, row.password_epoch, row.access_epoch) = (1, 1, 1)),
        // Suspended, and let in again.
        ("Token is blacklisted", |row| row.session_epoch = 2),
    ];
    for (words, change) in changes {
        acme.change("acme-ada", change);
        assert_eq!(detail(acme.refresh(&old_refresh())), words);
        assert_eq!(detail(verify(&acme, &old_refresh())), "Token is blacklisted");
        assert_eq!(detail(blacklist(&acme, &old_refresh())), "Token is blacklisted");
    }
    assert_eq!((families(&world), kinds(&world).len()), (0, 0));
    acme.change("acme-bob", |row| (row.roles, row.access_epoch) = (vec!["client".into()], 3));
    let tokens = acme.refreshed(&with("refresh", "user_id", json!("2")));
    let access = claims(&tokens.access);
    assert_eq!(
        (&access["roles"], &access["epoch"]),
        (&json!(["client"]), &json!(3)),
        "a role ends no session"
    );
}

#[test]
fn without_a_marker_only_the_list_tells() {
    let world = World::new();
    let gamma = came(&world, "gamma", false);
    let garbage = doors(&gamma, "garbage");
    assert_eq!(doors(&gamma, &old_access()), garbage);
    assert_eq!(doors(&gamma, &old_refresh()), garbage, "on no list");
    gamma.outstanding(JTI, gamma.user_id("gamma-bob"));
    assert_eq!(doors(&gamma, &old_refresh()), garbage, "on the list, but of somebody else");
    assert_eq!(families(&world), 0);
    gamma.outstanding(JTI, gamma.user_id("gamma-ada"));
    assert_eq!(detail(gamma.validate(&old_refresh())), "Token has wrong type");
    verify(&gamma, &old_refresh()).expect(200);
    let tokens = gamma.refreshed(&old_refresh());
    assert_eq!(claims(&tokens.access)["sub"], gamma.user_id("gamma-ada").to_string());
    assert_eq!(doors(&gamma, &old_token(&old("access", JTI))), garbage, "its list is of refresh tokens");
}

#[test]
fn a_blacklisted_token_can_never_be_exchanged() {
    type End = fn(&Actor);
    let ends: [End; 3] = [
        |acme| drop(blacklist(acme, &old_refresh()).expect(200)),
        |acme| drop(logout(acme, None, &json!({"refresh": old_refresh()})).expect(204)),
        |acme| {
            let tokens = acme.refreshed(&old_refresh());
            blacklist(acme, &tokens.refresh).expect(200);
        },
    ];
    for end in ends {
        let (world, acme) = acme();
        end(&acme);
        assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted");
        assert_eq!(detail(verify(&acme, &old_refresh())), "Token is blacklisted");
        assert_eq!(detail(blacklist(&acme, &old_refresh())), "Token is blacklisted");
        for _ in 0..19 {
            world.advance(DAY * 1000);
            block_on(clean(&world.app)).unwrap();
            acme.refresh(&old_refresh()).expect(401);
        }
        assert_eq!(families(&world), 1, "kept for as long as the token could come again");
        world.advance(3 * DAY * 1000);
        block_on(clean(&world.app)).unwrap();
        assert_eq!(families(&world), 0);
        assert_eq!(detail(acme.refresh(&old_refresh())), "Token is expired");
    }
}

#[test]
fn a_session_that_is_over_does_not_begin_again() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.settings.absolute_secs = 2 * DAY);
    acme.refreshed(&old_refresh());
    // Idle after a day, over after two, swept a day later, if it were one of a sign-in.
    for _ in 0..10 {
        world.advance(DAY * 1000);
        block_on(clean(&world.app)).unwrap();
        acme.refresh(&old_refresh()).expect(401);
    }
    assert_eq!(families(&world), 1);
    assert_eq!(kinds(&world).iter().filter(|kind| *kind == "legacy_exchanged").count(), 1);
}

#[test]
fn the_hundred_and_first_session_ends_the_least_recently_used_one() {
    let (world, acme) = acme();
    let first = acme.sign_in("acme-ada");
    for _ in 0..99 {
        world.advance(1);
        acme.sign_in("acme-ada");
    }
    world.advance(1);
    let exchanged = acme.refreshed(&old_refresh());
    acme.refresh(&first.refresh).expect(401);
    acme.refresh(&exchanged.refresh).expect(200);
    assert_eq!(kinds(&world).iter().filter(|kind| *kind == "session_evicted").count(), 1);
}

#[test]
fn verify_says_whether_it_could_be_exchanged_and_exchanges_nothing() {
    let (world, acme) = acme();
    verify(&acme, &old_refresh()).expect(200);
    assert_eq!(families(&world), 0);
    acme.refreshed(&old_refresh());
    verify(&acme, &old_refresh()).expect(200);
    world.advance(30_001);
    assert_eq!(detail(verify(&acme, &old_refresh())), "Token is blacklisted");
    assert_eq!(kinds(&world), ["legacy_exchanged"]);
}

#[test]
fn an_isolate_that_slept_accepts_nothing_of_a_key_that_is_gone() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.legacy = None);
    let garbage = acme.refresh("garbage").visible();
    // What it knows is old; the batch's own condition, and the document that it then reads, decide.
    assert_eq!(acme.refresh(&old_refresh()).visible(), garbage);
    assert_eq!((families(&world), kinds(&world).len()), (0, 0));
    acme.came_from(Some(marker("acme")), START + 30 * DAY);
    verify(&acme, &old_refresh()).expect(401);
    world.advance(3001);
    verify(&acme, &old_refresh()).expect(200);
    acme.edit(|tenant| tenant.settings.access_ttl_secs = 60);
    let access = claims(&acme.refreshed(&old_refresh()).access);
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 60, "tried again under it");
    acme.validate(&old_access()).expect(200);
    acme.edit(|tenant| tenant.legacy = None);
    world.advance(3001);
    assert_eq!(detail(acme.validate(&old_access())), "Token is invalid");
}

#[test]
fn an_isolate_that_slept_learns_of_a_key_that_is_new() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.legacy = None);
    world.new_isolate();
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    acme.came_from(Some(marker("acme")), START + 30 * DAY);
    acme.refresh(&old_refresh()).expect(200);
}

#[test]
fn at_a_suspended_tenant_nothing_is_exchanged() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.status = Status::Suspended);
    assert_eq!(acme.refresh(&old_refresh()).expect(403).text("code"), "tenant_suspended");
    world.advance(3001);
    assert_eq!(detail(acme.validate(&old_access())), "Token is invalid");
    assert_eq!(families(&world), 0);
}

#[test]
fn without_the_database_nothing_is_guessed() {
    let (world, acme) = acme();
    world.memory().store_down.set(true);
    for answer in [
        acme.validate(&old_access()),
        bearer(&acme, &old_access()),
        acme.refresh(&old_refresh()),
        verify(&acme, &old_refresh()),
        blacklist(&acme, &old_refresh()),
    ] {
        assert_eq!(answer.expect(503).text("code"), "unavailable");
    }
}

/// What a renewal without rotation does: the family is there at generation 0, and the exchange is still
/// to come.
#[test]
fn a_family_that_was_opened_and_not_rotated_waits_for_the_exchange() {
    let (world, acme) = acme();
    let found = block_on(crate::tenants::find_fresh(
        &world.app,
        &crate::tenants::Named { name: "slug:acme".into(), also_slug: None, network: String::new() },
        START_MS,
    ));
    let known = found.ok().unwrap().known;
    let proven = block_on(presented(&world.app, &known, &old_refresh(), START_MS)).ok().unwrap();
    for _ in 0..2 {
        for statement in proven.opening(&world.app, &known, START_MS) {
            world.memory().run(&statement);
        }
    }
    let family = sql::FAMILY.bind([proven.sid.to_string().into(), acme.id().to_string().into()]);
    let row: FamilyRow = serde_json::from_value(world.memory().run(&family)[0].clone()).unwrap();
    assert_eq!((row.generation, row.ended_at), (0, None));
    verify(&acme, &old_refresh()).expect(200);
    world.advance(3_600_000);
    let tokens = acme.refreshed(&old_refresh());
    assert_eq!(claims(&tokens.refresh)["sid"], proven.sid.to_string());
    assert_eq!(kinds(&world), ["legacy_exchanged"]);
}

// ---- Cookies ------------------------------------------------------------------------------------

/// A browser with the old service's cookies, at a host that has moved here.
fn old_browser(acme: &Actor) -> Browser {
    acme.edit(|tenant| {
        tenant.settings.cookies = Cookies::Plain;
        tenant.settings.origins = vec![shared::origin::Origin::parse(PAGE).unwrap()];
    });
    let mut browser = Browser::at(acme);
    browser.jar.insert("access_token".into(), old_access());
    browser.jar.insert("refresh_token".into(), old_refresh());
    browser.jar.insert("csrftoken".into(), "the old service's".into());
    browser
}

#[test]
fn the_old_services_cookies_are_renewed_silently_and_exchanged_by_refresh() {
    let (world, acme) = acme();
    let mut browser = old_browser(&acme);
    let refused = browser.post("/api/token/refresh/", &json!({}));
    assert_eq!(refused.expect(403).text("code"), "csrf_failed", "it has no CSRF value of ours yet");
    for _ in 0..2 {
        browser.jar.insert("access_token".into(), old_access());
        let answer = browser.get("/api/user/me/").expect(200);
        let names: Vec<_> = set_cookies(&answer).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["access_token", "csrftoken"]);
        let access = claims(&browser.jar["access_token"]);
        assert_eq!((&access["user_id"], &access["auth_time"]), (&json!(1), &json!(0)));
    }
    assert_eq!(browser.jar["refresh_token"], old_refresh(), "nothing rotated");
    assert_eq!((families(&world), kinds(&world)), (1, vec!["legacy_exchanged".to_owned()]));
    let sid = claims(&browser.jar["access_token"])["sid"].clone();
    world.advance(3_600_000);
    browser.post("/api/token/refresh/", &json!({})).expect(200);
    let refresh = claims(&browser.jar["refresh_token"]);
    assert_eq!(refresh["jti"], format!("{}.1", sid.as_str().unwrap()));
    browser.post("/api/logout/", &json!({})).expect(204);
    assert!(browser.jar.is_empty());
    assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted");
}

#[test]
fn signing_out_by_the_old_services_cookies_ends_what_they_could_become() {
    for everywhere in [false, true] {
        let (world, acme) = acme();
        let mut browser = old_browser(&acme);
        browser.get("/api/user/me/").expect(200);
        // As if the page had just been opened: the access cookie is the old service's again.
        browser.jar.insert("access_token".into(), old_access());
        browser.post("/api/logout/", &json!({"everywhere": everywhere})).expect(204);
        assert!(browser.jar.is_empty());
        assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted");
        assert_eq!(
            acme.refresh(&old_token(&old("refresh", "r2"))).status,
            if everywhere { 401 } else { 200 }
        );
        assert_eq!(families(&world), if everywhere { 1 } else { 2 });
    }
}

#[test]
fn cookies_of_what_cannot_be_exchanged_any_more_are_cleared() {
    let (world, acme) = acme();
    let browser = old_browser(&acme);
    blacklist(&acme, &old_refresh()).expect(200);
    world.advance(3001);
    let answer = browser.clone().get("/api/user/me/").expect(401);
    assert_eq!(cleared(&answer).len(), 3);
    acme.change("acme-bob", |row| row.session_epoch = 1);
    let mut bobs = browser;
    bobs.jar.insert("refresh_token".into(), with("refresh", "user_id", json!(2)));
    assert_eq!(cleared(&bobs.get("/api/user/me/").expect(401)).len(), 3);
}

// ---- The user_id claim --------------------------------------------------------------------------

#[test]
fn user_id_is_written_as_the_old_service_wrote_it_and_sub_is_the_id() {
    let (world, acme) = acme();
    acme.old_user("eve", "e-17");
    let ids: [(UserIdForm, &str, Value); 5] = [
        (UserIdForm::Integer, "acme-ada", json!(1)),
        (UserIdForm::String, "acme-ada", json!("1")),
        (UserIdForm::Integer, "eve", json!("e-17")),
        (UserIdForm::String, "eve", json!("e-17")),
        (UserIdForm::Uuid, "eve", json!(acme.user_id("eve"))),
    ];
    for (form, name, user_id) in ids {
        acme.edit(|tenant| tenant.user_id = form);
        world.advance(3001);
        let sub: UserId = acme.user_id(name);
        let login = json!({"username": name, "password": super::fixture::PASSWORD});
        let answer = acme.post("/api/login/", &login).expect(200);
        assert_eq!(answer.json()["user"]["id"], json!(sub), "the answer has the id itself");
        let refreshed = acme.refreshed(&answer.text("refresh"));
        for token in [&answer.text("access"), &answer.text("refresh"), &refreshed.access, &refreshed.refresh]
        {
            let claims = claims(token);
            assert_eq!((&claims["user_id"], &claims["sub"]), (&user_id, &json!(sub)), "{form:?} {name}");
        }
        assert_eq!(acme.validate(&refreshed.access).expect(200).json()["user_id"], user_id);
    }
    acme.edit(|tenant| tenant.user_id = UserIdForm::String);
    world.advance(3001);
    for spelling in [json!(1), json!("1")] {
        let answer = acme.validate(&with("access", "user_id", spelling)).expect(200);
        assert_eq!(answer.json()["user_id"], "1");
    }
    assert_eq!(detail(acme.validate(&with("access", "user_id", json!("01")))), "Token is blacklisted");
}
