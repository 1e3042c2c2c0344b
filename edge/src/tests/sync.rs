//! Push, command and drain: which callers are accepted, and that order, repetitions and replays change nothing.

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::ids::TenantId;
use shared::wire::facts::{Acknowledge, DrainIn, DrainOut};
use shared::wire::push::{Command, Complete, Push, Snapshot, SnapshotStep};
use shared::wire::signature::{ServiceKey, Tag};

use super::fixture::{Actor, PASSWORD, Request, World, claims, control_key, message};
use super::scale::scaled;
use crate::sql;

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

/// Everything that a push may write.
fn contents(world: &World) -> String {
    let db = world.memory().db.borrow();
    let dump = |text: &str| {
        let rows = super::fixture::run(&db, &sql::Sql(Box::leak(text.to_owned().into_boxed_str())).bind([]))
            .unwrap();
        rows.into_iter().map(|row| row.to_string()).collect::<Vec<_>>().join("\n")
    };
    [
        "select name, tenant, history, rev from names order by 1",
        "select id, status, history, rev, document from tenants order by 1",
        "select tenant, id, history, rev, status, access_epoch, session_epoch, roles, verifier from users order by 1, 2",
        "select tenant, hash, user, history, rev from identifiers order by 1, 2",
        "select tenant, history, rev from marks order by 1",
        "select id, ended_at from families order by 1",
        "select id from outbox order by 1",
    ]
    .map(dump)
    .join("\n--\n")
}

#[test]
fn calls_without_a_good_signature_change_nothing() {
    let (world, acme) = acme();
    acme.sign_in("ada");
    let before = contents(&world);
    let now = world.memory().now_ms.get() / 1000;
    let sid = claims(&acme.sign_in("ada").refresh)["sid"].as_str().unwrap().to_owned();
    let before_sign_in = before;
    let before = contents(&world);
    assert_ne!(before, before_sign_in);
    let row = acme.user_row("ada");
    let push = Push {
        users: vec![shared::wire::push::UserRow { roles: vec!["root-admin".into()], ..row }.into()],
        ..message(acme.id())
    };
    let end = Command::EndSession { tenant: acme.id(), sid: shared::ids::SessionId::parse(&sid).unwrap() };
    let incarnation = drain(&world, None, 500).incarnation;
    let drained =
        DrainIn { shard: 0, acknowledge: Some(Acknowledge { incarnation, seq: 999, id: None }), limit: 500 };
    let stranger = ServiceKey::parse(&format!("control:{}", "A".repeat(43))).unwrap();
    let calls: [(&str, Tag, Tag, Value); 3] = [
        ("/internal/v1/push", Tag::Push, Tag::Command, json!(push)),
        ("/internal/v1/command", Tag::Command, Tag::Drain, json!(end)),
        ("/internal/v1/drain", Tag::Drain, Tag::Forward, json!(drained)),
    ];
    for (path, tag, wrong_tag, body) in calls {
        let request = || Request::new("POST", &format!("https://edge.example{path}")).json(&body);
        let good = || request().sign(&control_key(), tag, "edge.example", now);
        let mut cut = good();
        cut.body.pop();
        let mut swapped = good();
        swapped.url = format!("https://edge.example{path}?x=1");
        for (what, bad) in [
            ("unsigned", request()),
            ("stale", request().sign(&control_key(), tag, "edge.example", now - 61)),
            ("from the future", request().sign(&control_key(), tag, "edge.example", now + 61)),
            ("wrongly tagged", request().sign(&control_key(), wrong_tag, "edge.example", now)),
            ("wrongly addressed", request().sign(&control_key(), tag, "staging.example", now)),
            ("a stranger's", request().sign(&stranger, tag, "edge.example", now)),
            ("truncated", cut),
            ("with another query", swapped),
        ] {
            // A body without a valid signature is not read, whatever its size.
            let unread = bad.clone().before_body(|| panic!("the body of a stranger was read"));
            let refused = world.send(if what == "truncated" { bad } else { unread }).expect(401);
            assert_eq!(refused.text("code"), "signature_invalid", "{path} {what}");
            assert_eq!(contents(&world), before, "{path} {what}");
        }
        world.send(Request::new("GET", &format!("https://edge.example{path}"))).expect(405);
    }
}

