//! Rotation of the edge's key-encryption key: everything is sealed again by ordinary pushes, and no user is signed
//! out.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use control::control::Control;
use control::edges::{pusher, reseal, seals};
use control::tenants::Isolation;
use serde_json::{Value, json};

use crate::edge::sealed_under;
use crate::jobs::Served;
use crate::scale::{Chance, scaled};
use crate::scene::{PASSWORD, Scene, key};

fn with_key(name: &str, fill: u8) -> Vec<(&'static str, String)> {
    vec![("WARDGATE_EDGE_KEK", key(name, fill))]
}

impl Scene {
    /// The same scene under a control that seals with another key.
    async fn sealing_with(mut self, name: &str, fill: u8) -> Self {
        let ahead = self.control.clock.clone();
        self.database.more = with_key(name, fill);
        let scene = self.restarted().await;
        scene.control.clock.advance(ahead.now() - scene.control.clock.now());
        scene
    }

    /// Under which keys the edge has what is sealed: how many rows of the tenant, by the key's name.
    fn edge_seals(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for name in self.newest_seals().into_values() {
            *counts.entry(name).or_default() += 1;
        }
        counts
    }

    /// The key of the newest revision of each row that the edge took, where it has something sealed.
    fn newest_seals(&self) -> BTreeMap<String, String> {
        let mut newest: BTreeMap<String, (i64, Option<String>)> = BTreeMap::new();
        for push in self.edge.state().taken.iter().filter(|push| push.tenant == self.tenant.id) {
            let sealed = sealed_under(push).into_iter().map(|(row, name)| (row, Some(name)));
            let bare = push.users.iter().filter(|user| user.verifier.is_none());
            let bare = bare.map(|user| ((user.id.to_string(), user.rev), None));
            for ((row, rev), name) in sealed.chain(bare) {
                let known = newest.entry(row).or_default();
                if rev > known.0 {
                    *known = (rev, name);
                }
            }
        }
        newest.into_iter().filter_map(|(row, (_, name))| Some((row, name?))).collect()
    }

    /// Everything that ends sessions, of every user that the edge has.
    async fn counters(&self) -> Vec<(i64, i64, i64)> {
        let counters = format!(
            "select access_epoch, session_epoch, r.history
             from {}.users u
             join platform.revisions r on r.tenant_id = u.tenant_id
             order by u.id",
            self.tenant.cell
        );
        let mut admin = self.database.admin().await;
        sqlx::query_as(sqlx::AssertSqlSafe(counters)).fetch_all(&mut admin).await.unwrap()
    }
}

/// A tenant in a database of its own with users who have passwords, all at the edge under the key `a`.
async fn sealed_scene(users: u32) -> Scene {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let captcha = json!({"site_key": "0x4AAA", "secret": "s3cret"});
    let path = format!("/api/tenant/tenants/{}/captcha/", scene.tenant.id);
    ada.call(reqwest::Method::PUT, &path, Some(captcha)).await.expect(200);
    for number in 0..users {
        let user = json!({"username": format!("user{number}"), "password": PASSWORD});
        ada.post("/api/user/users/", user).await.expect(201);
    }
    scene.push().await;
    scene.platform().await.push().await;
    assert_eq!(scene.edge_seals().keys().collect::<Vec<_>>(), ["a"]);
    scene
}

fn seal<'a>(seals: &'a Value, name: &str) -> Option<&'a Value> {
    seals["results"].as_array().unwrap().iter().find(|seal| seal["key"] == name)
}

#[tokio::test]
async fn everything_is_sealed_anew_under_the_new_key() {
    let scene = sealed_scene(3).await;
    let (counters, rows) = (scene.counters().await, scene.edge_seals()["a"]);
    let listed = scene.cli().run(&["edges", "seals"], "").expect(0).json;
    let under_a = seal(&listed, "a").unwrap();
    assert_eq!((&under_a["current"], &under_a["unconfirmed"]), (&json!(true), &json!(0)));

    // The edge has both keys now, then control seals with the new one.
    scene.edge.state().key_names = Some(vec!["a", "b"]);
    let scene = scene.sealing_with("b", 8).await;
    let listed = scene.cli().run(&["edges", "seals"], "").expect(0).json;
    assert_eq!(seal(&listed, "a").unwrap()["current"], false);
    let mut serve = Served::start(&scene);
    let cli = scene.cli();
    let reseal = tokio::task::spawn_blocking(move || cli.run(&["edges", "reseal"], ""));
    let done = reseal.await.unwrap().expect(0);
    assert!(done.stderr.contains("every tenant has confirmed"), "{}", done.stderr);
    assert!(seal(&done.json, "a").is_none(), "{}", done.json);
    assert_eq!(scene.edge_seals(), BTreeMap::from([("b".to_owned(), rows)]));
    assert_eq!(scene.counters().await, counters, "nobody is signed out");
    serve.kill();
    // Nothing is left to do, and a change is sealed under it from the start.
    assert_eq!(reseal::pass(&scene.control).await.unwrap(), reseal::Pass::default());
    scene.edge.state().key_names = Some(vec!["b"]);
    scene.member("bob", "staff").await;
    scene.push().await;
    assert_eq!(scene.platform().await.count_logged("edge.resealed").await, 1);
}

