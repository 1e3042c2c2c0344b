//! A tenant that changes thousands of users at once: other tenants of its shard are not affected, and its own tokens
//! are checked by the users' rows.

use futures::executor::block_on;
use serde_json::json;
use shared::contract::limits::FEED_SECS;
use shared::user::UserStatus;

use super::fixture::{Actor, Answered, PASSWORD, START_MS, Tokens, World, old_token};
use crate::inside::sweep::clean;
use crate::tests::entry::keep;
use crate::{serve, sql};

/// More users than the feed holds for one tenant.
const MANY: u32 = 5000;
/// No answer of D1 is larger.
const LARGEST: usize = 1_000_000;

struct Two {
    world: World,
    acme: Actor,
    other: Actor,
}

/// A tenant with many users, and another one on the same shard, both known to the isolate.
fn two() -> Two {
    let world = World::new();
    let (acme, other) = (world.tenant("acme"), world.tenant("other"));
    for name in ["ada", "bob"] {
        acme.user(name);
        other.user(name);
    }
    acme.users_change(MANY, |_| {});
    Two { world, acme, other }
}

impl Two {
    /// An answer to a token, and the round trips that it took.
    fn validated(&self, tenant: &Actor, tokens: &Tokens) -> (Answered, u32) {
        self.world.counted(tenant.request("POST", "/api/token/validate/").bearer(&tokens.access))
    }

    #[track_caller]
    fn costs(&self, tenant: &Actor, tokens: &Tokens, trips: u32) -> Answered {
        let (answer, counted) = self.validated(tenant, tokens);
        assert_eq!((answer.status, counted), (200, trips), "{}", answer.text);
        answer
    }

    fn feed_rows(&self) -> i64 {
        self.number("select count(*) from feed where kind in ('user', 'family')")
    }

    fn number(&self, sql: &str) -> i64 {
        self.world.memory().db.borrow().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn cron(&self) {
        for _ in 0..3 {
            block_on(clean(&self.world.app)).unwrap();
        }
    }
}

fn suspend(row: &mut shared::wire::push::UserRow) {
    (row.status, row.access_epoch, row.session_epoch) = (UserStatus::Suspended, 1, 1);
}

#[test]
fn another_tenant_is_validated_without_a_read_while_thousands_change() {
    let two = two();
    let (acme, other, world) = (&two.acme, &two.other, &two.world);
    let (ours, theirs) = (acme.sign_in("ada"), other.sign_in("ada"));
    other.validate(&theirs.access).expect(200);
    acme.validate(&ours.access).expect(200);
    acme.users_change(MANY, |row| row.access_epoch = 1);
    world.advance(1500);
    other.validate(&theirs.access).expect(200);
    two.costs(other, &theirs, 0);
    other.change("bob", suspend);
    world.advance(1500);
    other.validate(&theirs.access).expect(200);
    two.costs(other, &theirs, 0);
    world.advance(3001);
    two.costs(other, &theirs, 1);
    assert!(world.memory().largest_answer.get() < LARGEST);
}

#[test]
fn the_first_question_about_a_tenant_is_bounded() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    let tokens = acme.sign_in("ada");
    for number in 0..4 {
        acme.users_change(MANY / 4 * (number + 1), |row| row.access_epoch = i64::from(number) + 1);
        world.memory().largest_answer.set(0);
        world.new_isolate();
        acme.validate(&tokens.access).expect(200);
        let largest = world.memory().largest_answer.get();
        assert!(largest < LARGEST, "{largest} bytes");
    }
    assert!(two.feed_rows() <= 4000);
}

#[test]
fn what_was_answered_before_the_crowd_is_not_given_again() {
    let Two { world, other, .. } = two();
    let tokens = other.sign_in("ada");
    other.validate(&tokens.access).expect(200);
    let request = other.request("POST", "/api/token/validate/").bearer(&tokens.access);
    assert!(keep(&world, &request, 1).is_some());
    assert!(serve::again(&world.app, 1).is_some());
    other.users_change(MANY, |row| row.access_epoch = 1);
    other.change("ada", |row| (row.status, row.access_epoch) = (UserStatus::Suspended, 1));
    world.advance(1001);
    other.validate("abc").expect(401);
    assert_eq!(serve::again(&world.app, 1), None);
    other.validate(&tokens.access).expect(401);
}

