//! A tenant's session root changes: step by step and without ending a session, or at once.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use control::audit::Actor;
use control::control::Control;
use control::edges::pusher;
use control::sessions::rotate::{self, RootError};
use control::settings::load_from;
use serde_json::{Value, json};
use shared::ids::TenantId;
use shared::tenant::Tenant;
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};
use sqlx::AssertSqlSafe;

use crate::scale::{Chance, scaled};
use crate::scene::{Scene, key};

impl Scene {
    /// Versions and times of the session roots in the edge's document, which open there.
    fn edge_roots(&self) -> Vec<(u32, Option<u64>)> {
        roots(&self.edge.state().documents[&self.tenant.id])
    }

    async fn advance_root(&self) {
        rotate::advance(&self.control, self.tenant.id).await.unwrap();
    }

    fn root_status(&self) -> Value {
        self.cli().run(&["session-root", "status", self.tenant.slug.as_str()], "").expect(0).json
    }

    fn now_secs(&self) -> u64 {
        u64::try_from(self.control.clock.now().timestamp()).unwrap()
    }

    /// The epochs: the restore counter, and the counters of every user.
    async fn epochs(&self) -> (i64, Vec<(i64, i64)>) {
        let epochs =
            format!("select access_epoch, session_epoch from {}.users order by id", self.tenant.cell);
        let mut admin = self.database.admin().await;
        let users = sqlx::query_as(AssertSqlSafe(epochs)).fetch_all(&mut admin).await.unwrap();
        let history = "select history from platform.revisions where tenant_id = $1";
        let history = sqlx::query_scalar(history).bind(self.tenant.id.uuid()).fetch_one(&mut admin).await;
        (history.unwrap(), users)
    }

    /// Versions of the session roots that are stored.
    async fn stored_roots(&self) -> Vec<i32> {
        let versions =
            "select version from platform.roots where tenant_id = $1 and kind = 'session' order by 1";
        sqlx::query_scalar(versions)
            .bind(self.tenant.id.uuid())
            .fetch_all(&mut self.database.admin().await)
            .await
            .unwrap()
    }
}

fn roots(document: &Tenant) -> Vec<(u32, Option<u64>)> {
    let edge = [EdgeKey::parse(&key("a", 1)).unwrap()];
    let open = |root: &shared::tenant::SessionRoot| {
        let subject = root.version.to_string();
        let context =
            Context { edge: "edge-test", tenant: document.id, kind: Kind::SessionRoot, subject: &subject };
        Sealed::parse(&root.sealed).unwrap().open(&edge, &context).unwrap();
        (root.version, root.sign_from)
    };
    document.session_roots.iter().map(open).collect()
}

#[tokio::test]
async fn a_rotation_publishes_waits_switches_and_cleans_up() {
    let scene = Scene::new().await;
    scene.member("ada", "root-admin").await;
    scene.push().await;
    let (before, slug) = (scene.epochs().await, scene.tenant.slug.to_string());
    assert_eq!(scene.edge_roots(), [(1, None)]);
    let begun = scene.cli().run(&["session-root", "rotate", &slug], "").expect(0).json;
    assert_eq!((&begun["state"], &begun["version"]), (&json!("begun"), &json!(2)));
    let again = scene.cli().run(&["session-root", "rotate", &slug], "").expect(5);
    assert!(again.stderr.contains("the edge has yet to confirm it"), "{}", again.stderr);

    // Nothing continues before the edge has it.
    scene.control.clock.advance(TimeDelta::days(2));
    scene.advance_root().await;
    assert_eq!(scene.root_status()["state"], "begun");
    scene.push().await;
    assert_eq!(scene.edge_roots(), [(1, None), (2, None)]);
    scene.advance_root().await;
    let sign_from = scene.now_secs() + 900 + 60;
    scene.push().await;
    let planned = scene.edge_roots()[1].1.unwrap();
    assert!((sign_from..sign_from + 5).contains(&planned), "staleness limit 900, margin 60");
    assert_eq!(scene.edge_roots()[0], (1, None));

    // Pushed again after the switch, the new one comes first.
    scene.advance_root().await;
    scene.control.clock.advance(TimeDelta::seconds(970));
    scene.advance_root().await;
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let rotation = control::sessions::root::rotation(&mut tx).await.unwrap().unwrap();
    let kept = rotation.remove_at.unwrap() - scene.control.clock.now();
    assert!((30 * 86_400 + 50..=30 * 86_400 + 60).contains(&kept.num_seconds()), "the absolute lifetime");
    tx.changes().document(scene.tenant.id, control::db::changes::Priority::InTurn);
    tx.commit().await.unwrap();
    scene.push().await;
    assert_eq!(scene.edge_roots(), [(2, Some(planned)), (1, None)]);
    let refused = scene.cli().run(&["session-root", "rotate", &slug], "").expect(5);
    assert!(refused.stderr.contains("the former root leaves at"), "{}", refused.stderr);

    scene.control.clock.advance(kept - TimeDelta::seconds(5));
    scene.advance_root().await;
    assert_eq!(scene.stored_roots().await, [1, 2]);
    scene.control.clock.advance(TimeDelta::seconds(6));
    scene.advance_root().await;
    scene.push().await;
    assert_eq!(scene.edge_roots(), [(2, None)]);
    assert_eq!(scene.stored_roots().await, [2]);
    assert_eq!(scene.epochs().await, before, "nobody is signed out");
    let logged: Vec<_> =
        scene.logged().await.into_iter().filter(|action| action.starts_with("session_root")).collect();
    let steps = ["begun", "planned", "switched", "removed"].map(|step| format!("session_root.{step}"));
    assert_eq!(logged, steps);
    // And once more.
    scene.cli().run(&["session-root", "rotate", &slug], "").expect(0);
    scene.push().await;
    assert_eq!(scene.edge_roots(), [(2, None), (3, None)]);
}

