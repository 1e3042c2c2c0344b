//! The queue: permissions of its commands, and the outcome of a job whatever happens to its control process.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use control::audit::Actor;
use control::edges::reseed;
use control::jobs::queue::Job as _;
use control::jobs::{queue, runner, schedule};
use control::keys::store::AdvanceKeys;
use control::tenants::provision::Provision;
use control::tenants::{Isolation, Tenant, find};
use reqwest::Method;
use shared::ids::TenantId;
use shared::tenant::Status;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::scene::{Scene, committed_tenant};

/// A row of the queue, as its owner sees it.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    key: Option<String>,
    attempts: i16,
    max_attempts: i16,
    last_error: Option<String>,
    locked_by: Option<String>,
    delay_secs: f64,
}

/// The jobs of one task, oldest first; what is scheduled each minute may come at any time.
async fn rows(scene: &Scene, task: &str) -> Vec<Row> {
    sqlx::query_as(
        "select j.key, j.attempts, j.max_attempts, j.last_error, j.locked_by,
             extract(epoch from j.run_at - now())::float8 as delay_secs
         from platform_jobs._private_jobs j
         join platform_jobs._private_tasks t on t.id = j.task_id
         where t.identifier = $1
         order by j.id",
    )
    .bind(task)
    .fetch_all(&mut scene.database.admin().await)
    .await
    .unwrap()
}

pub async fn sql(scene: &Scene, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut scene.database.admin().await).await.unwrap();
}

async fn status(scene: &Scene, tenant: TenantId) -> Status {
    let mut connection = scene.control.db.app().acquire().await.unwrap();
    find(&mut connection, tenant).await.unwrap().status
}

/// Waits until `holds`, for two minutes at most, and says how long it took. The next minute of the clock may be a whole one
/// away.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) -> Duration {
    let began = tokio::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(120), "not within two minutes: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// A tenant whose cell cannot be made until the connection is closed, because it holds the lock of the cell's
/// migration: its job runs for as long as the test wants.
async fn held_tenant(scene: &Scene) -> (Tenant, PgConnection) {
    let mut holder = scene.database.admin().await;
    // The lock comes first: the job may begin the moment that the tenant is committed.
    let tenant = {
        let platform = scene.control.db.platform().await.unwrap();
        let key = control::tenants::prepare(&scene.control).await.unwrap();
        let mut tx = scene.control.db.tenant_tx(platform).await.unwrap();
        let new = crate::scene::new(Isolation::Schema);
        let tenant =
            control::tenants::create(&scene.control, &mut tx, &Actor::operator(), &key, new).await.unwrap();
        sqlx::query("select pg_advisory_lock(hashtextextended('wardgate/migrate/' || $1, 0))")
            .bind(tenant.cell.as_str())
            .execute(&mut holder)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        tenant
    };
    (tenant, holder)
}

/// Whether a runner has taken the job that provisions `tenant`. The scene's own tenant has such a job, too.
async fn is_taken(scene: &Scene, tenant: &Tenant) -> bool {
    let key = format!("provision_tenant/{}", tenant.id);
    let jobs = rows(scene, "provision_tenant").await;
    jobs.iter().any(|job| job.key.as_ref() == Some(&key) && job.locked_by.is_some())
}

/// `wardgate serve` on the scene's database.
pub struct Served(Child);

impl Served {
    pub fn start(scene: &Scene) -> Self {
        Self::logging(scene, Stdio::null())
    }

    fn logging(scene: &Scene, log: Stdio) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_wardgate"))
            .arg("serve")
            .env_clear()
            .envs(&scene.cli().variables)
            .env("WARDGATE_HTTP_LISTEN", "127.0.0.1:0")
            .env("WARDGATE_HTTP_METRICS_LISTEN", "127.0.0.1:0")
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Starts it and waits for a line of its log that has these words.
    pub fn says(scene: &Scene, words: &str) -> String {
        let mut served = Self::logging(scene, Stdio::piped());
        let log = BufReader::new(served.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (say, said) = mpsc::channel();
        // Everything is read, or it would stop at a full pipe.
        std::thread::spawn(move || log.for_each(|line| drop(say.send(line))));
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut before = String::new();
        loop {
            match said.recv_timeout(until.duration_since(tokio::time::Instant::now())) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => before += &format!("{line}\n"),
                Err(_) => panic!("`{words}` is not in the log: {before}"),
            }
        }
    }