#[test]
fn a_crowded_tenant_signs_in_and_refreshes_and_its_suspended_users_are_refused() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    let (ada, bob) = (acme.sign_in("ada"), acme.sign_in("bob"));
    for tokens in [&ada, &bob] {
        acme.validate(&tokens.access).expect(200);
    }
    acme.users_change(MANY, suspend);
    acme.change("bob", suspend);
    world.advance(3001);
    assert_eq!(acme.validate(&bob.access).expect(401).text("detail"), "Token is blacklisted");
    let forwarded = world.send(acme.request("GET", "/api/user/me/").bearer(&bob.access)).expect(401);
    assert_eq!(forwarded.text("code"), "user_inactive");
    acme.try_sign_in("bob", PASSWORD).expect(401);
    acme.refresh(&bob.refresh).expect(401);
    acme.validate(&ada.access).expect(200);
    let ada = acme.refreshed(&acme.sign_in("ada").refresh);
    world.new_isolate();
    acme.validate(&ada.access).expect(200);
    acme.validate(&bob.access).expect(401);
    // A role changes, the password, the user goes: none of it is in the feed any more.
    let feed = two.feed_rows();
    for (change, code) in [((1, 0), "token_not_valid"), ((2, 2), "password_changed")] {
        acme.change("ada", |row| (row.access_epoch, row.password_epoch) = change);
        world.advance(3001);
        let forwarded = world.send(acme.request("GET", "/api/user/me/").bearer(&ada.access)).expect(401);
        assert_eq!(forwarded.text("code"), code);
    }
    acme.change("ada", |row| (row.status, row.access_epoch) = (UserStatus::Deleted, 0));
    world.advance(3001);
    let forwarded = world.send(acme.request("GET", "/api/user/me/").bearer(&ada.access)).expect(401);
    assert_eq!(forwarded.text("code"), "user_not_found");
    assert_eq!(two.feed_rows(), feed);
}

#[test]
fn the_rows_of_a_token_are_read_once_in_three_seconds() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    let (ada, bob) = (acme.sign_in("ada"), acme.sign_in("bob"));
    acme.validate(&ada.access).expect(200);
    two.costs(acme, &ada, 0);
    acme.users_change(MANY, suspend);
    world.advance(3001);
    // The feed that says so, the tenant that it concerns, the rows.
    acme.validate(&bob.access).expect(200);
    two.costs(acme, &ada, 1);
    two.costs(acme, &ada, 0);
    two.costs(acme, &bob, 0);
    world.advance(2000);
    acme.validate(&bob.access).expect(200);
    world.advance(1000);
    let answer = two.costs(acme, &ada, 0);
    assert_eq!(answer.header("wardgate-state-age"), Some("3.0"), "the age of the rows");
    world.advance(1);
    let answer = two.costs(acme, &ada, 1);
    assert_eq!(answer.header("wardgate-state-age"), Some("1.0"), "the age of the feed");
}

#[test]
fn a_session_that_ends_in_a_crowd_is_refused_elsewhere() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    let (here, there) = (acme.sign_in("ada"), acme.sign_in("ada"));
    acme.users_change(MANY, suspend);
    acme.validate(&here.access).expect(200);
    acme.validate(&there.access).expect(200);
    let cache = world.app.shard_cache.take();
    let verified = world.app.verified.take();
    acme.post("/api/logout/", &json!({"refresh": there.refresh})).expect(204);
    acme.validate(&there.access).expect(401);
    world.app.shard_cache.replace(cache);
    world.app.verified.replace(verified);
    world.advance(3001);
    assert_eq!(acme.validate(&there.access).expect(401).text("detail"), "Token is blacklisted");
    acme.validate(&here.access).expect(200);
}

