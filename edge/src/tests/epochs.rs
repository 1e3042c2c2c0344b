//! A reseed: a new history raises every user's epochs at once, whatever the order in which its rows arrive.

use proptest::prelude::*;
use serde_json::json;
use shared::epochs;
use shared::user::UserStatus;
use shared::wire::needs::Needs;
use shared::wire::push::{Command, Complete, Push, UserRow};
use shared::wire::signature::Tag;

use super::fixture::{Actor, PASSWORD, Tokens, World, claims, message, old_token};
use crate::sql;

const NAMES: [&str; 3] = ["ada", "bob", "cyd"];

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    for name in NAMES {
        acme.user(name);
    }
    (world, acme)
}

impl Actor {
    /// The document of a new history arrives, ahead of the snapshot that it begins.
    pub fn reseed(&self) {
        {
            let mut tenant = self.tenant.borrow_mut();
            tenant.history += 1;
            tenant.needs = Needs::of(&[epochs::NEED]);
        }
        let ahead = Push { complete: None, ..self.document_push() };
        self.world.push(&self.of_history(ahead)).expect(200);
    }

    fn of_history(&self, push: Push) -> Push {
        Push { history: self.tenant.borrow().history, ..push }
    }

    /// A user's row arrives, as the present history has it.
    pub fn restored(&self, name: &str, change: impl FnOnce(&mut UserRow)) {
        let mut row = self.user_row(name);
        change(&mut row);
        self.world.push(&self.of_history(Push { users: vec![row.into()], ..message(self.id()) })).expect(200);
    }
}

/// Neither session nor token is valid, at this isolate or at a new one.
fn has_ended(world: &World, acme: &Actor, tokens: &Tokens) {
    assert_eq!(acme.refresh(&tokens.refresh).expect(401).text("detail"), "Token is blacklisted");
    let verified = acme.post("/api/token/verify/", &json!({"token": tokens.refresh}));
    assert_ne!(verified.status, 200);
    for _ in 0..2 {
        assert_eq!(acme.validate(&tokens.access).expect(401).text("detail"), "Token is blacklisted");
        world.new_isolate();
    }
}

fn is_good(world: &World, acme: &Actor, tokens: &Tokens) {
    for _ in 0..2 {
        acme.validate(&tokens.access).expect(200);
        world.new_isolate();
    }
    acme.refresh(&tokens.refresh).expect(200);
}

fn feed(world: &World, kind: &str) -> usize {
    let feed = world.memory().run(&sql::FEED_AFTER.bind([0.into(), 100_000.into()]));
    feed.iter().filter(|row| row["kind"] == kind).count()
}

#[test]
fn a_reseed_ends_every_session_with_one_row() {
    let (world, acme) = acme();
    acme.change("bob", |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (7, 5, 7));
    let before = NAMES.map(|name| acme.sign_in(name));
    before.iter().for_each(|tokens| assert_eq!(acme.validate(&tokens.access).status, 200));
    let (documents, users) = (feed(&world, "document"), feed(&world, "user"));
    acme.reseed();
    world.advance(3001);
    before.iter().for_each(|tokens| has_ended(&world, &acme, tokens));
    assert_eq!((feed(&world, "document"), feed(&world, "user")), (documents + 1, users));
    // Before their rows have come, and afterwards, all users can sign in.
    let after = NAMES.map(|name| acme.sign_in(name));
    assert_eq!(claims(&after[1].access)["epoch"], epochs::LEAP + 7);
    acme.restored("ada", |_| {});
    acme.restored("bob", |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (7, 5, 7));
    acme.restored("cyd", |_| {});
    world.advance(3001);
    assert_eq!(feed(&world, "user"), users, "nothing changed for anybody");
    after.iter().for_each(|tokens| is_good(&world, &acme, tokens));
}