    /// With SIGKILL, so that no shutdown code runs.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A runner in this process, until the token is cancelled.
fn run(scene: &Scene) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(runner::run(scene.control.clone(), stop)))
}

#[tokio::test]
async fn a_job_lives_and_dies_with_its_transaction() {
    let scene = Scene::alone().await;
    runner::run_due(&scene.control).await.unwrap();
    let job = AdvanceKeys { tenant: scene.tenant.id };
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    queue::enqueue(&mut tx, &job, TimeDelta::zero()).await.unwrap();
    drop(tx);
    assert!(rows(&scene, "advance_keys").await.is_empty());
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    queue::enqueue(&mut tx, &job, TimeDelta::zero()).await.unwrap();
    assert!(rows(&scene, "advance_keys").await.is_empty(), "seen before the commit");
    tx.commit().await.unwrap();
    assert_eq!(rows(&scene, "advance_keys").await.len(), 1);
    runner::run_due(&scene.control).await.unwrap();
    assert!(rows(&scene, "advance_keys").await.is_empty(), "run");
}

#[tokio::test]
async fn the_app_may_only_enqueue_and_only_what_is_known() {
    let scene = Scene::new().await;
    let refused = async |pool: &PgPool, text: &str, code: &str| {
        let error = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(pool).await.unwrap_err();
        let error = error.into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some(code), "{text}: {error}");
    };
    let (app, relay) = (scene.control.db.app(), scene.control.db.relay());
    for statement in [
        "select from platform_jobs.jobs",
        "select from platform_jobs._private_jobs",
        "select from platform_jobs._private_tasks",
        "insert into platform_jobs._private_tasks (identifier) values ('x')",
        "update platform_jobs._private_jobs set attempts = 0",
        "delete from platform_jobs._private_jobs",
        "select platform_jobs.add_job('provision_tenant', '{}')",
        "select platform_jobs.remove_job('x')",
        "select platform.admit_jobs('mail/x', 100)",
    ] {
        refused(app, statement, "42501").await;
    }
    let scheduled =
        schedule::KINDS.map(|kind| kind.task).into_iter().filter(|task| task.starts_with("sweep"));
    for task in scheduled.chain(["nonsense"]) {
        refused(app, &format!("select platform.enqueue('{task}', '{{}}', 'x', 0, 25)"), "42501").await;
    }
    refused(app, "select platform.enqueue(null, '{}', 'x', 0, 25)", "42501").await;
    let long = "x".repeat(1000);
    for arguments in [
        format!("'{{\"x\": \"{long}\"}}', 'x', 0, 25"),
        format!("'{{}}', '{long}', 0, 25"),
        "'[]', 'x', 0, 25".into(),
        "'{}', '', 0, 25".into(),
        "'{}', null, 0, 25".into(),
        "'{}', 'x', -1, 25".into(),
        "'{}', 'x', 'NaN', 25".into(),
        "'{}', 'x', 0, 101".into(),
        "'{}', 'x', 0, 0".into(),
        "'{}', 'x', 0, 25, '{}'".into(),
        "'{}', 'x', 0, 25, '{60, -1}'".into(),
        "'{}', 'x', 0, 25, '{604801}'".into(),
        "'{}', 'x', 0, 25, '{60}', null, ''".into(),
    ] {
        refused(app, &format!("select platform.enqueue('provision_tenant', {arguments})"), "23514").await;
    }
    // The relay works with the rows and changes no table, nor the library's record of its migrations.
    sqlx::query("select from platform_jobs._private_jobs").execute(relay).await.unwrap();
    for statement in [
        "create table platform_jobs.more ()",
        "alter table platform_jobs._private_jobs add more text",
        "insert into platform_jobs.migrations (id) values (99)",
        "delete from platform_jobs.migrations",
        "truncate platform_jobs._private_jobs",
    ] {
        refused(relay, statement, "42501").await;
    }
}