#[test]
fn a_crowd_that_cannot_be_asked_about_goes_on_for_the_staleness_limit() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    acme.edit(|tenant| {
        (tenant.settings.access_ttl_secs, tenant.settings.staleness_limit_secs) = (900, 600);
    });
    let (asked, never) = (acme.sign_in("ada"), acme.sign_in("ada"));
    acme.users_change(MANY, suspend);
    world.advance(3001);
    acme.validate(&asked.access).expect(200);
    world.memory().store_down.set(true);
    world.advance(599_000);
    let answer = acme.validate(&asked.access).expect(200);
    assert_eq!(answer.header("wardgate-state-age"), Some("599.0"));
    acme.validate(&never.access).expect(503);
    world.advance(2000);
    acme.validate(&asked.access).expect(503);
    world.memory().store_down.set(false);
    acme.validate(&asked.access).expect(200);
    acme.validate(&never.access).expect(200);
}

#[test]
fn a_tenant_is_ordinary_again_when_nothing_living_can_be_concerned() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    let tokens = acme.sign_in("ada");
    acme.users_change(MANY, suspend);
    acme.validate(&tokens.access).expect(200);
    world.advance(FEED_SECS * 1000 - 1);
    two.cron();
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    assert_eq!(two.number("select count(*) from crowds where at is not null"), 1);
    world.advance(2000);
    two.cron();
    assert_eq!(two.feed_rows(), 0);
    assert_eq!(two.number("select count(*) from crowds"), 0);
    acme.validate(&tokens.access).expect(200);
    world.advance(1500);
    acme.validate(&tokens.access).expect(200);
    for _ in 0..3 {
        world.advance(1001);
        acme.validate(&tokens.access).expect(200);
        two.costs(acme, &tokens, 0);
    }
    // And the feed holds its users again.
    acme.change("ada", |row| row.access_epoch = 1);
    assert_eq!(two.feed_rows(), 1);
    world.advance(3001);
    acme.validate(&tokens.access).expect(401);
    world.new_isolate();
    acme.validate(&tokens.access).expect(401);
}

#[test]
fn the_count_of_a_crowd_is_the_feeds() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    acme.users_change(300, |row| row.access_epoch = 1);
    let told = || two.number("select coalesce(sum(told), 0) from crowds");
    assert_eq!((told(), two.feed_rows()), (300, 300));
    world.advance(FEED_SECS * 500);
    acme.users_change(200, |row| row.access_epoch = 2);
    two.other.change("ada", suspend);
    world.advance(FEED_SECS * 500 + 1);
    two.cron();
    assert_eq!((told(), two.feed_rows()), (201, 201));
    acme.users_change(MANY, |row| row.access_epoch = 3);
    assert_eq!((told(), two.feed_rows()), (4001, 4001));
    let begun = world.memory().run(&sql::FEED_AFTER.bind([0.into(), 100_000.into()]));
    assert_eq!(begun.iter().filter(|row| row["kind"] == "crowd").count(), 1);
}

#[test]
fn a_token_of_the_old_service_is_judged_in_a_crowd_too() {
    let two = two();
    let (acme, world) = (&two.acme, &two.world);
    acme.came_from(
        Some(shared::tokens::legacy::Marker { claim: "tenant".into(), value: json!("acme") }),
        START_MS / 1000 + 86_400,
    );
    acme.old_user("ada", "42");
    let exp = START_MS / 1000 + 3600;
    let token = |jti: &str| Tokens {
        access: old_token(&json!({"token_type": "access", "exp": exp, "iat": exp - 7200, "jti": jti,
            "user_id": 42, "tenant": "acme"})),
        refresh: String::new(),
    };
    let (first, second) = (token("a1"), token("a2"));
    acme.validate(&first.access).expect(200);
    acme.users_change(MANY, suspend);
    world.advance(3001);
    acme.validate(&first.access).expect(200);
    two.costs(acme, &first, 0);
    acme.validate(&second.access).expect(200);
    acme.change("ada", |row| {
        (row.access_epoch, row.session_epoch, row.legacy_id) = (1, 1, Some("42".into()))
    });
    world.advance(3001);
    acme.validate(&first.access).expect(401);
    acme.validate(&second.access).expect(401);
}