#[test]
fn a_replayed_call_changes_nothing() {
    let (world, acme) = acme();
    acme.sign_in("ada");
    let now = world.memory().now_ms.get() / 1000;
    let push = Push { users: vec![acme.user_row("ada").into()], ..message(acme.id()) };
    let request = Request::new("POST", "https://edge.example/internal/v1/push").json(&push);
    let signed = request.sign(&control_key(), Tag::Push, "edge.example", now);
    world.send(signed.clone()).expect(200);
    acme.change("ada", |row| row.roles = vec!["client".into()]);
    let before = contents(&world);
    world.send(signed).expect(200);
    assert_eq!(contents(&world), before);
}

#[test]
fn a_push_that_does_not_follow_the_mark_is_whole_or_nothing() {
    let (world, acme) = acme();
    let before = contents(&world);
    let row = acme.user_row("bob");
    let gap = Push {
        users: vec![row.clone().into()],
        complete: Some(Complete { from: 50, to: 60 }),
        ..message(acme.id())
    };
    let refused = world.push(&gap).expect(409);
    assert_eq!(refused.json()["code"], "revision_gap");
    assert_eq!((&refused.json()["history"], &refused.json()["mark"]), (&json!(1), &json!(1)));
    let newer = Push {
        history: 2,
        users: vec![row.clone().into()],
        complete: Some(Complete { from: 3, to: 4 }),
        ..message(acme.id())
    };
    assert_eq!(world.push(&newer).expect(409).json()["code"], "revision_gap");
    assert_eq!(contents(&world), before);
    let reborn = Push {
        history: 2,
        users: vec![row.clone().into()],
        complete: Some(Complete { from: 0, to: 4 }),
        ..message(acme.id())
    };
    assert_eq!(world.push(&reborn).expect(200).json()["mark"], json!({"history": 2, "rev": 4}));
    let old =
        Push { users: vec![row.into()], complete: Some(Complete { from: 1, to: 60 }), ..message(acme.id()) };
    assert_eq!(world.push(&old).expect(409).json()["code"], "stale_history");
}

#[test]
fn malformed_messages_are_400_and_change_nothing() {
    let (world, acme) = acme();
    let before = contents(&world);
    let good = json!(Push { users: vec![acme.user_row("bob").into()], ..message(acme.id()) });
    for (field, value) in [
        ("history", json!(0)),
        ("users", json!([{"id": "x"}])),
        ("complete", json!({"from": 9, "to": 1})),
        ("tenant", json!("acme")),
        ("users", json!(vec![good["users"][0].clone(); 501])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        world.signed("/internal/v1/push", Tag::Push, &bad).expect(400);
    }
    world.signed("/internal/v1/command", Tag::Command, &json!({"command": "drop"})).expect(400);
    let zero = json!({"shard": 0, "limit": 0});
    world.signed("/internal/v1/drain", Tag::Drain, &zero).expect(400);
    assert_eq!(contents(&world), before);
}

#[test]
fn a_snapshot_leaves_exactly_what_it_named() {
    let (world, acme) = acme();
    let (bob, eve) = (acme.user("bob"), acme.user("eve"));
    acme.sign_in("eve");
    let to = acme.rev.get();
    let late = acme.user("late");
    let snapshot = |step| Some(Snapshot { id: "s1".into(), to, step });
    let mut row = acme.user_row("bob");
    row.rev = to - 1;
    let identifiers =
        vec![shared::wire::push::IdentifierRow { rev: 1, ..acme.identifier_row("bob", Some(bob)) }];
    let page = Push {
        snapshot: snapshot(SnapshotStep::Page),
        users: vec![row.into()],
        identifiers,
        ..message(acme.id())
    };
    world.push(&page).expect(200);
    let sweep = Push { snapshot: snapshot(SnapshotStep::Sweep), ..message(acme.id()) };
    assert_eq!(world.push(&sweep).expect(200).json()["remaining"], false);
    world.push(&Push { complete: Some(Complete { from: 0, to }), ..message(acme.id()) }).expect(200);
    for (name, status) in [("bob", 200), ("late", 200), ("eve", 401), ("ada", 401)] {
        acme.try_sign_in(name, PASSWORD).expect(status);
    }
    let row = |id: shared::ids::UserId| {
        let text = format!("select status, rev from users where id = '{id}'");
        super::fixture::run(&world.memory().db.borrow(), &sql::Sql(Box::leak(text.into_boxed_str())).bind([]))
            .unwrap()[0]
            .clone()
    };
    assert_eq!(row(eve), json!({"status": "deleted", "rev": to}));
    assert_eq!(row(late)["status"], "active");
}

#[test]
fn a_long_sweep_says_that_rows_remain() {
    let world = World::new();
    let acme = world.tenant("acme");
    for page in 0..3 {
        let users = (0..400u64).map(|index| shared::wire::push::UserRow {
            id: shared::ids::UserId::new(page * 1000 + index, [1; 10]),
            rev: 2,
            verifier: None,
            ..acme.user_row("x")
        });
        world.push(&Push { users: users.map(Into::into).collect(), ..message(acme.id()) }).expect(200);
    }
    let to = acme.next_rev() + 5000;
    let snapshot = Some(Snapshot { id: "s2".into(), to, step: SnapshotStep::Sweep });
    let sweep = Push { snapshot, ..message(acme.id()) };
    let remaining: Vec<_> =
        (0..3).map(|_| world.push(&sweep).expect(200).json()["remaining"].clone()).collect();
    assert_eq!(remaining, [json!(true), json!(true), json!(false)]);
}

#[test]
fn commands_answer_and_end_a_session() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let sid = claims(&tokens.refresh)["sid"].clone();
    let sessions = Command::Sessions { tenant: acme.id(), user: acme.user_id("ada") };
    let listed = world.signed("/internal/v1/command", Tag::Command, &sessions).expect(200).json();
    assert_eq!(listed["sessions"][0]["sid"], sid);
    let status = Command::Status { tenants: vec![acme.id()] };
    let marks = world.signed("/internal/v1/command", Tag::Command, &status).expect(200).json();
    assert_eq!(marks["marks"][0]["mark"], json!({"history": 1, "rev": 1}));
    let end = Command::EndSession {
        tenant: acme.id(),
        sid: shared::ids::SessionId::parse(sid.as_str().unwrap()).unwrap(),
    };
    let ended = |world: &World| world.signed("/internal/v1/command", Tag::Command, &end).expect(200).json();
    assert_eq!(ended(&world), json!({"ended": true}));
    assert_eq!(ended(&world), json!({"ended": false}));
    acme.refresh(&tokens.refresh).expect(401);
    let elsewhere = Command::Sessions { tenant: TenantId::new(9, [9; 10]), user: acme.user_id("ada") };
    let none = world.signed("/internal/v1/command", Tag::Command, &elsewhere).expect(200).json();
    assert_eq!(none, json!({"sessions": []}));
}

