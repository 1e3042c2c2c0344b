//! Data of sessions at the edge and in facts for control: clients, last uses, timeouts of roles, the limit of
//! sessions, and ends that control pushes.

use serde_json::{Value, json};
use shared::ids::{SessionId, UserId};
use shared::tenant::role_timeout::RoleTimeout;
use shared::wire::facts::{DrainIn, DrainOut};
use shared::wire::push::{Command, Push, SessionOut, SessionsOut, UserRow};
use shared::wire::signature::Tag;

use super::browser::{self, Browser};
use super::fixture::{Actor, PASSWORD, START_MS, Tokens, World, claims, message, settings};

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

fn sid(tokens: &Tokens) -> SessionId {
    SessionId::parse(claims(&tokens.refresh)["sid"].as_str().unwrap()).unwrap()
}

fn listed(acme: &Actor, name: &str) -> Vec<SessionOut> {
    let command = Command::Sessions { tenant: acme.id(), user: acme.user_id(name) };
    let answer = acme.world.signed("/internal/v1/command", Tag::Command, &command).expect(200);
    serde_json::from_str::<SessionsOut>(&answer.text).unwrap().sessions
}

/// Signs in as a client that the runtime knows the place of.
fn sign_in_from(acme: &Actor, agent: &str, place: [&str; 2]) -> Tokens {
    let body = json!({"username": "ada", "password": PASSWORD});
    let mut request = acme.request("POST", "/api/token/").json(&body).header("user-agent", agent);
    request.place = place.map(|text| Some(text.to_owned()));
    let answer = acme.world.send(request).expect(200);
    Tokens { access: answer.text("access"), refresh: answer.text("refresh") }
}

/// Everything that the database holds, as text.
fn contents(world: &World) -> String {
    let db = world.memory().db.borrow();
    let tables = "select name from sqlite_master where type = 'table'";
    let mut names = db.prepare(tables).unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut text = String::new();
    for name in names {
        let mut rows = db.prepare(&format!("select * from {name}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                text.push_str(&format!("{:?} ", row.get_ref(column).unwrap()));
                if let Ok(Some(cell)) = row.get::<_, Option<String>>(column) {
                    text.push_str(&cell);
                }
            }
        }
    }
    text
}

fn end_pushed(acme: &Actor, session: SessionId, owner: Option<UserId>) {
    let session_owners = owner.map(|owner| (session, owner)).into_iter().collect();
    acme.world
        .push(&Push { ended_sessions: vec![session], session_owners, ..message(acme.id()) })
        .expect(200);
}

