//! Passwords that another service hashed: which checks control gets, and that the outcomes cannot be distinguished.

use serde_json::json;
use shared::contract::limits::PASSWORD_BYTES;
use shared::tenant::Foreign;
use shared::user::UserStatus;

use super::fixture::{Actor, Answered, PASSWORD, START_MS, World, claims};

const OLD: &str = " an old pässword ";

/// The cost of one sign-in.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    hashes: u32,
    batches: u32,
    questions: usize,
}

fn tried(acme: &Actor, name: &str, password: &str) -> (Answered, Cost) {
    let world = &acme.world;
    let counts =
        || (world.app.hashes.get(), world.memory().batches.get(), world.memory().asked.borrow().len());
    let before = counts();
    let answer = acme.try_sign_in(name, password);
    let after = counts();
    let cost =
        Cost { hashes: after.0 - before.0, batches: after.1 - before.1, questions: after.2 - before.2 };
    (answer, cost)
}

/// A tenant that came from another service: `old` has a password that control checks, `new` one of ours.
fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.edit(|tenant| tenant.foreign = Some(Foreign { until: None }));
    for name in ["new", "old", "bare", "suspended", "suspended-old", "deleted"] {
        acme.user(name);
    }
    let foreign = |name: &str, status: UserStatus| {
        acme.change(name, |row| (row.verifier, row.foreign, row.status) = (None, true, status));
        world.memory().foreign.borrow_mut().insert(acme.user_id(name), OLD.into());
    };
    foreign("old", UserStatus::Active);
    foreign("suspended-old", UserStatus::Suspended);
    acme.change("bare", |row| row.verifier = None);
    acme.change("suspended", |row| row.status = UserStatus::Suspended);
    acme.change("deleted", |row| row.status = UserStatus::Deleted);
    // The isolate has met the tenant before anything is counted.
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    (world, acme)
}

/// Every refusal there is: unknown, wrong, no password, not active, impossible names and passwords.
fn refusals() -> Vec<(String, String)> {
    let long = "x".repeat(PASSWORD_BYTES + 1);
    [
        ("old", "not the password"),
        ("nobody", OLD),
        ("new", "not the password"),
        ("new", OLD),
        ("bare", OLD),
        ("suspended", PASSWORD),
        ("suspended-old", OLD),
        ("deleted", PASSWORD),
        ("old", long.as_str()),
        ("new", long.as_str()),
        (long.as_str(), OLD),
        ("a@b@\u{0}", OLD),
    ]
    .map(|(name, password)| (name.to_owned(), password.to_owned()))
    .to_vec()
}

#[test]
fn a_right_password_of_ours_asks_nobody() {
    let (_, acme) = acme();
    let (answer, cost) = tried(&acme, "new", PASSWORD);
    answer.expect(200);
    assert_eq!(cost, Cost { hashes: 1, batches: 2, questions: 0 });
}

#[test]
fn a_right_password_of_theirs_signs_in_by_controls_word_as_it_was_typed() {
    let (world, acme) = acme();
    let (answer, cost) = tried(&acme, "old", OLD);
    assert_eq!(claims(&answer.expect(200).text("access"))["sub"], acme.user_id("old").to_string());
    assert_eq!(cost, Cost { hashes: 1, batches: 2, questions: 1 });
    let decomposed = OLD.replace('ä', "a\u{308}");
    for other in [OLD.trim(), decomposed.as_str()] {
        acme.try_sign_in("old", other).expect(401);
        assert_eq!(world.memory().asked.borrow().last().unwrap().password, other);
    }
    let longest = "x".repeat(PASSWORD_BYTES);
    world.memory().foreign.borrow_mut().insert(acme.user_id("old"), longest.clone());
    acme.try_sign_in("old", &longest).expect(200);
}