fn drain(world: &World, acknowledge: Option<Acknowledge>, limit: u32) -> DrainOut {
    let answer = world.signed("/internal/v1/drain", Tag::Drain, &DrainIn { shard: 0, acknowledge, limit });
    serde_json::from_str(&answer.expect(200).text).unwrap()
}

/// Everything of a page is committed.
fn acknowledge(page: &DrainOut) -> Acknowledge {
    let last = page.facts.last().unwrap();
    Acknowledge { incarnation: page.incarnation.clone(), seq: last.seq, id: Some(last.id) }
}

#[test]
fn after_time_travel_nothing_that_was_never_read_is_deleted() {
    // Control may look at once, or when the positions that it has read were given to other facts.
    for signed_in_since in [1, 3, 5] {
        let (world, acme) = acme();
        acme.sign_in("ada");
        let bookmark = world.memory().bookmark();
        acme.sign_in("ada");
        acme.sign_in("ada");
        let read = drain(&world, None, 500);
        assert_eq!(read.facts.len(), 3);
        world.memory().travel_to(bookmark);
        for _ in 0..signed_in_since {
            acme.sign_in("ada");
        }
        let before = contents(&world);
        let body = DrainIn { shard: 0, acknowledge: Some(acknowledge(&read)), limit: 500 };
        let refused = world.signed("/internal/v1/drain", Tag::Drain, &body).expect(409);
        assert_eq!(
            refused.json(),
            json!({
                "detail": "This database did not give the facts that are acknowledged.",
                "code": "outbox_restored",
            })
        );
        assert_eq!(contents(&world), before, "nothing has left");
        let restored = world.signed("/internal/v1/command", Tag::Command, &Command::Restored { shard: 0 });
        let incarnation = restored.expect(200).text("incarnation");
        assert_ne!(incarnation, read.incarnation);
        let anew = drain(&world, Some(acknowledge(&read)), 500);
        assert_eq!((&anew.incarnation, anew.facts.len()), (&incarnation, 1 + signed_in_since));
        assert_eq!(anew.facts[0], read.facts[0], "what was read before has its id still");
        assert_eq!(drain(&world, Some(acknowledge(&anew)), 500).facts, []);
    }
}

