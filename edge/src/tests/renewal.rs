//! Silent renewal: the answer to a browser whose access cookie is no longer valid, and its cost.

use futures::executor::block_on;
use futures::future::join_all;
use serde_json::json;
use shared::tenant::Status;
use shared::user::UserStatus;

use super::browser::{Browser, PAGE, acme, cleared, own_request, set_cookies};
use super::fixture::{Actor, Answered, Request, World, claims};
use crate::serve::handle;

const ACCESS: &str = "__Host-access_token";
const ALL: [&str; 3] = [ACCESS, "__Host-refresh_token", "csrftoken"];
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn column(world: &World, browser: &Browser, name: &str) -> i64 {
    let sid = claims(browser.refresh())["sid"].as_str().unwrap().to_owned();
    let sql = format!("select {name} from families where id = ?1");
    world.memory().db.borrow().query_row(&sql, [sid], |row| row.get(0)).unwrap()
}

/// The caller in the last request that was forwarded to control.
fn told(world: &World) -> (String, Option<String>) {
    let forwarded = world.memory().forwarded.borrow();
    let headers = &forwarded.last().unwrap().0.headers;
    let header =
        |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    (header("wardgate-caller").unwrap(), header("authorization"))
}

fn me(browser: &Browser) -> Request {
    browser.request("GET", "/api/user/me/")
}

fn users(browser: &Browser) -> Request {
    browser.request("POST", "/api/user/users/").json(&json!({"username": "x"}))
}

/// A browser whose access token expired six minutes after its sign-in.
fn expired(world: &World, acme: &Actor) -> Browser {
    let browser = Browser::signed_in(acme, "ada");
    world.advance(6 * MINUTE);
    browser
}

#[test]
fn an_expired_or_missing_access_cookie_is_renewed_and_nothing_rotates() {
    let (world, acme) = acme();
    for make in [me, users] {
        for missing in [false, true] {
            let mut browser = expired(&world, &acme);
            let before = browser.clone();
            if missing {
                browser.jar.remove(ACCESS);
            }
            let answer = browser.send(make(&browser)).expect(200);
            let [(name, access, attributes)] = &set_cookies(&answer)[..] else { panic!("one cookie") };
            assert_eq!(name, ACCESS);
            let left = 30 * 86_400 - 360;
            assert_eq!(*attributes, format!("Path=/; Max-Age={left}; Secure; HttpOnly; SameSite=Lax"));
            assert_ne!(access, before.access());
            let (old, new) = (claims(before.access()), claims(access));
            for kept in ["sid", "sub", "auth_time", "amr"] {
                assert_eq!(old[kept], new[kept]);
            }
            let sub = acme.user_id("ada").to_string();
            assert_eq!(told(&world), (sub, Some(format!("Bearer {access}"))));
            assert_eq!(browser.refresh(), before.refresh());
            assert_eq!(column(&world, &browser, "generation"), 1);
            acme.validate(access).expect(200);
            // The new one serves: nothing more is set, and storage is not asked.
            let (answer, batches) = world.counted(me(&browser));
            assert_eq!((set_cookies(&answer.expect(200)), batches), (vec![], 0));
        }
    }
    // A good one is left alone.
    let mut browser = Browser::signed_in(&acme, "ada");
    let (answer, batches) = world.counted(me(&browser));
    assert_eq!((set_cookies(&answer.expect(200)), batches), (vec![], 0));
    // And only forwarded requests renew.
    world.advance(6 * MINUTE);
    assert_eq!(set_cookies(&browser.post("/api/token/validate/", &json!({})).expect(401)), []);
}

