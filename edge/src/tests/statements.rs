//! Every D1 statement is prepared against `migrations/edge`, and every conditional one runs twice.

use shared::ids::SessionId;

use super::fixture::World;
use crate::platform::{Param, Statement};
use crate::sql;

#[test]
fn every_statement_prepares() {
    let world = World::new();
    let db = world.memory().db.borrow();
    for (name, statement) in sql::all() {
        db.prepare(statement.0).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Statements that run on every request or every minute must not read a whole table.
#[test]
fn no_statement_of_a_request_or_the_cron_scans_a_large_table() {
    let world = World::new();
    let db = world.memory().db.borrow();
    let mut scans = Vec::new();
    // Read whole on purpose: the outbox from its head, and what is bounded or a single row.
    let on_purpose = [
        "SCAN shard",
        "SCAN outbox",
        "SCAN feed",
        "SCAN CONSTANT ROW",
        "SCAN refusals",
        "SCAN sqlite_sequence",
        // A few rows of the statement's own.
        "SCAN who",
        "SCAN scopes",
        "SCAN tries",
        "SCAN found",
        "SCAN s",
    ];
    for (name, statement) in sql::all() {
        let mut plan = db.prepare(&format!("explain query plan {}", statement.0)).unwrap();
        let count = plan.parameter_count();
        let nulls = rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, count));
        let steps = plan.query_map(nulls, |row| row.get::<_, String>("detail")).unwrap();
        for step in steps.map(Result::unwrap).filter(|step| step.starts_with("SCAN")) {
            let indexed = step.contains("USING INDEX") || step.contains("USING COVERING INDEX");
            // The only virtual table is `json_each`, under whatever name.
            let known = step.contains("VIRTUAL TABLE")
                || on_purpose.iter().any(|start| step.starts_with(start))
                || step.starts_with("SCAN (");
            if !indexed && !known {
                scans.push(format!("{name}: {step}"));
            }
        }
    }
    // The sweep of names belongs to a snapshot, which reads everything once by its nature.
    assert_eq!(scans, ["SWEEP_NAMES: SCAN names"]);
}

/// A page of a push has 500 users: each is looked up by its key, and not all of a tenant's for each row of the page.
#[test]
fn a_push_looks_each_user_up_by_key() {
    let world = World::new();
    let db = world.memory().db.borrow();
    for statement in
        [sql::PUT_AUTHENTICATORS, sql::DROP_AUTHENTICATORS, sql::PUT_RECOVERY_CODES, sql::DROP_RECOVERY_CODES]
    {
        let mut plan = db.prepare(&format!("explain query plan {}", statement.0)).unwrap();
        let nulls = rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, 3));
        let steps = plan.query_map(nulls, |row| row.get::<_, String>("detail")).unwrap();
        let users: Vec<_> = steps.map(Result::unwrap).filter(|step| step.starts_with("SEARCH u ")).collect();
        assert_eq!(users, ["SEARCH u USING PRIMARY KEY (tenant=? AND id=?)"], "{}", statement.0);
    }
}