#[test]
fn an_acknowledgement_without_its_fact_is_refused_beyond_the_outbox() {
    let (world, acme) = acme();
    acme.sign_in("ada");
    let read = drain(&world, None, 500);
    let (incarnation, seq) = (read.incarnation.clone(), read.facts[0].seq + 1);
    let beyond = Some(Acknowledge { incarnation: incarnation.clone(), seq, id: None });
    let body = DrainIn { shard: 0, acknowledge: beyond, limit: 500 };
    world.signed("/internal/v1/drain", Tag::Drain, &body).expect(409);
    assert_eq!(drain(&world, None, 500).facts, read.facts);
    let known = Acknowledge { incarnation, seq: seq - 1, id: None };
    assert_eq!(drain(&world, Some(known), 500).facts, []);
}

#[test]
fn an_acknowledgement_of_facts_that_have_left_is_taken_again_and_again() {
    let (world, acme) = acme();
    acme.sign_in("ada");
    let read = acknowledge(&drain(&world, None, 500));
    for _ in 0..3 {
        assert_eq!(drain(&world, Some(read.clone()), 500).facts, []);
    }
    acme.sign_in("ada");
    assert_eq!(drain(&world, Some(read), 500).facts.len(), 1);
}

#[test]
fn facts_stay_until_they_are_acknowledged_in_the_life_they_came_from() {
    let (world, acme) = acme();
    for _ in 0..3 {
        acme.sign_in("ada");
    }
    let first = drain(&world, None, 2);
    assert_eq!((first.facts.len(), first.more), (2, true));
    assert_eq!(drain(&world, None, 2).facts, first.facts, "a dropped acknowledgement");
    let other = Acknowledge { incarnation: "another".into(), seq: 99, id: None };
    assert_eq!(drain(&world, Some(other), 500).facts.len(), 3);
    let acknowledge = acknowledge(&first);
    let rest = drain(&world, Some(acknowledge.clone()), 500);
    assert_eq!((rest.facts.len(), rest.more), (1, false));
    assert_eq!(drain(&world, Some(acknowledge), 500).facts, rest.facts, "a repeated one");
}

#[test]
fn refusals_are_facts_by_the_minute_and_drained_after_it() {
    let (world, acme) = acme();
    let into_minute = world.memory().now_ms.get() % 60_000;
    world.advance(60_000 - into_minute);
    for _ in 0..3 {
        acme.try_sign_in("ada", "wrong").expect(401);
    }
    acme.try_sign_in("nobody", "wrong").expect(401);
    assert_eq!(drain(&world, None, 500).facts, []);
    world.advance(60_000);
    let facts = drain(&world, None, 500).facts;
    let mut counts: Vec<_> = facts.iter().map(|fact| fact.count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 3]);
    assert!(facts.iter().all(|fact| fact.user.is_none() && fact.network.as_deref() == Some("192.0.2.1")));
}

fn pushes(acme: &Actor) -> Vec<Push> {
    let mut pushes = Vec::new();
    for round in 0..4 {
        for name in ["ada", "bob", "eve"] {
            let mut row = acme.user_row(name);
            row.access_epoch = round;
            let (id, rev) = (row.id, row.rev);
            let mut identifier =
                acme.identifier_row(if round % 2 == 0 { name } else { "shared-name" }, Some(id));
            identifier.rev = rev;
            if round == 3 {
                (row.status, identifier.user) = (shared::user::UserStatus::Deleted, None);
            }
            pushes.push(Push {
                users: vec![row.into()],
                identifiers: vec![identifier],
                ..message(acme.id())
            });
        }
    }
    pushes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(scaled(30, 100)))]
    /// Any order, doubled and overlapping: the same rows.
    #[test]
    fn pushes_in_any_order_end_in_the_same_rows(order in proptest::collection::vec(0usize..12, 0..24)) {
        let expected = {
            let world = World::new();
            let acme = world.tenant("acme");
            for push in pushes(&acme) { world.push(&push).expect(200); }
            contents(&world)
        };
        let world = World::new();
        let acme = world.tenant("acme");
        let pushes = pushes(&acme);
        let shuffled = order.iter().map(|at| &pushes[*at]).chain(pushes.iter().rev());
        for push in shuffled { world.push(push).expect(200); }
        prop_assert_eq!(contents(&world), expected);
    }
}
