//! Access tokens of an old service: which users they are valid for, for how long, and why they are refused.

use futures::executor::block_on;
use serde_json::{Value, json};
use shared::ids::SessionId;
use shared::user::UserStatus;

use super::{
    DAY, START, acme, bearer, blacklisted, detail, families, kinds, logout, old, old_access, old_refresh,
    verify, with,
};
use crate::inside::sweep::clean;
use crate::tests::entry::keep;
use crate::tests::fixture::old_token;
use crate::{serve, sql};

#[test]
fn an_access_token_is_good_for_its_user_as_they_are_now() {
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
fn an_answer_is_given_again_until_the_user_has_to_be_read_again() {
    let (world, acme) = acme();
    let request = acme.request("POST", "/api/token/validate/").bearer(&old_access());
    let kept_anew = || {
        acme.validate(&old_access()).expect(200);
        assert!(keep(&world, &request, 1).is_some());
        assert!(serve::again(&world.app, 1).is_some());
    };
    kept_anew();
    world.advance(60_000);
    acme.validate("abc").expect(401);
    assert_eq!(serve::again(&world.app, 1), None, "the minute is over");
    kept_anew();
    acme.change("acme-ada", |row| row.access_epoch = 1);
    world.advance(1001);
    acme.validate("abc").expect(401);
    assert_eq!(serve::again(&world.app, 1), None, "the feed tells of the user");
}

#[test]
fn what_has_happened_to_the_user_since_the_import_refuses_it_within_seconds() {
    type Change = fn(&mut shared::wire::push::UserRow);
    let changes: [(&str, Change); 5] = [
        ("User is inactive", |row| (row.status, row.access_epoch) = (UserStatus::Suspended, 1)),
        ("User not found", |row| (row.status, row.access_epoch) = (UserStatus::Deleted, 1)),
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
    assert!(feed.iter().all(|row| row["kind"] != "user"), "the feed has forgotten");
    // An isolate that slept, and has met the tenant again.
    world.app.shard_cache.take();
    assert_eq!(detail(acme.validate(&old_access())), "Token is blacklisted");
}

#[test]
fn a_user_whom_nobody_imported_is_not_found() {
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
    let cache = world.app.shard_cache.take();
    logout(&acme, Some(&token), &json!({})).expect(204);
    assert_eq!(detail(acme.validate(&token)), "Token is blacklisted");
    world.app.shard_cache.replace(cache);
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
fn signing_out_with_both_tokens_ends_both() {
    for expired in [false, true] {
        let (world, acme) = acme();
        if expired {
            world.advance(DAY * 1000);
        }
        logout(&acme, Some(&old_access()), &json!({"refresh": old_refresh()})).expect(204);
        acme.validate(&old_access()).expect(401);
        assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted");
        // Of its session an expired legacy token says nothing, since it has none.
        let alone = logout(&acme, Some(&old_access()), &json!({}));
        alone.expect(401);
    }
}

#[test]
fn dates_may_have_a_fraction() {
    let (world, acme) = acme();
    let at = |secs: f64| START as f64 + secs;
    let token = |exp: Value, iat: Value, nbf: Value| {
        let mut claims = old("access", "a3");
        (claims["exp"], claims["iat"], claims["nbf"]) = (exp, iat, nbf);
        old_token(&claims)
    };
    let good = token(json!(at(100.5)), json!(at(-60.25)), json!(at(-0.5)));
    acme.validate(&good).expect(200);
    assert_eq!(acme.validate(&good).expect(200).json()["exp"], START + 100);
    bearer(&acme, &good).expect(200);
    verify(&acme, &good).expect(200);
    let future = token(json!(at(100.5)), json!(at(61.5)), json!(at(0.0)));
    assert_eq!(detail(acme.validate(&future)), "Token is invalid");
    let immature = token(json!(at(100.5)), json!(at(0.0)), json!(at(0.5)));
    assert_eq!(detail(acme.validate(&immature)), "Token is invalid", "not before means not a second before");
    let refresh = with("refresh", "exp", json!(at(5000.75)));
    acme.refresh(&refresh).expect(200);
    world.advance(100_000);
    assert_eq!(detail(acme.validate(&good)), "Token is expired");
}

#[test]
fn signing_out_everywhere_ends_every_legacy_token_of_the_user() {
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
        blacklisted(verify(&acme, &old_token(&old("refresh", "r4"))));
        world.advance(3001);
        assert_eq!(detail(acme.validate(&other)), "Token is blacklisted", "within seconds");
        acme.refresh(&theirs).expect(200);
        assert!(kinds(&world).contains(&"signed_out_everywhere".to_owned()));
    }
}