#[tokio::test]
async fn an_edge_that_learns_late_keeps_the_former_root_longer() {
    let scene = Scene::new().await;
    scene.push().await;
    begin(&scene).await.unwrap();
    scene.push().await;
    scene.advance_root().await;
    // The edge is away for a week, and signs with the former root for that long.
    scene.control.clock.advance(TimeDelta::days(7));
    scene.advance_root().await;
    assert_eq!(scene.root_status()["rotation"]["remove_at"], Value::Null);
    scene.push().await;
    scene.advance_root().await;
    let remove_at = remove_at(&scene);
    assert!(remove_at > scene.control.clock.now() + TimeDelta::days(30));
}

#[tokio::test]
async fn sessions_of_settings_before_outlive_no_root() {
    let scene = Scene::alone().await;
    let edit = |secs: u64| {
        let set = format!("absolute_secs={secs}");
        scene.cli().run(&["tenant", "edit", scene.tenant.slug.as_str(), "--set", &set], "").expect(0);
    };
    edit(200 * 86_400);
    edit(86_400);
    scene.push().await;
    begin(&scene).await.unwrap();
    scene.push().await;
    scene.advance_root().await;
    scene.push().await;
    scene.control.clock.advance(TimeDelta::seconds(1000));
    scene.advance_root().await;
    assert!(remove_at(&scene) > scene.control.clock.now() + TimeDelta::days(200));
}

fn remove_at(scene: &Scene) -> DateTime<Utc> {
    let status = scene.root_status();
    let text = status["rotation"]["remove_at"].as_str().unwrap_or_else(|| panic!("{status}"));
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

async fn begin(scene: &Scene) -> Result<(), RootError> {
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    rotate::begin(&scene.control, &mut tx, &Actor::operator()).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn of_two_who_begin_at_once_one_does() {
    let scene = Scene::new().await;
    let (first, second) = tokio::join!(begin(&scene), begin(&scene));
    assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1, "{first:?} {second:?}");
    assert_eq!(scene.stored_roots().await, [1, 2]);
    scene.push().await;
    // Two controls that carry it on do each step once.
    let twice = async || tokio::join!(scene.advance_root(), scene.advance_root());
    twice().await;
    scene.push().await;
    scene.control.clock.advance(TimeDelta::seconds(1000));
    twice().await;
    scene.control.clock.advance(TimeDelta::days(31));
    twice().await;
    assert_eq!(scene.stored_roots().await, [2]);
    let logged = scene.logged().await;
    assert_eq!(logged.iter().filter(|action| action.starts_with("session_root")).count(), 4, "{logged:?}");
}

#[tokio::test]
async fn a_root_in_wrong_hands_is_replaced_at_once_and_every_session_ends() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    scene.push().await;
    begin(&scene).await.unwrap();
    scene.push().await;
    let (slug, (history, users)) = (scene.tenant.slug.to_string(), scene.epochs().await);
    let rotate = ["session-root", "rotate", &slug, "--ends-sessions"];
    let asked = scene.cli().run(&rotate, "").expect(5);
    assert!(
        asked.stderr.contains("ends every session") && asked.stderr.contains("--yes"),
        "{}",
        asked.stderr
    );
    assert_eq!(scene.stored_roots().await, [1, 2]);
    ada.get("/api/user/me/").await.expect(200);

    let done = scene.cli().run(&[&rotate[..], &["--yes"]].concat(), "").expect(0).json;
    assert_eq!((&done["state"], &done["version"]), (&json!("one"), &json!(3)));
    assert_eq!(scene.stored_roots().await, [3]);
    // The floor of all epochs: no user's row had to change.
    assert_eq!(scene.epochs().await, (history + 1, users));
    ada.get("/api/user/me/").await.expect(401);
    let sent = scene.edge.state().taken.len();
    scene.push().await;
    assert_eq!(scene.edge_roots(), [(3, None)]);
    {
        let state = scene.edge.state();
        assert_eq!(state.documents[&scene.tenant.id].history, history + 1);
        assert!(state.taken[sent].document.is_some(), "the document goes first");
    }
    assert_eq!(scene.count_logged("session_root.replaced").await, 1);
    // It begins again like any other.
    scene.advance_root().await;
    begin(&scene).await.unwrap();
}