#[tokio::test]
async fn of_waiting_jobs_about_one_thing_the_last_stays() {
    let scene = Scene::alone().await;
    let job = AdvanceKeys { tenant: scene.tenant.id };
    let enqueue = async |secs| {
        let mut connection = scene.control.db.app().acquire().await.unwrap();
        queue::enqueue(&mut connection, &job, TimeDelta::seconds(secs)).await.unwrap();
    };
    enqueue(100).await;
    enqueue(500).await;
    let waiting = rows(&scene, "advance_keys").await;
    assert_eq!(waiting.len(), 1);
    assert!((495.0..=500.0).contains(&waiting[0].delay_secs), "{waiting:?}");
    // One that runs is not the one that comes: what it read may be old.
    sql(
        &scene,
        "update platform_jobs._private_jobs set locked_at = now(), locked_by = 'other', attempts = 1",
    )
    .await;
    enqueue(50).await;
    enqueue(60).await;
    let both = rows(&scene, "advance_keys").await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!((both[0].key.as_deref(), both[0].locked_by.as_deref()), (None, Some("other")));
    assert!((55.0..=60.0).contains(&both[1].delay_secs), "{both:?}");
}

#[tokio::test]
async fn tries_grow_apart_and_end() {
    let scene = Scene::alone().await;
    let nobody = TenantId::new(1, [9; 10]);
    let mut connection = scene.control.db.app().acquire().await.unwrap();
    queue::enqueue(&mut connection, &Provision { tenant: nobody }, TimeDelta::zero()).await.unwrap();
    for attempt in 1..=4_i16 {
        runner::run_due(&scene.control).await.unwrap();
        let failed = rows(&scene, "provision_tenant").await.pop().unwrap();
        assert_eq!(failed.attempts, attempt);
        assert!(failed.last_error.unwrap().contains("tenant"));
        let expected = f64::from(Provision::DELAYS_SECS[usize::try_from(attempt).unwrap() - 1]);
        assert!((expected - 2.0..=expected).contains(&failed.delay_secs), "{attempt}: {}", failed.delay_secs);
        // Not before its time.
        runner::run_due(&scene.control).await.unwrap();
        assert_eq!(rows(&scene, "provision_tenant").await[0].attempts, attempt);
        sql(&scene, "update platform_jobs._private_jobs set run_at = now()").await;
    }
    sql(&scene, "update platform_jobs._private_jobs set attempts = max_attempts - 1").await;
    runner::run_due(&scene.control).await.unwrap();
    sql(&scene, "update platform_jobs._private_jobs set run_at = now()").await;
    runner::run_due(&scene.control).await.unwrap();
    let dead = rows(&scene, "provision_tenant").await.pop().unwrap();
    assert_eq!((dead.attempts, dead.max_attempts), (25, 25), "tried no more, and kept");
}

#[tokio::test]
async fn a_rotation_is_planned_with_its_transaction() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    scene.push().await;
    let rotate = format!("/api/tenant/tenants/{}/keys/rotate/", scene.tenant.id);
    ada.call(Method::POST, &rotate, None).await.expect(200);
    scene.push().await;
    let planned = scene.edge.state().documents[&scene.tenant.id].keys[1].sign_from.unwrap();
    let sign_from = DateTime::<Utc>::from_timestamp(i64::try_from(planned).unwrap(), 0).unwrap();
    let seconds_left = || (sign_from - scene.control.clock.now()).as_seconds_f64();
    let waits = async || {
        let job = rows(&scene, "advance_keys").await.pop().expect("a job waits");
        assert!((job.delay_secs - seconds_left()).abs() < 2.0, "{job:?}, {}", seconds_left());
    };
    waits().await;
    // Another machine's clock may be ahead of this one: a job that runs early is scheduled again.
    sql(&scene, "update platform_jobs._private_jobs set run_at = now()").await;
    runner::run_due(&scene.control).await.unwrap();
    waits().await;
    // In its time it switches, and plans the removal.
    scene.control.clock.advance(TimeDelta::seconds(3600));
    sql(&scene, "update platform_jobs._private_jobs set run_at = now()").await;
    runner::run_due(&scene.control).await.unwrap();
    assert!(scene.logged().await.contains(&"keys.advanced".to_owned()));
    assert!(rows(&scene, "advance_keys").await[0].delay_secs > 60.0);
}

#[tokio::test]
async fn a_reseed_looks_at_the_plan_again() {
    let scene = Scene::alone().await;
    scene.push().await;
    reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
    assert_eq!(rows(&scene, "advance_keys").await.len(), 1);
}

