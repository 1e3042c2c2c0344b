//! The exchange: a refresh token of an old service becomes one session, once.

use futures::executor::block_on;
use futures::future::join_all;
use serde_json::json;
use shared::tenant::Status;
use shared::user::UserStatus;
use shared::wire::needs::Needs;
use shared::wire::push::UserRow;

use super::{
    DAY, JTI, START, acme, bearer, blacklist, blacklisted, came, detail, doors, families, kinds, logout,
    marker, old, old_access, old_refresh, verify, with,
};
use crate::context::Context;
use crate::inside::sweep::clean;
use crate::serve::handle;
use crate::sessions::family::FamilyRow;
use crate::sql;
use crate::sql::batch::Batch;
use crate::tests::fixture::{Actor, Answered, World, claims, old_token};
use crate::tokens::refresh_token::presented;

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
    type Change = fn(&mut shared::wire::push::UserRow);
    let changes: [(&str, Change); 4] = [
        (inactive, |row| (row.status, row.session_epoch) = (UserStatus::Suspended, 1)),
        (inactive, |row| (row.status, row.session_epoch) = (UserStatus::Deleted, 1)),
        ("Token is blacklisted", |row| (row.session_epoch, row.password_epoch, row.access_epoch) = (1, 1, 1)),
        // Suspended, and let in again.
        ("Token is blacklisted", |row| row.session_epoch = 2),
    ];
    for (words, change) in changes {
        acme.change("acme-ada", change);
        assert_eq!(detail(acme.refresh(&old_refresh())), words);
        blacklisted(verify(&acme, &old_refresh()));
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
fn beside_a_marker_a_list_may_be_asked_for() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.legacy.as_mut().unwrap().listed = true);
    world.advance(4000);
    acme.validate(&old_access()).expect(200);
    assert_eq!(detail(acme.refresh(&old_refresh())), "Token is invalid");
    assert_eq!(families(&world), 0);
    acme.outstanding(JTI, acme.user_id("acme-ada"));
    acme.refreshed(&old_refresh());
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
        blacklisted(verify(&acme, &old_refresh()));
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
    world.advance(1);
    let others = "
        with recursive n (n) as (select 1 union all select n + 1 from n where n < 99)
        insert into families
        select 'other-' || n, tenant, user, 1, created_at, rotated_at + 1, idle_deadline, absolute_deadline, 0,
               '[]', 0, null, null, null, null, 0, null, rotated_at + 1, null
        from families, n";
    world.memory().db.borrow().execute_batch(others).unwrap();
    let exchanged = acme.refreshed(&old_refresh());
    acme.refresh(&first.refresh).expect(401);
    acme.refresh(&exchanged.refresh).expect(200);
    assert_eq!(families(&world), 101);
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
    blacklisted(verify(&acme, &old_refresh()));
    assert_eq!(kinds(&world), ["legacy_exchanged"]);
}

#[test]
fn an_isolate_that_slept_accepts_nothing_of_a_key_that_is_gone() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.legacy = None);
    let garbage = acme.refresh("garbage").visible();
    // Its cached document is old; the condition in the batch, and the document that it then reads, decide.
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

/// The state after a refresh without rotation: the family exists at generation 0, and the exchange still follows.
#[test]
fn a_family_that_was_opened_and_not_rotated_waits_for_the_exchange() {
    let (world, acme) = acme();
    let ctx = Context::new(&world.app);
    let known = block_on(crate::tenants::find::find_fresh(
        ctx,
        &crate::tenants::find::TenantName {
            name: "slug:acme".into(),
            also_slug: None,
            network: String::new(),
        },
    ));
    let known = known.ok().unwrap();
    let proven = block_on(presented(ctx, &known, &old_refresh())).ok().unwrap();
    for _ in 0..2 {
        let mut batch = Batch::new(0);
        drop(proven.open(ctx, &known, &mut batch));
        assert!(block_on(ctx.run(batch)).is_ok());
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

#[test]
fn a_token_whose_user_needs_an_unknown_word_is_exchanged_later_and_can_be_given_up_at_once() {
    let (world, acme) = acme();
    let later = |row: &mut UserRow| {
        row.legacy_id = Some("1".into());
        row.needs = Needs::of(&["a word of a later release"]);
    };
    acme.change("acme-ada", later);
    acme.refresh(&old_refresh()).expect(503);
    assert_eq!(families(&world), 0);
    let given_up = old_token(&old("refresh", "another"));
    blacklist(&acme, &given_up).expect(200);
    acme.change("acme-ada", |row| row.legacy_id = Some("1".into()));
    acme.refresh(&old_refresh()).expect(200);
    acme.refresh(&given_up).expect(401);
}