#[tokio::test]
async fn a_key_that_the_edge_lacks_touches_nothing() {
    let scene = sealed_scene(1).await;
    scene.edge.state().key_names = Some(vec!["a"]);
    let kept = scene.newest_seals();
    let scene = scene.sealing_with("b", 8).await;
    let cli = scene.cli();
    let refused = tokio::task::spawn_blocking(move || cli.run(&["edges", "reseal"], "")).await;
    let refused = refused.unwrap().expect(1);
    assert!(refused.stderr.contains("give it to the Worker first"), "{}", refused.stderr);
    // The job does nothing, because nothing was begun.
    reseal::go_on(&scene.control).await.unwrap();
    assert_eq!(scene.newest_seals(), kept);
    let listed = scene.cli().run(&["edges", "seals"], "").expect(0).json;
    assert_eq!(seal(&listed, "b").unwrap()["rows"], 1, "the document that was tried: {listed}");
    let status = scene.cli().run(&["edges", "status", "--behind"], "").expect(0).json;
    assert_eq!(status["results"].as_array().unwrap().len(), 1, "{status}");
    // Back to the former key: everything works as before.
    let scene = scene.sealing_with("a", 1).await;
    scene.platform().await.push().await;
    scene.member("bob", "staff").await;
    scene.push().await;
    assert_eq!(scene.edge_seals().keys().collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn no_revision_is_sent_under_two_keys() {
    let mut chance = Chance::new();
    let old = sealed_scene(4).await;
    let ada = old.member("eve", "root-admin").await;
    // Two controls, of which one was restarted with the new key; the edge loses answers.
    let new = old.clone().sealing_with("b", 8).await;
    let ahead = new.control.clock.now() - old.control.clock.now();
    old.control.clock.advance(ahead);
    let users: Vec<String> =
        old.newest_seals().into_keys().filter(|row| *row != old.tenant.id.to_string()).collect();
    for round in 0..scaled(20, 1000) {
        let user = &users[usize::try_from(chance.between(0, 3)).unwrap()];
        let (writer, pusher) = match chance.between(0, 3) {
            0 => (&old, &old),
            1 => (&old, &new),
            2 => (&new, &old),
            _ => (&new, &new),
        };
        let change = json!({"first_name": format!("n{round}"), "status": "active"});
        let path = format!("/api/user/users/{user}/");
        ada.at(writer).patch(&path, change).await.expect(200);
        let roles = if round % 2 == 0 { "staff" } else { "client" };
        ada.at(writer).patch(&path, json!({"roles": [roles]})).await.expect(200);
        old.edge.state().lose_push_answers = usize::try_from(chance.between(0, 1)).unwrap();
        let _ = pusher::push_now(&pusher.control, old.tenant.id).await;
        old.edge.state().lose_push_answers = 0;
    }
    old.push().await;
    new.push().await;
    let mut sealed: BTreeMap<(String, i64), String> = BTreeMap::new();
    for push in &old.edge.state().taken {
        for (row, name) in sealed_under(push) {
            let first = sealed.entry(row.clone()).or_insert_with(|| name.clone());
            assert_eq!(*first, name, "{row:?}");
        }
    }
    assert!(sealed.values().any(|name| name == "a") && sealed.values().any(|name| name == "b"));
    recorded_as_sealed(&new).await;
    // And the job of the one leaves the other's alone until it is asked to.
    let left = new.edge_seals();
    reseal::go_on(&old.control).await.unwrap();
    reseal::go_on(&new.control).await.unwrap();
    assert_eq!(new.edge_seals(), left);
}

/// Whether what the database says of each row's key is what the edge has.
async fn recorded_as_sealed(scene: &Scene) {
    let recorded: Vec<(String, String)> = sqlx::query_as(
        "select subject, sealed_by from platform.edge_rows where tenant_id = $1 and sealed_by is not null",
    )
    .bind(scene.tenant.id.uuid())
    .fetch_all(&mut scene.database.admin().await)
    .await
    .unwrap();
    let recorded: BTreeMap<_, _> = recorded.into_iter().collect();
    for (row, name) in scene.newest_seals() {
        assert_eq!(recorded[&row], name, "{row}");
    }
}

#[tokio::test]
async fn a_tenant_that_is_behind_is_not_buried() {
    let scene = sealed_scene(1).await;
    let scene = scene.sealing_with("b", 8).await;
    let behind = "update platform.revisions set rev = rev + 1001 where tenant_id = $1";
    sqlx::query(behind)
        .bind(scene.tenant.id.uuid())
        .execute(&mut scene.database.admin().await)
        .await
        .unwrap();
    let first = reseal::pass(&scene.control).await.unwrap();
    assert!(first.resealed > 0 && first.waiting > 0, "the platform's, and not the tenant's: {first:?}");
    assert_eq!(
        reseal::pass(&scene.control).await.unwrap(),
        reseal::Pass { resealed: 0, waiting: first.waiting }
    );
    scene.push().await;
    assert!(reseal::pass(&scene.control).await.unwrap().resealed > 0);
}

#[tokio::test]
async fn killed_at_random_moments_a_reseal_ends() {
    // An even number, so that the last key is `a`.
    let kills: u64 = scaled(6, 20);
    let mut chance = Chance::new();
    let mut scene = sealed_scene(8).await;
    for _ in 0..20 {
        scene.neighbour(Isolation::Shared).await.push().await;
    }
    let counters = scene.counters().await;
    let keys = [("b", 8), ("a", 1)];
    for round in 0..kills {
        let (name, fill) = keys[usize::try_from(round % 2).unwrap()];
        scene = scene.sealing_with(name, fill).await;
        // Two controls that serve, and an operator: all killed.
        let mut controls = [Served::start(&scene), Served::start(&scene)];
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardgate"))
            .args(["edges", "reseal"])
            .env_clear()
            .envs(&scene.cli().variables)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(chance.between(0, 900).unsigned_abs())).await;
        if chance.between(0, 2) == 0 {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()";
            sqlx::query(cut).execute(&mut scene.database.admin().await).await.unwrap();
        }
        let moment = chance.between(0, 300).unsigned_abs();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        command.kill().unwrap();
        command.wait().unwrap();
        controls.iter_mut().for_each(Served::kill);
        recorded_as_sealed_where_confirmed(&scene).await;
    }
    // The last key was `a`. The next run ends it.
    finish(&scene.control, &scene).await;
    let now = seals::all(&scene.control).await.unwrap();
    assert!(seals::is_done(&now), "{now:?}");
    assert_eq!(scene.edge_seals().keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(scene.counters().await, counters, "nobody is signed out");
}

/// The edge's word and the database's agree on every row that the edge has confirmed.
async fn recorded_as_sealed_where_confirmed(scene: &Scene) {
    let recorded: Vec<(String, String)> = sqlx::query_as(
        "select e.subject, e.sealed_by
         from platform.edge_rows e
         join platform.revisions r on r.tenant_id = e.tenant_id
         where e.tenant_id = $1 and e.sealed_by is not null and e.rev <= r.mark",
    )
    .bind(scene.tenant.id.uuid())
    .fetch_all(&mut scene.database.admin().await)
    .await
    .unwrap();
    let newest = scene.newest_seals();
    for (row, name) in recorded {
        assert!(newest.get(&row).is_none_or(|known| *known == name), "{row}");
    }
}

async fn finish(control: &Control, scene: &Scene) {
    // The leases of those who were killed.
    control.clock.advance(TimeDelta::seconds(60));
    reseal::begin(control, &control::audit::Actor::operator()).await.unwrap();
    let tenants: Vec<sqlx::types::Uuid> = sqlx::query_scalar("select tenant_id from platform.revisions")
        .fetch_all(&mut scene.database.admin().await)
        .await
        .unwrap();
    loop {
        let pass = reseal::pass(control).await.unwrap();
        for tenant in &tenants {
            pusher::push_now(control, (*tenant).into()).await.unwrap();
        }
        if pass == reseal::Pass::default() {
            return;
        }
    }
}