#[test]
fn a_list_of_sessions_tells_device_and_place_and_costs_one_storage_call() {
    let (world, acme) = acme();
    let tokens = sign_in_from(&acme, AGENT, ["PT", "Lisboa"]);
    world.advance(1000);
    acme.sign_in("ada");
    let command = Command::Sessions { tenant: acme.id(), user: acme.user_id("ada") };
    let before = world.memory().batches.get();
    let answer = world.signed("/internal/v1/command", Tag::Command, &command).expect(200);
    assert_eq!(world.memory().batches.get() - before, 1);
    let born = START_MS;
    let listed_rows = answer.json();
    let [plain, known] = &listed_rows["sessions"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!(
        *known,
        json!({
            "sid": sid(&tokens), "created_at": born, "rotated_at": born, "used_at": born,
            "expires_at": born + 86_400_000, "absolute_deadline": born + 30 * 86_400_000, "amr": ["pwd"],
            "auth_time": born, "client": {"agent": AGENT, "country": "PT", "city": "Lisboa"},
        })
    );
    assert_eq!(plain.get("client"), None, "nothing was told of it");
    assert_eq!(listed(&acme, "ada").len(), 2);
}

#[test]
fn the_client_rests_sealed_for_this_edge_and_its_session() {
    let (world, acme) = acme();
    let (one, other) = (
        sign_in_from(&acme, &format!("{AGENT} {}", "x".repeat(300)), ["PT", "Lisboa"]),
        sign_in_from(&acme, "curl/8.5.0", ["XX", ""]),
    );
    let agent = |session: SessionId| {
        let listed = listed(&acme, "ada");
        listed.into_iter().find(|row| row.sid == session).unwrap().client.agent
    };
    assert_eq!(agent(sid(&one)).unwrap().len(), 256);
    let text = contents(&world);
    assert!(text.contains(&sid(&one).to_string()));
    for told in ["Firefox", "Mozilla", "curl", "Lisboa", "\"PT\""] {
        assert!(!text.contains(told), "{told}");
    }
    // A value that was moved to another session does not open.
    let swap = "update families set client = (select client from families where id = ?1) where id = ?2";
    world.memory().db.borrow().execute(swap, [sid(&one).to_string(), sid(&other).to_string()]).unwrap();
    assert_eq!((agent(sid(&other)), agent(sid(&one)).is_some()), (None, true));
}

#[test]
fn another_key_of_the_edge_leaves_the_list_without_devices() {
    let (world, acme) = acme();
    sign_in_from(&acme, AGENT, ["PT", "Lisboa"]);
    let (tenant, user) = (acme.id(), acme.user_id("ada"));
    drop(acme);
    let edge_keys = vec![super::fixture::second_edge_key()];
    let world = world.redeployed(crate::settings::Settings { edge_keys, ..settings() });
    let command = Command::Sessions { tenant, user };
    let answer = world.signed("/internal/v1/command", Tag::Command, &command).expect(200).json();
    assert_eq!(
        (answer["sessions"].as_array().unwrap().len(), &answer["sessions"][0]["client"]),
        (1, &Value::Null)
    );
}

#[test]
fn the_fact_of_a_sign_in_tells_control_of_the_client() {
    let (world, acme) = acme();
    sign_in_from(&acme, AGENT, ["PT", "Lisboa"]);
    acme.sign_in("ada");
    let drain = DrainIn { shard: 0, acknowledge: None, limit: 500 };
    let answer = world.signed("/internal/v1/drain", Tag::Drain, &drain).expect(200);
    let facts = serde_json::from_str::<DrainOut>(&answer.text).unwrap().facts;
    let told: Vec<_> = facts.iter().map(|fact| fact.more.get("client").cloned()).collect();
    assert_eq!(told, [Some(json!({"agent": AGENT, "country": "PT", "city": "Lisboa"})), None]);
}

#[test]
fn the_last_use_moves_with_rotation_and_renewal() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    world.advance(60_000);
    acme.validate(&tokens.access).expect(200);
    assert_eq!(listed(&acme, "ada")[0].used_at, Some(START_MS), "validation writes nothing");
    let tokens = acme.refreshed(&tokens.refresh);
    assert_eq!(listed(&acme, "ada")[0].used_at, Some(START_MS + 60_000));
    world.advance(60_000);
    acme.post("/api/token/verify/", &json!({"token": tokens.refresh})).expect(200);
    assert_eq!(listed(&acme, "ada")[0].used_at, Some(START_MS + 60_000));

    let (world, acme) = browser::acme();
    let mut browser = Browser::signed_in(&acme, "ada");
    for (ms, used) in [(600_000, 0), (3_600_000, 4_200_000)] {
        world.advance(ms);
        browser.send(browser.request("GET", "/api/user/me/")).expect(200);
        let row = &listed(&acme, "ada")[0];
        assert_eq!((row.used_at, row.rotated_at), (Some(START_MS + used), START_MS));
    }
}

#[test]
fn a_session_that_lacks_the_factor_that_is_demanded_is_not_listed() {
    let (world, acme) = acme();
    acme.sign_in("ada");
    acme.edit(|tenant| {
        tenant.settings.second_factor_roles = vec!["*".into()];
        // Five seconds after `START_MS`.
        tenant.settings.second_factor_from = Some("2027-01-15T08:00:05Z".parse().unwrap());
    });
    assert_eq!(listed(&acme, "ada").len(), 1);
    world.advance(5000);
    assert_eq!(listed(&acme, "ada").len(), 0);
}

fn timeouts(acme: &Actor, texts: &[&str]) {
    let timeouts = texts.iter().map(|text| RoleTimeout::parse(text).unwrap()).collect();
    acme.edit(|tenant| tenant.settings.role_timeouts = timeouts);
}