#[test]
fn no_cache_keeps_a_new_cookie() {
    let (world, acme) = acme();
    *world.memory().control_adds.borrow_mut() = vec![("Cache-Control", "public, max-age=600")];
    let mut browser = expired(&world, &acme);
    let caching = |answer: &Answered| {
        let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("cache-control");
        answer.headers.iter().filter(named).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(caching(&browser.send(me(&browser)).expect(200)), ["no-store"]);
    assert_eq!(caching(&browser.send(me(&browser)).expect(200)), ["public, max-age=600"]);
}

#[test]
fn csrf_is_judged_before_anything() {
    let (world, acme) = acme();
    let browser = expired(&world, &acme);
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    let bare = browser.with_cookies(own_request(&acme, "POST", "/api/user/users/"));
    for request in [bare.clone(), bare.clone().header("origin", PAGE), bare.header("origin", "null")] {
        let (refused, batches) = world.counted(request);
        assert_eq!((set_cookies(&refused.expect(403)), batches), (vec![], 0));
    }
    assert!(world.memory().forwarded.borrow().is_empty());
}

#[test]
fn the_idle_deadline_moves_at_most_once_an_hour_and_keeps_a_used_session_alive() {
    let (world, acme) = acme();
    let mut browser = Browser::signed_in(&acme, "ada");
    let mut seen = vec![column(&world, &browser, "idle_deadline")];
    let born = seen[0];
    // Three days of a page that asks every ten minutes.
    for step in 1..=3 * 24 * 6 {
        world.advance(10 * MINUTE);
        browser.send(me(&browser)).expect(200);
        let deadline = column(&world, &browser, "idle_deadline");
        if *seen.last().unwrap() != deadline {
            assert!(deadline - seen.last().unwrap() >= i64::try_from(HOUR).unwrap(), "step {step}");
            seen.push(deadline);
        }
    }
    assert_eq!(seen.len(), 1 + 3 * 24);
    assert_eq!(column(&world, &browser, "generation"), 1);
    assert_eq!(column(&world, &browser, "rotated_at") + 86_400_000, born);
    // The absolute deadline still ends it.
    for _ in 0..28 * 2 {
        world.advance(12 * HOUR);
        let answer = browser.send(me(&browser));
        if answer.status == 401 {
            assert_eq!(cleared(&answer), ALL);
            assert_eq!(world.memory().now_ms.get(), super::fixture::START_MS + 30 * 24 * HOUR);
            return;
        }
        assert!(column(&world, &browser, "idle_deadline") <= column(&world, &browser, "absolute_deadline"));
    }
    panic!("it never ended");
}

#[test]
fn a_session_that_idles_out_within_the_hour_lives_while_it_is_used() {
    let (world, acme) = acme();
    acme.edit(|tenant| (tenant.settings.idle_secs, tenant.settings.access_ttl_secs) = (600, 60));
    let mut browser = Browser::signed_in(&acme, "ada");
    let mut moves = 0;
    let mut deadline = column(&world, &browser, "idle_deadline");
    for _ in 0..60 {
        world.advance(2 * MINUTE);
        browser.send(me(&browser)).expect(200);
        let now = column(&world, &browser, "idle_deadline");
        (moves, deadline) = (moves + i32::from(now != deadline), now);
    }
    assert_eq!(moves, 20, "every third time, when half of the idle time has passed");
    world.advance(11 * MINUTE);
    assert_eq!(cleared(&browser.send(me(&browser)).expect(401)), ALL);
}

/// A link of a mail is opened in whatever browser there is: its page comes whatever that has of a session, and
/// neither uses nor renews it.
#[test]
fn an_anonymous_page_looks_at_no_credential() {
    let (world, acme) = acme();
    let good = Browser::signed_in(&acme, "ada");
    let mut bad = good.clone();
    bad.jar.retain(|name, _| name == ACCESS);
    world.advance(6 * MINUTE);
    // The cached document of the tenant is read again, once.
    world.send(acme.request("GET", "/account/verify/")).expect(200);
    for browser in [good, bad] {
        let bare = browser.request("GET", "/account/verify/");
        for request in [bare.clone(), bare.header("authorization", "Bearer nothing good")] {
            let (answer, batches) = world.counted(request);
            assert_eq!((set_cookies(&answer.expect(200)), batches), (vec![], 0));
            assert_eq!(told(&world), ("anonymous".to_owned(), None));
        }
    }
    world.memory().limited.set(Some(crate::platform::Limit::Network));
    world.send(acme.request("GET", "/account/verify/")).expect(429);
}

type End = (&'static str, fn(&World, &Actor, &Browser));

/// All ways in which a session ends while its browser still has the cookies.
const ENDS: [End; 8] = [
    ("signed out elsewhere", |world, acme, browser| {
        let out = json!({"refresh": browser.refresh()});
        world.send(acme.request("POST", "/api/logout/").json(&out)).expect(204);
    }),
    ("suspended", |_, acme, _| {
        acme.change("ada", |row| {
            (row.status, row.access_epoch, row.session_epoch) = (UserStatus::Suspended, 1, 1);
        });
    }),
    ("inactive", |_, acme, _| acme.change("ada", |row| row.status = UserStatus::Inactive)),
    ("deleted", |_, acme, _| acme.change("ada", |row| row.status = UserStatus::Deleted)),
    ("password changed", |_, acme, _| {
        acme.change("ada", |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (1, 1, 1));
    }),
    ("idle", |world, _, _| world.advance(24 * HOUR)),
    ("at its end", |world, _, _| world.advance(30 * 24 * HOUR)),
    ("swept", |world, _, _| {
        world.memory().db.borrow().execute("delete from families", []).unwrap();
    }),
];

#[test]
fn the_cookies_of_an_ended_session_are_cleared_and_the_request_goes_on_as_nobodys() {
    for (what, end) in ENDS {
        for access_is_expired in [true, false] {
            let (world, acme) = acme();
            let browser = Browser::signed_in(&acme, "ada");
            if access_is_expired {
                world.advance(6 * MINUTE);
            }
            end(&world, &acme, &browser);
            world.advance(4000);
            if !access_is_expired && what == "swept" {
                continue;
            }
            let refused = world.send(me(&browser)).expect(401);
            assert_eq!(refused.json(), json!({"detail": "Authentication credentials were not provided."}));
            assert_eq!(cleared(&refused), ALL, "{what}");
            for (_, value, attributes) in set_cookies(&refused) {
                assert!(
                    value.is_empty() && attributes.starts_with("Path=/; Max-Age=0; Secure"),
                    "{attributes}"
                );
            }
            assert!(world.memory().forwarded.borrow().is_empty(), "{what}");
            // An open route is answered without a user, and also clears the cookies.
            let open = world.send(browser.request("POST", "/api/user/setup/").json(&json!({}))).expect(200);
            assert_eq!(cleared(&open), ALL, "{what}");
            assert_eq!(told(&world), ("anonymous".to_owned(), None), "{what}");
        }
    }
}

#[test]
fn a_changed_role_is_in_the_new_token() {
    let (world, acme) = acme();
    let mut browser = Browser::signed_in(&acme, "ada");
    acme.change("ada", |row| (row.access_epoch, row.roles) = (1, vec!["client".into()]));
    world.advance(4000);
    browser.send(me(&browser)).expect(200);
    let new = claims(browser.access());
    assert_eq!((&new["epoch"], &new["roles"]), (&json!(1), &json!(["client"])));
}

#[test]
fn storage_out_of_reach_is_503_and_the_cookies_stay() {
    let (world, acme) = acme();
    let mut browser = expired(&world, &acme);
    let refused = |answer: Answered| {
        let answer = answer.expect(503);
        assert_eq!((answer.text("code"), set_cookies(&answer)), ("unavailable".into(), vec![]));
    };
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    world.memory().store_down.set(true);
    refused(browser.send(me(&browser)));
    refused(browser.send(users(&browser)));
    world.memory().store_down.set(false);
    // The renewal happened, but its response was lost; a repetition is harmless.
    world.advance(2 * HOUR);
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    world.memory().lose_answer.set(true);
    refused(browser.send(me(&browser)));
    let moved = column(&world, &browser, "idle_deadline");
    browser.send(me(&browser)).expect(200);
    assert_eq!(column(&world, &browser, "idle_deadline"), moved);
    assert!(world.memory().forwarded.borrow().len() == 1);
    // Control out of reach is no reason to throw the new token away.
    world.advance(6 * MINUTE);
    world.memory().control_down.set(true);
    assert_eq!(set_cookies(&browser.send(me(&browser)).expect(503)).len(), 1);
}

#[test]
fn answers_that_are_lost_and_ten_at_once_sign_nobody_out() {
    let (world, acme) = acme();
    let mut browser = Browser::signed_in(&acme, "ada");
    for _ in 0..10 {
        world.advance(2 * HOUR);
        // The browser never sees these.
        for _ in 0..3 {
            world.send(me(&browser)).expect(200);
        }
        let at_once = (0..10).map(|_| handle(&world.app, me(&browser)));
        for handled in block_on(join_all(at_once)) {
            let answer = Answered::from(handled.response).expect(200);
            assert_eq!(set_cookies(&answer).len(), 1);
        }
    }
    assert_eq!(column(&world, &browser, "generation"), 1);
    browser.post("/api/token/refresh/", &json!({})).expect(200);
    browser.send(me(&browser)).expect(200);
}

#[test]
fn a_refresh_cookie_that_is_behind_is_forgiven_as_refresh_forgives() {
    let (world, acme) = acme();
    let steps = |behind: usize, wait_ms: u64| {
        let mut browser = expired(&world, &acme);
        let slow = browser.clone();
        for _ in 0..behind {
            browser.post("/api/token/refresh/", &json!({})).expect(200);
        }
        world.advance(wait_ms);
        (world.send(me(&slow)), browser)
    };
    // Another tab has just refreshed.
    let (inside, _) = steps(1, 5000);
    assert_eq!(set_cookies(&inside.expect(200)).len(), 1);
    // Two others have: refused, but the session lives, and newer cookies are on their way.
    let (two, mut browser) = steps(2, 5000);
    assert_eq!(set_cookies(&two.expect(401)), []);
    browser.send(me(&browser)).expect(200);
    // Long after: an attacker has a copy. The session ends for both, and that is recorded.
    for (behind, wait_ms) in [(1, MINUTE), (2, MINUTE), (3, 1000)] {
        let (stolen, mut browser) = steps(behind, wait_ms);
        assert_eq!(cleared(&stolen.expect(401)), ALL);
        world.advance(4000);
        assert_eq!(cleared(&browser.send(me(&browser)).expect(401)), ALL);
    }
    let db = world.memory().db.borrow();
    let recorded = "select count(*) from outbox where kind = 'reuse_detected'";
    assert_eq!(db.query_row(recorded, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
}

#[test]
fn without_a_retry_window_one_behind_is_refused_and_ends_nothing() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.settings.retry_window_secs = 0);
    let mut browser = expired(&world, &acme);
    let slow = browser.clone();
    browser.post("/api/token/refresh/", &json!({})).expect(200);
    assert_eq!(set_cookies(&world.send(me(&slow)).expect(401)), []);
    browser.send(me(&browser)).expect(200);
}

#[test]
fn without_a_refresh_cookie_a_bad_access_cookie_is_refused_in_its_words_and_goes() {
    let (world, acme) = acme();
    let mut browser = expired(&world, &acme);
    browser.jar.remove("__Host-refresh_token");
    let refused = browser.send(me(&browser)).expect(401);
    assert_eq!(refused.json()["messages"][0]["message"], "Token is expired");
    // It goes, so that what is open to all is open to this browser, too.
    assert_eq!(cleared(&refused), [ACCESS]);
    browser.send(browser.request("POST", "/api/user/setup/").json(&json!({}))).expect(200);
    world.memory().forwarded.borrow_mut().clear();
    // A refresh token in the access cookie is not accepted, and the other way round.
    let refresh = Browser::signed_in(&acme, "ada");
    let swapped = own_request(&acme, "GET", "/api/user/me/");
    let cookie = format!("{ACCESS}={}", refresh.refresh());
    let refused = world.send(swapped.header("cookie", &cookie)).expect(401);
    assert_eq!(refused.json()["messages"][0]["message"], "Token has wrong type");
    let swapped = own_request(&acme, "GET", "/api/user/me/");
    let cookie = format!("__Host-refresh_token={}", refresh.access());
    world.send(swapped.header("cookie", &cookie)).expect(401);
    assert!(world.memory().forwarded.borrow().is_empty());
}

#[test]
fn a_suspended_tenants_cookies_stay() {
    let (world, acme) = acme();
    let browser = expired(&world, &acme);
    acme.edit(|tenant| tenant.status = Status::Suspended);
    let refused = world.send(me(&browser)).expect(403);
    assert_eq!((refused.text("code"), set_cookies(&refused)), ("tenant_suspended".into(), vec![]));
    acme.edit(|tenant| tenant.status = Status::Active);
    world.advance(4000);
    // Suspended while the batch was on its way.
    let before = world.memory().batches.get();
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    assert!(world.memory().batches.get() > before);
    let id = acme.id().to_string();
    *world.memory().meanwhile.borrow_mut() = Some(Box::new(move |db| {
        db.execute("update tenants set status = 'suspended' where id = ?1", [id]).unwrap();
    }));
    let refused = world.send(me(&browser)).expect(403);
    assert_eq!((refused.text("code"), set_cookies(&refused)), ("tenant_suspended".into(), vec![]));
}