#[test]
fn what_raises_a_counter_after_a_reseed_is_heard() {
    let (world, acme) = acme();
    acme.reseed();
    let [roles, password, status] = NAMES.map(|name| acme.sign_in(name));
    acme.restored("ada", |row| row.access_epoch = 1);
    acme.restored("bob", |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (1, 1, 1));
    acme.restored("cyd", |row| {
        (row.access_epoch, row.session_epoch, row.status) = (1, 1, UserStatus::Suspended);
    });
    world.advance(3001);
    let forwarded = |tokens: &Tokens| {
        world.send(acme.request("GET", "/api/user/me/").bearer(&tokens.access)).expect(401).text("code")
    };
    assert_eq!(forwarded(&roles), "token_not_valid");
    assert_eq!(forwarded(&password), "password_changed");
    assert_eq!(forwarded(&status), "user_inactive");
    let renewed = acme.refreshed(&roles.refresh);
    assert_eq!(claims(&renewed.access)["epoch"], epochs::LEAP + 1);
    acme.refresh(&password.refresh).expect(401);
    acme.try_sign_in("cyd", PASSWORD).expect(401);
}

/// The backup that control was restored from is older than what the edge has: counters go back.
#[test]
fn a_counter_that_goes_back_revives_nothing() {
    for document_first in [true, false] {
        let (world, acme) = acme();
        let stolen = acme.sign_in("ada");
        // After the backup: the password was changed, which ended the stolen session.
        acme.change("ada", |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (5, 3, 5));
        acme.refresh(&stolen.refresh).expect(401);
        if document_first {
            acme.reseed();
        } else {
            acme.tenant.borrow_mut().history += 1;
        }
        let between = acme.sign_in("ada");
        acme.restored("ada", |row| row.access_epoch = 1);
        world.advance(3001);
        for tokens in [&stolen, &between] {
            acme.refresh(&tokens.refresh).expect(401);
            acme.validate(&tokens.access).expect(401);
        }
        // A token with the higher counter would outlive the next revocation.
        let now = acme.sign_in("ada");
        acme.restored("ada", |row| {
            (row.access_epoch, row.session_epoch, row.status) = (2, 1, UserStatus::Suspended);
        });
        world.advance(3001);
        for tokens in [&stolen, &between, &now] {
            acme.validate(&tokens.access).expect(401);
            acme.refresh(&tokens.refresh).expect(401);
        }
    }
}

#[test]
fn a_reseed_while_a_password_is_hashed_refuses_no_sign_in() {
    let (world, acme) = acme();
    let before = acme.sign_in("ada");
    let raise = "update tenants set history = 2, document = json_set(document, '$.history', 2), digest = ''";
    // Between the batch that reads the user and the one that makes the session.
    let armed = world.clone();
    *world.memory().meanwhile.borrow_mut() = Some(Box::new(move |_| {
        *armed.memory().meanwhile.borrow_mut() = Some(Box::new(move |db| db.execute_batch(raise).unwrap()));
    }));
    let tokens = acme.sign_in("ada");
    assert_eq!(claims(&tokens.access)["epoch"], epochs::LEAP);
    world.advance(3001);
    has_ended(&world, &acme, &before);
    is_good(&world, &acme, &tokens);
}

#[test]
fn a_reseed_ends_what_the_old_service_issued() {
    let (_, acme) = acme();
    acme.came_from(None, super::fixture::START_MS / 1000 + 86_400);
    acme.edit(|tenant| tenant.legacy.as_mut().unwrap().listed = true);
    let user = acme.old_user("ada", "42");
    let exp = super::fixture::START_MS / 1000 + 3600;
    let refresh = |jti: &str| {
        acme.outstanding(jti, user);
        old_token(&json!({"token_type": "refresh", "exp": exp, "iat": exp - 7200, "jti": jti, "user_id": 42}))
    };
    let (first, second) = (refresh("r1"), refresh("r2"));
    acme.refresh(&first).expect(200);
    acme.reseed();
    for token in [&first, &second] {
        assert_eq!(acme.refresh(token).expect(401).text("detail"), "Token is blacklisted");
    }
}