/// Rows that a statement changed, as D1's meta says.
fn changed(world: &World, statement: &Statement) -> u64 {
    let before = world.memory().db.borrow().total_changes();
    world.memory().run(statement);
    world.memory().db.borrow().total_changes() - before
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of statements")]
fn every_conditional_statement_wins_once() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    acme.try_sign_in("nobody", "wrong").expect(401);
    let text = |value: &str| Param::from(value);
    let (tenant, user) = (acme.id().to_string(), ada.to_string());
    let sid = SessionId::new(0, [7; 16]).to_string();
    let family = || {
        sql::INSERT_FAMILY.bind([
            text(&sid),
            text(&tenant),
            text(&user),
            1000.into(),
            9000.into(),
            9000.into(),
            0.into(),
            text("[]"),
            sql::understood(),
            Param::Null,
            Param::Null,
        ])
    };
    assert_eq!(changed(&world, &family()), 1);
    let again = super::fixture::run(&world.memory().db.borrow(), &family());
    assert!(again.unwrap_err().to_string().contains("UNIQUE"), "a family is born once");
    let rotate =
        sql::ROTATE.bind([text(&sid), text(&tenant), 1.into(), 2000.into(), 500.into(), sql::understood()]);
    let stolen = sql::END_STOLEN.bind([
        text(&sid),
        text(&tenant),
        9.into(),
        2000.into(),
        30_000.into(),
        text("theft"),
    ]);
    let record = sql::RECORD_END.bind([text("theft"), 2000.into(), text(&sid)]);
    let keep = sql::KEEP_ALIVE.bind([
        text(&sid),
        text(&tenant),
        2.into(),
        2200.into(),
        500.into(),
        100.into(),
        sql::understood(),
    ]);
    for (name, statement) in [("ROTATE", &rotate), ("KEEP_ALIVE", &keep), ("END_STOLEN", &stolen)] {
        assert!(changed(&world, statement) >= 1, "{name} first");
        assert_eq!(changed(&world, statement), 0, "{name} again");
    }
    assert_eq!(changed(&world, &record), 1);
    world.memory().db.borrow().execute_batch("update families set ended_at = null").unwrap();
    let end = sql::END_FAMILY.bind([text(&sid), text(&tenant), 3000.into(), text("out"), text("signed_out")]);
    assert!(changed(&world, &end) >= 1);
    assert_eq!(changed(&world, &end), 0);
    world.memory().db.borrow().execute_batch("update families set ended_at = null").unwrap();
    let all = sql::END_FAMILIES.bind([text(&tenant), text(&user), 3000.into(), text("all")]);
    assert!(changed(&world, &all) >= 1);
    assert_eq!(changed(&world, &all), 0);
    let ticket = |digest: &str| {
        sql::INSERT_TICKET.bind([
            text(&tenant),
            text(&user),
            text("password_change"),
            text(digest),
            9000.into(),
            0.into(),
            sql::understood(),
        ])
    };
    let given_back = |digest: &str| {
        let rows = r#"[{"account": "t", "network": "", "ends": 9}]"#;
        sql::RETURN_ATTEMPT_FOR_TICKET.bind([text(&tenant), text("e"), text(rows), text(digest)])
    };
    let attempt = format!("insert into attempts values ('{tenant}', 't', '', 9, 1, 0, 'e')");
    world.memory().db.borrow().execute_batch(&attempt).unwrap();
    assert_eq!(changed(&world, &given_back("one")), 0, "without a ticket");
    assert_eq!((changed(&world, &ticket("one")), changed(&world, &ticket("two"))), (1, 1));
    assert_eq!(changed(&world, &given_back("one")), 0, "there is a newer one");
    assert_eq!((changed(&world, &given_back("two")), changed(&world, &given_back("two"))), (1, 0));
    let look_up = |digest: &str, purpose: &str, now: i64| {
        let statement = sql::TICKET.bind([text(&tenant), text(digest), text(purpose), now.into()]);
        world.memory().run(&statement).len()
    };
    let found = [("two", "password_change", 8999), ("one", "password_change", 8999), ("two", "other", 8999)];
    assert_eq!(found.map(|(digest, purpose, now)| look_up(digest, purpose, now)), [1, 0, 0]);
    assert_eq!(look_up("two", "password_change", 9000), 0, "expired");
    let mark = sql::MOVE_MARK.bind([text(&tenant), 1.into(), 99.into()]);
    assert_eq!((changed(&world, &mark), changed(&world, &mark)), (1, 0));
    let copied = sql::KV_PUT.bind([text(&tenant), 1.into(), 99.into()]);
    assert_eq!((changed(&world, &copied), changed(&world, &copied)), (1, 0));
    let close = sql::CLOSE_MINUTES.bind([i64::MAX.into(), 500.into()]);
    assert_eq!((changed(&world, &close), changed(&world, &close)), (1, 0));
}