#[test]
fn every_refusal_looks_and_costs_the_same() {
    let (world, acme) = acme();
    let (expected, cost) = tried(&acme, "nobody", "not the password");
    assert_eq!(expected.status, 401);
    assert_eq!(expected.text, r#"{"detail":"No active account found with the given credentials"}"#);
    assert_eq!(cost, Cost { hashes: 1, batches: 2, questions: 1 });
    for (name, password) in refusals() {
        let (answer, its) = tried(&acme, &name, &password);
        assert_eq!(
            (answer.visible(), its),
            (expected.visible(), Cost { ..cost }),
            "{name:.20} {password:.20}"
        );
        let question = world.memory().asked.borrow().last().unwrap().clone();
        let named = (name == "old" && password.len() <= PASSWORD_BYTES).then(|| acme.user_id("old"));
        assert_eq!(question.user, named, "{name:.20} {password:.20}");
        assert!(question.password.len() <= PASSWORD_BYTES);
    }
}

#[test]
fn control_that_says_yes_about_nobody_lets_nobody_in() {
    let (world, acme) = acme();
    *world.memory().control_says.borrow_mut() = Some(json!({"matched": true}).to_string());
    for (name, password) in refusals().into_iter().skip(1) {
        acme.try_sign_in(&name, &password).expect(401);
    }
}

#[test]
fn without_control_all_refusals_are_unavailable_and_ours_still_sign_in() {
    let (world, acme) = acme();
    world.memory().control_down.set(true);
    let (expected, cost) = tried(&acme, "nobody", "not the password");
    assert_eq!((expected.status, expected.text("code").as_str()), (503, "unavailable"));
    assert!(expected.header("retry-after").is_some());
    assert_eq!(cost, Cost { hashes: 1, batches: 1, questions: 0 });
    let right_of_theirs = [("old".to_owned(), OLD.to_owned())];
    for (name, password) in refusals().into_iter().chain(right_of_theirs) {
        let (answer, its) = tried(&acme, &name, &password);
        assert_eq!(
            (answer.visible(), its),
            (expected.visible(), Cost { ..cost }),
            "{name:.20} {password:.20}"
        );
    }
    acme.try_sign_in("new", PASSWORD).expect(200);
    world.memory().control_down.set(false);
    acme.try_sign_in("old", OLD).expect(200);
}

#[test]
fn an_answer_that_is_none_is_no_answer() {
    let (world, acme) = acme();
    for said in ["", "{}", "[]", r#"{"matched":"yes"}"#, r#"{"matched":null}"#, "<html>"] {
        *world.memory().control_says.borrow_mut() = Some(said.into());
        for name in ["old", "nobody"] {
            assert_eq!(acme.try_sign_in(name, OLD).expect(503).text("code"), "unavailable", "{said}");
        }
    }
}

#[test]
fn a_try_stays_counted_while_control_is_away() {
    let (world, acme) = acme();
    world.memory().control_down.set(true);
    for name in ["new", "old", "nobody"] {
        for _ in 0..10 {
            acme.try_sign_in(name, "a guess").expect(503);
        }
        acme.try_sign_in(name, PASSWORD).expect(429);
    }
    world.memory().control_down.set(false);
    acme.try_sign_in("old", OLD).expect(429);
    world.advance(300_000);
    acme.try_sign_in("old", OLD).expect(200);
}

#[test]
fn a_right_password_of_theirs_gives_its_own_try_back() {
    let (_, acme) = acme();
    for _ in 0..20 {
        acme.try_sign_in("old", OLD).expect(200);
    }
}

#[test]
fn after_the_date_nobody_is_asked_about_and_the_rest_have_no_password() {
    let (world, acme) = acme();
    let until = START_MS / 1000 + 100;
    acme.edit(|tenant| tenant.foreign = Some(Foreign { until: Some(until) }));
    acme.try_sign_in("old", OLD).expect(200);
    world.advance(100_000);
    for (name, password) in refusals().into_iter().chain([("old".to_owned(), OLD.to_owned())]) {
        let (answer, cost) = tried(&acme, &name, &password);
        answer.expect(401);
        assert_eq!(cost, Cost { hashes: 1, batches: 2, questions: 0 });
    }
    acme.try_sign_in("new", PASSWORD).expect(200);
}

#[test]
fn once_the_last_foreign_hash_is_gone_nothing_is_asked_any_more() {
    let (world, acme) = acme();
    acme.user("old");
    acme.edit(|tenant| tenant.foreign = None);
    world.advance(3001);
    acme.try_sign_in("old", PASSWORD).expect(200);
    let asked = world.memory().asked.borrow().len();
    acme.try_sign_in("old", OLD).expect(401);
    acme.try_sign_in("nobody", OLD).expect(401);
    assert_eq!(world.memory().asked.borrow().len(), asked);
}

#[test]
fn what_changes_while_control_thinks_wins() {
    let (world, acme) = acme();
    for change in ["status = 'suspended', session_epoch = 1", "status = 'active', session_epoch = 2"] {
        let armed = world.clone();
        let change = format!("update users set {change} where id = '{}'", acme.user_id("old"));
        *world.memory().meanwhile.borrow_mut() = Some(Box::new(move |_| {
            *armed.memory().meanwhile.borrow_mut() =
                Some(Box::new(move |db| db.execute_batch(&change).unwrap()));
        }));
        acme.try_sign_in("old", OLD).expect(401);
        world.memory().db.borrow().execute_batch("update users set status = 'active'").unwrap();
    }
}