/// The process of [`killed_at_random_moments_every_rotation_ends`]: it continues changes and pushes until it is
/// killed. As a test of its own it does nothing.
#[tokio::test]
async fn carries_on_until_killed() {
    let Ok(told) = std::env::var("WARDGATE_TEST_CARRY_ON") else { return };
    let told: Value = serde_json::from_str(&told).unwrap();
    let variables: BTreeMap<String, String> = serde_json::from_value(told["variables"].clone()).unwrap();
    let control: Control =
        control::control::new(load_from(None, |name| variables.get(name).cloned()).unwrap()).unwrap();
    control.clock.advance(TimeDelta::milliseconds(told["ahead_ms"].as_i64().unwrap()));
    let tenant = TenantId::parse(told["tenant"].as_str().unwrap()).unwrap();
    loop {
        // Connections end under it, too.
        let _ = rotate::advance_all(&control).await;
        let _ = pusher::push_now(&control, tenant).await;
    }
}

fn carry_on(scene: &Scene, ahead: TimeDelta) -> Child {
    let told = json!({
        "variables": scene.cli().variables,
        "ahead_ms": ahead.num_milliseconds(),
        "tenant": scene.tenant.id,
    });
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "session_root::carries_on_until_killed"])
        .env("WARDGATE_TEST_CARRY_ON", told.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The invariant of two consecutive documents at the edge: a root is published before it signs, and a root that signs
/// is not removed.
fn follows(before: &Tenant, after: &Tenant, taken_at: u64) {
    let (before, after) = (roots(before), roots(after));
    let versions = |roots: &[(u32, Option<u64>)]| roots.iter().map(|root| root.0).collect::<Vec<_>>();
    for (version, sign_from) in &after {
        assert!(versions(&before).contains(version) || sign_from.is_none(), "{before:?} {after:?}");
    }
    for (version, _) in before.iter().filter(|(version, _)| !versions(&after).contains(version)) {
        let switched =
            before.iter().any(|(other, from)| other > version && from.is_some_and(|it| it <= taken_at));
        assert!(switched, "{before:?} {after:?}");
    }
    assert!(after.len() <= 2);
}

#[tokio::test]
async fn killed_at_random_moments_every_rotation_ends() {
    let kills: u32 = scaled(8, 20);
    let mut chance = Chance::new();
    let scene = Scene::alone().await;
    scene.member("ada", "root-admin").await;
    scene.push().await;
    let before = scene.epochs().await;
    let (mut ahead, mut seen) = (TimeDelta::zero(), scene.edge.state().documents[&scene.tenant.id].clone());
    for _ in 0..kills {
        let passes = [0, 1000, 31 * 86_400][usize::try_from(chance.between(0, 2)).unwrap()];
        let passes = TimeDelta::seconds(passes);
        ahead += passes;
        scene.control.clock.advance(passes);
        // Two controls, and an operator who begins the next one.
        let mut processes = vec![carry_on(&scene, ahead), carry_on(&scene, ahead)];
        let operator = Command::new(env!("CARGO_BIN_EXE_wardgate"))
            .args(["session-root", "rotate", scene.tenant.slug.as_str()])
            .env_clear()
            .envs(&scene.cli().variables)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        processes.push(operator.unwrap());
        tokio::time::sleep(Duration::from_millis(chance.between(50, 700).unsigned_abs())).await;
        if chance.between(0, 2) == 0 {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()";
            sqlx::query(cut).execute(&mut scene.database.admin().await).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(chance.between(0, 300).unsigned_abs())).await;
        for process in &mut processes {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        let stored = scene.stored_roots().await;
        assert!((1..=2).contains(&stored.len()), "{stored:?}");
        let (taken, now) = (std::mem::take(&mut scene.edge.state().taken), scene.now_secs());
        for row in taken.into_iter().filter_map(|push| push.document) {
            let document = (*row.document).clone().into_value();
            follows(&seen, &document, now);
            seen = document;
        }
    }
    // Without kills, the remaining work ends. The lease of the killed process expires first.
    scene.control.clock.advance(TimeDelta::seconds(60));
    for _ in 0..4 {
        rotate::advance_all(&scene.control).await.unwrap();
        scene.push().await;
        scene.control.clock.advance(TimeDelta::days(31));
    }
    let stored = scene.stored_roots().await;
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(scene.edge_roots(), [(u32::try_from(stored[0]).unwrap(), None)]);
    assert_eq!(scene.epochs().await, before, "nobody is signed out");
    let logged = scene.logged().await;
    let count =
        |step: &str| logged.iter().filter(|action| **action == format!("session_root.{step}")).count();
    let steps = ["begun", "planned", "switched", "removed"].map(count);
    eprintln!("{} rotations", steps[0]);
    assert!(steps.iter().all(|step| *step == steps[0]), "{steps:?}");
    assert_eq!(steps[0], usize::try_from(stored[0]).unwrap() - 1);
}
