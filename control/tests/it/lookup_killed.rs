//! A rotation of the lookup root that is killed repeatedly ends like an undisturbed one.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use shared::ids::UserId;

use crate::scale::{Chance, scaled};
use crate::scene::Scene;

impl Scene {
    fn wardgate(&self, arguments: &[&str]) -> std::process::Child {
        Command::new(env!("CARGO_BIN_EXE_wardgate"))
            .args(arguments)
            .env_clear()
            .envs(&self.cli().variables)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn new_identifiers(&self) -> i64 {
        let count = format!("select count(*) from {}.identifiers where version = 2", self.tenant.cell);
        let mut admin = self.database.admin().await;
        sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut admin).await.unwrap()
    }

    /// Cuts all connections, as a kill of PostgreSQL does.
    pub async fn cut_connections(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = $1 and pid <> pg_backend_pid()";
        sqlx::query(cut).bind(&self.database.name).execute(&mut self.database.admin().await).await.unwrap();
    }
}

/// Feeds the edge, as a running `serve` does, until the test is over.
async fn feed(scene: Scene, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        // A connection may have been cut.
        let _ = control::edges::pusher::push_now(&scene.control, scene.tenant.id).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_leaves_what_an_undisturbed_run_leaves() {
    let mut chance = Chance::new();
    let (users, most): (usize, usize) = scaled((2_000, 6), (50_000, 20));
    let scene = Scene::alone().await;
    let dump: Vec<_> = (1..=users)
        .map(|n| {
            json!({"model": "auth.user", "pk": n, "fields": {"username": format!("u{n}"),
                "email": format!("u{n}@acme.test"), "password": "!"}})
        })
        .collect();
    scene.import_dump(&dump).expect(0);
    while control::edges::pusher::push_now(&scene.control, scene.tenant.id).await.is_err() {}
    let first = scene.document();
    let sample: Vec<(String, UserId)> = (1..=users)
        .step_by(users / 50)
        .map(|n| (format!("u{n}"), scene.edge_finds_name(&first, &format!("u{n}")).unwrap()))
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let feeder = tokio::spawn(feed(scene.clone(), over.clone()));
    let slug = scene.tenant.slug.to_string();
    let mut kills = 0;
    scene.begin_rotation().await;
    while kills < most {
        let mut run = scene.wardgate(&["lookup", "resume", &slug]);
        let moment = u64::try_from(chance.between(50, 600)).unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        if chance.between(0, 2) == 0 {
            scene.cut_connections().await;
            tokio::time::sleep(Duration::from_millis(moment / 4)).await;
        }
        run.kill().unwrap();
        run.wait().unwrap();
        kills += 1;
        eprintln!("killed after {moment} ms: {} new identifiers", scene.new_identifiers().await);
        // Users can sign in at isolates with the first document and with the present one.
        let document = scene.document();
        for (name, id) in &sample {
            for document in [&first, &document] {
                let version = document.lookup_root.version;
                assert_eq!(scene.edge_finds_name(document, name), Some(*id), "{name} under {version}");
            }
        }
    }
    scene.cli().run(&["lookup", "resume", &slug], "").expect(0);
    assert_eq!(scene.stage().await, Some("switched"));
    let new = scene.due_identifiers().await;
    let all = scene.identifiers().await;
    assert!(new.is_subset(&all) && all.len() == 2 * new.len(), "{} of {}", all.len(), new.len());
    over.store(true, Ordering::Relaxed);
    feeder.await.unwrap();

    // The removal is also killed, in a control process whose clock is past its time.
    scene.control.clock.advance(chrono::TimeDelta::minutes(17));
    let mut chances: Vec<u64> = (0..most).map(|_| u64::try_from(chance.between(1, 40)).unwrap()).collect();
    while scene.stage().await == Some("switched") || scene.stage().await == Some("removing") {
        let moment = Duration::from_millis(chances.pop().unwrap_or(100_000));
        let removal = control::users::lookup::rotation::advance(&scene.control, scene.tenant.id, |_| {});
        let _ = tokio::time::timeout(moment, removal).await;
    }
    scene.push().await;
    assert_eq!(scene.identifiers().await, new);
    assert_eq!(scene.edge.counts(scene.tenant.id).1, new.len());
    let document = scene.document();
    assert!(sample.iter().all(|(name, id)| scene.edge_finds_name(&document, name) == Some(*id)));
}