fn deadlines(acme: &Actor) -> (u64, u64) {
    let row = &listed(acme, "ada")[0];
    ((row.expires_at - row.created_at) / 1000, (row.absolute_deadline.unwrap() - row.created_at) / 1000)
}

#[test]
fn the_tightest_timeout_of_a_users_roles_counts_at_birth() {
    for (roles, expected) in [
        (&["client"][..], (86_400, 2_592_000)),
        (&["staff"], (900, 2_592_000)),
        (&["staff", "auditor"], (600, 3600)),
        (&["auditor"], (600, 3600)),
        // No rule loosens what the tenant sets for all.
        (&["guest"], (86_400, 2_592_000)),
    ] {
        let (_, acme) = acme();
        timeouts(
            &acme,
            &[
                "staff.idle_secs=900",
                "auditor.idle_secs=600",
                "auditor.absolute_secs=3600",
                "guest.idle_secs=31536000",
                "guest.absolute_secs=31536000",
            ],
        );
        acme.change("ada", |row| row.roles = roles.iter().map(|role| (*role).to_owned()).collect());
        let tokens = acme.sign_in("ada");
        assert_eq!(deadlines(&acme), expected, "{roles:?}");
        let claims = claims(&tokens.refresh);
        let lives = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(lives, expected.0, "the refresh token says so");
    }
}

#[test]
fn a_tighter_timeout_ends_sessions_that_live_by_the_clock() {
    let (world, acme) = acme();
    acme.change("ada", |row| row.roles = vec!["staff".into()]);
    let (idle, mut used) = (acme.sign_in("ada"), acme.sign_in("ada"));
    world.advance(700_000);
    used = acme.refreshed(&used.refresh);
    // 700 s after the sign-in of both.
    timeouts(&acme, &["staff.idle_secs=600", "staff.absolute_secs=1800"]);
    assert_eq!(acme.refresh(&idle.refresh).expect(401).text("detail"), "Token is expired");
    acme.post("/api/token/verify/", &json!({"token": idle.refresh})).expect(401);
    assert_eq!(listed(&acme, "ada").len(), 1);
    for _ in 0..2 {
        world.advance(500_000);
        used = acme.refreshed(&used.refresh);
    }
    let claims = claims(&used.refresh);
    assert_eq!(claims["exp"].as_u64().unwrap(), START_MS / 1000 + 1800, "the absolute one is near");
    world.advance(100_000);
    assert_eq!(acme.refresh(&used.refresh).expect(401).text("detail"), "Token is expired");
    // A user of another role is as before.
    acme.user("bob");
    acme.change("bob", |row| row.roles = vec!["client".into()]);
    let bob = acme.sign_in("bob");
    world.advance(3_600_000);
    acme.refreshed(&bob.refresh);
}

#[test]
fn a_role_that_comes_brings_its_timeout_and_one_that_goes_takes_it_away() {
    let (world, acme) = acme();
    timeouts(&acme, &["staff.idle_secs=600"]);
    acme.change("ada", |row| row.roles = vec!["client".into()]);
    let tokens = acme.sign_in("ada");
    world.advance(600_000);
    acme.change("ada", |row| row.roles = vec!["client".into(), "staff".into()]);
    acme.refresh(&tokens.refresh).expect(401);
    acme.change("ada", |row| row.roles = vec!["client".into()]);
    acme.refreshed(&tokens.refresh);
}

#[test]
fn silent_renewal_keeps_to_the_timeouts_of_roles() {
    let (world, acme) = browser::acme();
    acme.change("ada", |row| row.roles = vec!["staff".into()]);
    timeouts(&acme, &["staff.idle_secs=900", "staff.absolute_secs=7200"]);
    let mut browser = Browser::signed_in(&acme, "ada");
    // A page that asks every eight minutes keeps the session, up to two hours.
    for step in 1..=16 {
        world.advance(480_000);
        let status = browser.send(browser.request("GET", "/api/user/me/")).status;
        assert_eq!(status, if step < 15 { 200 } else { 401 }, "step {step}");
    }
    let mut browser = Browser::signed_in(&acme, "ada");
    world.advance(900_000);
    browser.send(browser.request("GET", "/api/user/me/")).expect(401);
    // One that was tightened meanwhile is past, although the session's own deadline is not.
    for tighter in ["staff.idle_secs=600", "staff.absolute_secs=600"] {
        timeouts(&acme, &["staff.idle_secs=900"]);
        let mut browser = Browser::signed_in(&acme, "ada");
        timeouts(&acme, &[tighter]);
        world.advance(700_000);
        browser.send(browser.request("GET", "/api/user/me/")).expect(401);
    }
}