#[tokio::test]
async fn a_committed_tenant_is_made_at_once() {
    let scene = Scene::alone().await;
    let (stop, ended) = run(&scene);
    until("the runner listens", || async {
        let listening = "select exists (select from pg_stat_activity
             where datname = current_database() and query like 'LISTEN \"jobs:insert\"%')";
        sqlx::query_scalar::<_, bool>(listening).fetch_one(&mut scene.database.admin().await).await.unwrap()
    })
    .await;
    let tenant = committed_tenant(&scene.control, Isolation::Shared).await;
    let took = until("active", || async { status(&scene, tenant.id).await == Status::Active }).await;
    eprintln!("active after {took:?}");
    stop.cancel();
    ended.await.unwrap();
}

#[tokio::test]
async fn a_job_of_a_killed_control_runs_again_within_a_minute() {
    let scene = Scene::alone().await;
    let mut first = Served::start(&scene);
    let (tenant, holder) = held_tenant(&scene).await;
    until("taken", || is_taken(&scene, &tenant)).await;
    first.kill();
    assert!(is_taken(&scene, &tenant).await, "given back by a killed control");
    holder.close().await.unwrap();
    let _second = Served::start(&scene);
    let took = until("active", || async { status(&scene, tenant.id).await == Status::Active }).await;
    eprintln!("active {took:?} after the kill");
    until("done", || async { rows(&scene, "provision_tenant").await.is_empty() }).await;
}

#[tokio::test]
async fn after_the_signal_a_running_job_ends_and_no_other_begins() {
    let scene = Scene::alone().await;
    let (stop, ended) = run(&scene);
    let (tenant, holder) = held_tenant(&scene).await;
    until("taken", || is_taken(&scene, &tenant)).await;
    stop.cancel();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let late = committed_tenant(&scene.control, Isolation::Shared).await;
    holder.close().await.unwrap();
    ended.await.unwrap();
    assert_eq!(status(&scene, tenant.id).await, Status::Active);
    assert_eq!(status(&scene, late.id).await, Status::Provisioning);
    assert_eq!(rows(&scene, "provision_tenant").await.len(), 1);
}

#[tokio::test]
async fn a_runner_waits_for_its_schema_and_never_makes_it() {
    let scene = Scene::alone().await;
    let tenant = committed_tenant(&scene.control, Isolation::Shared).await;
    let newest = "select max(id) from platform_jobs.migrations";
    let newest = async || {
        sqlx::query_scalar::<_, i32>(newest).fetch_one(&mut scene.database.admin().await).await.unwrap()
    };
    let known = newest().await;
    sql(&scene, &format!("delete from platform_jobs.migrations where id = {known}")).await;
    let (stop, ended) = run(&scene);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(newest().await, known - 1);
    assert_eq!(status(&scene, tenant.id).await, Status::Provisioning);
    sql(&scene, &format!("insert into platform_jobs.migrations (id) values ({known})")).await;
    until("active", || async { status(&scene, tenant.id).await == Status::Active }).await;
    stop.cancel();
    ended.await.unwrap();
}

#[tokio::test]
async fn two_controls_do_what_is_scheduled_once_a_minute() {
    let scene = Scene::alone().await;
    // Each minute that is put into the queue, also where it meets one that waits.
    sql(
        &scene,
        "create table public.put (task_id integer, run_at timestamptz);
         create function public.note() returns trigger language plpgsql security definer as $$
         begin
             insert into public.put values (new.task_id, new.run_at);
             return new;
         end $$;
         create trigger note after insert or update of revision on platform_jobs._private_jobs
             for each row when (new.key like 'sweep%') execute function public.note()",
    )
    .await;
    let (first, second) = (run(&scene), run(&scene));
    let put = async || {
        sqlx::query_as::<_, (i64, i64)>(
            "select count(distinct task_id), max(times) from (
                 select task_id, count(*) over (partition by task_id, run_at) as times from public.put
             ) p",
        )
        .fetch_one(&mut scene.database.admin().await)
        .await
    };
    // Without a row there is no maximum yet.
    until("the next minute", || async { put().await.is_ok_and(|(tasks, _)| tasks == 5) }).await;
    // The other control's clock is this one, so it is not later than this.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(put().await.unwrap(), (5, 1), "five sweeps, each minute of each once");
    for (stop, ended) in [first, second] {
        stop.cancel();
        ended.await.unwrap();
    }
    let failed: i64 =
        sqlx::query_scalar("select count(*) from platform_jobs._private_jobs where last_error is not null")
            .fetch_one(&mut scene.database.admin().await)
            .await
            .unwrap();
    assert_eq!(failed, 0);
}