/// A control that was restored again must choose a history above this one, although the snapshot of this one was
/// never completed.
#[test]
fn a_history_is_told_from_its_first_row_on() {
    let (world, acme) = acme();
    let histories = || {
        let ask = Command::Status { tenants: vec![acme.id()] };
        let marks =
            world.signed("/internal/v1/command", Tag::Command, &ask).expect(200).json()["marks"].clone();
        (marks[0]["mark"]["history"].clone(), marks[0]["history"].clone())
    };
    assert_eq!(histories(), (json!(1), json!(1)));
    acme.reseed();
    assert_eq!(histories(), (json!(1), json!(2)));
    world.memory().db.borrow().execute_batch("delete from marks").unwrap();
    assert_eq!(histories(), (json!(0), json!(2)));
}

#[test]
fn sessions_from_before_are_not_listed() {
    let (world, acme) = acme();
    acme.sign_in("ada");
    acme.reseed();
    acme.sign_in("ada");
    let listed = sql::LIVING_FAMILIES.bind([
        acme.id().to_string().into(),
        acme.user_id("ada").to_string().into(),
        crate::sql::millis(world.memory().now_ms.get()).into(),
    ]);
    assert_eq!(world.memory().run(&listed).len(), 1);
}

/// One thing that happens at the edge or arrives there.
#[derive(Clone, Debug)]
enum Step {
    /// The document of the second history.
    Reseed,
    /// A user's row in either history; the counters are what control has there.
    Row {
        user: usize,
        history: i64,
    },
    SignIn {
        user: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = 0..NAMES.len();
    let step = prop_oneof![
        1 => Just(Step::Reseed),
        4 => (user.clone(), 1..=2i64).prop_map(|(user, history)| Step::Row { user, history }),
        4 => user.prop_map(|user| Step::SignIn { user }),
    ];
    proptest::collection::vec(step, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// In every order of pushes: what was issued before the document of a new history is over from then on,
    /// and a user whose row is as control has it now signs in and stays signed in.
    #[test]
    fn epochs_hold_in_every_order_of_pushes(steps in steps(), later in 0..4i64, earlier in 0..4i64) {
        let (world, acme) = acme();
        let mut issued: Vec<(usize, i64, Tokens)> = vec![];
        let mut reseeded = false;
        for step in steps {
            match step {
                Step::Reseed if !reseeded => {
                    acme.reseed();
                    reseeded = true;
                }
                Step::Reseed => {}
                Step::Row { user, history } => {
                    let mut row = acme.user_row(NAMES[user]);
                    let counter = if history == 2 { earlier } else { later };
                    (row.access_epoch, row.session_epoch) = (counter, counter);
                    let push = Push { history, users: vec![row.into()], ..message(acme.id()) };
                    prop_assert_eq!(world.push(&push).status, 200);
                }
                Step::SignIn { user } => {
                    let history = if reseeded { 2 } else { 1 };
                    issued.push((user, history, acme.sign_in(NAMES[user])));
                }
            }
            world.advance(3001);
            for (_, history, tokens) in &issued {
                if reseeded && *history == 1 {
                    prop_assert_eq!(acme.validate(&tokens.access).status, 401);
                    world.new_isolate();
                    prop_assert_eq!(acme.validate(&tokens.access).status, 401);
                    prop_assert_eq!(acme.refresh(&tokens.refresh).status, 401);
                }
            }
        }
        if !reseeded {
            acme.reseed();
        }
        for name in NAMES {
            acme.restored(name, |row| (row.access_epoch, row.session_epoch) = (earlier, earlier));
        }
        let done = Complete { from: 0, to: acme.rev.get() };
        let done = acme.of_history(Push { complete: Some(done), ..message(acme.id()) });
        prop_assert_eq!(world.push(&done).status, 200);
        for name in NAMES {
            let tokens = acme.sign_in(name);
            acme.restored(name, |row| {
                (row.access_epoch, row.session_epoch, row.status) = (earlier + 1, earlier + 1, UserStatus::Suspended);
            });
            world.advance(3001);
            prop_assert_eq!(acme.validate(&tokens.access).status, 401);
            prop_assert_eq!(acme.refresh(&tokens.refresh).status, 401);
        }
        for (_, _, tokens) in &issued {
            prop_assert_eq!(acme.validate(&tokens.access).status, 401, "nobody's token outlives the suspension");
        }
    }
}