#[test]
fn a_tenant_limits_how_many_sessions_a_user_has() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.settings.max_sessions = 3);
    let mut sessions: Vec<_> = (0..3)
        .map(|_| {
            world.advance(1000);
            acme.sign_in("ada")
        })
        .collect();
    world.advance(1000);
    sessions[0] = acme.refreshed(&sessions[0].refresh);
    world.advance(1000);
    let fourth = acme.sign_in("ada");
    assert_eq!(listed(&acme, "ada").len(), 3);
    acme.refresh(&sessions[1].refresh).expect(401);
    for living in [&sessions[0], &sessions[2], &fourth] {
        acme.refresh(&living.refresh).expect(200);
    }
    // A lower limit ends the others at the next sign-in, and one fact says how many.
    acme.edit(|tenant| tenant.settings.max_sessions = 1);
    let last = acme.sign_in("ada");
    assert_eq!(listed(&acme, "ada").iter().map(|row| row.sid).collect::<Vec<_>>(), [sid(&last)]);
    let drain = DrainIn { shard: 0, acknowledge: None, limit: 500 };
    let answer = world.signed("/internal/v1/drain", Tag::Drain, &drain).expect(200);
    let facts = serde_json::from_str::<DrainOut>(&answer.text).unwrap().facts;
    let evicted: Vec<_> =
        facts.iter().filter(|fact| fact.kind.as_str() == "session_evicted").map(|fact| fact.count).collect();
    assert_eq!(evicted, [1, 3]);
}

#[test]
fn a_pushed_end_ends_a_session_of_its_owner_alone() {
    let (world, acme) = acme();
    let bob = acme.user("bob");
    let (adas, bobs) = (acme.sign_in("ada"), acme.sign_in("bob"));
    end_pushed(&acme, sid(&bobs), Some(acme.user_id("ada")));
    let bobs = acme.refreshed(&bobs.refresh);
    let beta = world.tenant("beta");
    end_pushed(&beta, sid(&bobs), Some(bob));
    let bobs = acme.refreshed(&bobs.refresh);
    for _ in 0..2 {
        end_pushed(&acme, sid(&bobs), Some(bob));
        assert_eq!(acme.refresh(&bobs.refresh).expect(401).text("detail"), "Token is blacklisted");
    }
    // A control of the release before names no owner.
    end_pushed(&acme, sid(&adas), None);
    acme.refresh(&adas.refresh).expect(401);
}

#[test]
fn the_isolate_that_takes_a_push_refuses_what_it_ended_at_once() {
    let (world, acme) = acme();
    let (ended, kept) = (acme.sign_in("ada"), acme.sign_in("ada"));
    for tokens in [&ended, &kept] {
        acme.validate(&tokens.access).expect(200);
    }
    let end = Push {
        ended_sessions: vec![sid(&ended)],
        session_owners: [(sid(&ended), acme.user_id("ada"))].into(),
        ..message(acme.id())
    };
    world.push_here(&end).expect(200);
    assert_eq!(acme.validate(&ended.access).expect(401).text("detail"), "Token is blacklisted");
    acme.validate(&kept.access).expect(200);
    let row = UserRow { access_epoch: 1, ..acme.user_row("ada") };
    world.push_here(&Push { users: vec![row.into()], ..message(acme.id()) }).expect(200);
    acme.validate(&kept.access).expect(401);
    // A user that is not in the feed costs the next request no read.
    let bob = UserRow { id: UserId::new(77, [7; 10]), verifier: None, ..acme.user_row("ada") };
    world.push_here(&Push { users: vec![bob.into()], ..message(acme.id()) }).expect(200);
    let before = world.memory().batches.get();
    acme.validate(&kept.access).expect(401);
    assert_eq!(world.memory().batches.get() - before, 0);
}