#[test]
fn a_code_and_a_challenge_are_used_once_and_tries_are_bounded() {
    let world = World::new();
    let acme = world.tenant("acme");
    let text = |value: &str| Param::from(value);
    let (tenant, user) = (acme.id().to_string(), acme.user("ada").to_string());
    let run = |text: &str| world.memory().db.borrow().execute_batch(text).unwrap();
    run(&format!(
        "insert into authenticators (tenant, user, id, seed, last_step) values ('{tenant}', '{user}', 'a', 's', 4)"
    ));
    run(&format!("insert into recovery_codes (tenant, user, hash) values ('{tenant}', '{user}', 'h')"));
    let reserve = |event: &str, now: i64, digest: Option<&str>| {
        sql::RESERVE_CODE_TRY.bind([
            text(&tenant),
            text(&user),
            now.into(),
            text(event),
            1000.into(),
            3.into(),
            0.into(),
            sql::understood(),
            digest.into(),
        ])
    };
    let step = |step: i64, event: &str| {
        sql::CLAIM_STEP.bind([text(&tenant), text(&user), text("a"), step.into(), text(event)])
    };
    let recovery = |event: &str| {
        sql::CLAIM_RECOVERY_CODE.bind([text(&tenant), text(&user), text("h"), 7.into(), text(event)])
    };
    assert_eq!((changed(&world, &step(5, "e1")), changed(&world, &recovery("e1"))), (0, 0), "not counted");
    assert_eq!(changed(&world, &reserve("e1", 10, None)), 1);
    assert_eq!((changed(&world, &step(4, "e1")), changed(&world, &step(5, "e0"))), (0, 0));
    assert_eq!((changed(&world, &step(5, "e1")), changed(&world, &step(5, "e1"))), (1, 0));
    assert_eq!((changed(&world, &recovery("e1")), changed(&world, &recovery("e1"))), (1, 0));
    let give_back = |event: &str| sql::RETURN_CODE_TRY.bind([text(&tenant), text(&user), text(event)]);
    assert_eq!(changed(&world, &reserve("e2", 20, None)), 1);
    assert_eq!((changed(&world, &give_back("e1")), changed(&world, &give_back("e2"))), (0, 0), "not its own");
    assert_eq!(
        (changed(&world, &reserve("e3", 30, None)), changed(&world, &reserve("e4", 1009, None))),
        (1, 0)
    );
    assert_eq!(changed(&world, &reserve("e4", 1010, None)), 1, "another window");
    let challenge = |digest: &str| {
        let session = 0.into();
        sql::INSERT_CHALLENGE.bind([
            text(&tenant),
            text(&user),
            text(digest),
            50.into(),
            session,
            sql::understood(),
        ])
    };
    let tried = |digest: &str, now: i64, event: &str| {
        sql::COUNT_CHALLENGE_TRY.bind([text(&tenant), text(digest), now.into(), text(event), 2.into()])
    };
    assert_eq!((changed(&world, &challenge("one")), changed(&world, &challenge("two"))), (1, 1));
    assert_eq!((changed(&world, &tried("one", 9, "e5")), changed(&world, &tried("two", 50, "e5"))), (0, 0));
    assert_eq!(changed(&world, &tried("two", 49, "e5")), 1);
    assert_eq!(changed(&world, &reserve("e6", 1020, Some("two"))), 0, "counted under another event");
    assert_eq!(changed(&world, &reserve("e5", 1020, Some("two"))), 1);
    let use_up =
        |event: &str| sql::USE_UP_CHALLENGE.bind([text(&tenant), text("two"), 49.into(), text(event)]);
    assert_eq!(changed(&world, &use_up("e5")), 0, "nothing was shown");
    assert_eq!(changed(&world, &step(6, "e5")), 1);
    assert_eq!((changed(&world, &use_up("e4")), changed(&world, &use_up("e5"))), (0, 1));
    assert_eq!((changed(&world, &use_up("e5")), changed(&world, &tried("two", 49, "e7"))), (0, 0));
}

#[test]
fn a_device_is_put_by_a_claim_and_shown_while_it_is_good() {
    let world = World::new();
    let acme = world.tenant("acme");
    let text = |value: &str| Param::from(value);
    let (tenant, user) = (acme.id().to_string(), acme.user("ada").to_string());
    let run = |text: &str| world.memory().db.borrow().execute_batch(text).unwrap();
    run(&format!(
        "insert into authenticators (tenant, user, id, seed, last_step, claimed_by)
         values ('{tenant}', '{user}', 'a', 's', 4, 'e1');
         insert into families (id, tenant, user, generation, created_at, rotated_at, idle_deadline,
                               absolute_deadline, session_epoch, amr, auth_time, used_at)
         values ('sid', '{tenant}', '{user}', 1, 1, 1, 9, 9, 0, '[]', 1, 1);
         update tenants set device_days = 1"
    ));
    let put = |event: &str, sid: &str| {
        let (now, expiry) = (1000.into(), 90_000_000.into());
        sql::INSERT_DEVICE.bind([
            text(&tenant),
            text(&user),
            text("d"),
            now,
            expiry,
            text("Lynx"),
            text(event),
            text(sid),
        ])
    };
    assert_eq!((changed(&world, &put("e2", "sid")), changed(&world, &put("e1", "none"))), (0, 0));
    assert_eq!(changed(&world, &put("e1", "sid")), 1);
    let claim = |user: &str, digest: &str, now: i64, event: &str| {
        sql::CLAIM_DEVICE.bind([text(&tenant), text(user), text(digest), now.into(), text(event)])
    };
    assert_eq!(
        (changed(&world, &claim(&user, "x", 2000, "e3")), changed(&world, &claim("x", "d", 2000, "e3"))),
        (0, 0)
    );
    assert_eq!(changed(&world, &claim(&user, "d", 2000, "e3")), 1);
    let claimed = |event: &str| {
        let found = world.memory().run(&crate::platform::Statement {
            sql: "select event from claims where event = ?1",
            params: vec![text(event)],
        });
        found.len()
    };
    assert_eq!((claimed("e3"), claimed("e1"), claimed("e4")), (1, 1, 0));
    let last = 1000 + 86_400_000;
    for (change, back, good) in [
        ("select 1", "select 1", 1),
        ("update users set access_epoch = 1", "update users set access_epoch = 0", 0),
        ("update users set status = 'suspended'", "update users set status = 'active'", 0),
        ("update tenants set device_days = 0", "update tenants set device_days = 1", 0),
        ("update devices set life = 'x'", "update devices set life = (select incarnation from shard)", 0),
        ("update authenticators set user = 'x'", "update authenticators set user = '{user}'", 0),
    ] {
        run(change);
        assert_eq!(changed(&world, &claim(&user, "d", last - 1, "e4")), good, "{change}");
        run(&back.replace("{user}", &user));
    }
    assert_eq!(changed(&world, &claim(&user, "d", last, "e4")), 0, "the tenant's day is over");
    let forget = |digest: Option<&str>| sql::FORGET_DEVICES.bind([text(&tenant), text(&user), digest.into()]);
    assert_eq!((changed(&world, &forget(Some("x"))), changed(&world, &forget(Some("d")))), (0, 1));
    assert_eq!((changed(&world, &forget(None)), changed(&world, &claim(&user, "d", 2000, "e5"))), (0, 0));
}

#[test]
fn a_legacy_token_gets_one_family_if_its_user_is_as_they_were_imported() {
    let world = World::new();
    let acme = world.tenant("acme");
    let user = acme.user("ada").to_string();
    let text = |value: &str| Param::from(value);
    let (tenant, sid) = (acme.id().to_string(), SessionId::new(0, [7; 16]).to_string());
    let run = |text: &str| world.memory().db.borrow().execute_batch(text).unwrap();
    for hash in ["user", "token"] {
        run(&format!("insert into identifiers values ('{tenant}', '{hash}', '{user}', 1, 1, 1, null)"));
    }
    let insert = |listed: Option<&str>, rev: i64| {
        sql::INSERT_LEGACY_FAMILY.bind([
            text(&sid),
            text(&tenant),
            text("user"),
            listed.into(),
            1000.into(),
            9000.into(),
            9000.into(),
            50_000.into(),
            text("made"),
            1.into(),
            rev.into(),
            text("[]"),
            sql::understood(),
            None::<&str>.into(),
            None::<&str>.into(),
            Some(500).into(),
        ])
    };
    let refused = |why: &str| assert_eq!(changed(&world, &insert(None, 1)), 0, "{why}");
    assert_eq!(changed(&world, &insert(Some("another"), 1)), 0, "not on the list");
    assert_eq!(changed(&world, &insert(None, 0)), 0, "an outdated document");
    run("update users set status = 'suspended'");
    refused("suspended");
    run("update users set status = 'active', session_epoch = 1");
    refused("sessions ended");
    run("update users set session_epoch = 0");
    run("update tenants set status = 'suspended'");
    refused("suspended tenant");
    run("update tenants set status = 'active'");
    let over = sql::END_LEGACY.bind([text(&tenant), text(&user), 1000.into()]);
    // The user, its entry in the feed, and the number of entries of the tenant.
    assert_eq!((changed(&world, &over), changed(&world, &over)), (4, 0));
    refused("signed out everywhere");
    run("update users set legacy_over = 0, password_due = 'must', password_changed_at = 501");
    refused("a new password is owed");
    for too_old in ["500", "null"] {
        run(&format!("update users set password_due = null, password_changed_at = {too_old}"));
        refused("the password is too old");
    }
    run("update users set password_changed_at = 501");
    assert_eq!((changed(&world, &insert(Some("token"), 1)), changed(&world, &insert(None, 9))), (1, 0));
    let record = |event: &str| sql::RECORD_EXCHANGE.bind([text(event), 1000.into(), text(&sid)]);
    assert_eq!((changed(&world, &record("another")), changed(&world, &record("made"))), (0, 1));
    run("update families set ended_at = 2000");
    assert_eq!(changed(&world, &insert(None, 1)), 0, "ended is not gone");
    let clean = |statement: sql::Sql, before: i64| statement.bind([before.into(), 1000.into()]);
    for statement in [sql::CLEAN_ENDED_FAMILIES, sql::CLEAN_EXPIRED_FAMILIES, sql::CLEAN_IDLE_FAMILIES] {
        assert_eq!(changed(&world, &clean(statement, 50_000)), 0, "the token may come again");
    }
    for statement in [sql::CLEAN_ENDED_FAMILIES, sql::CLEAN_EXPIRED_FAMILIES, sql::CLEAN_IDLE_FAMILIES] {
        run("savepoint before");
        assert_eq!(changed(&world, &clean(statement, 50_001)), 1);
        run("rollback to before; release before");
    }
}

#[test]
fn what_ends_or_changes_is_in_the_feed_by_trigger() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.sign_in("ada");
    let count = |kind: &str| {
        let feed = world.memory().run(&sql::FEED_AFTER.bind([0.into(), 1000.into()]));
        feed.iter().filter(|row| row["kind"] == kind).count()
    };
    assert_eq!((count("document"), count("name"), count("user"), count("family")), (1, 2, 0, 0));
    let run = |text: &str| world.memory().db.borrow().execute_batch(text).unwrap();
    run("update users set status = 'suspended'");
    run("update users set status = 'suspended'");
    run("update users set access_epoch = 5");
    assert_eq!(count("user"), 2);
    run("update families set rotated_at = 5");
    run("update families set ended_at = 5");
    run("update families set ended_at = 6");
    assert_eq!(count("family"), 1);
    run("update tenants set rev = 9");
    run("update tenants set kv_rev = 9");
    assert_eq!(count("document"), 2);
    run("update names set tenant = null where name = 'slug:acme'");
    assert_eq!(count("name"), 3);
    let shard = world.memory().run(&sql::SHARD.bind([]));
    assert_eq!(shard[0]["head"], 8);
}
