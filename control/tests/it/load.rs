//! One tenant causes expensive work of every kind, and another tenant's users are not slowed down.
//!
//! How long their requests take is printed as a ratio to the time without load in the same run, for a reader to
//! judge: `WARDGATE_TEST_LONG=1 cargo test -p wardgate-control --test it load -- --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use control::audit::Actor;
use control::edges::reseed;
use control::keys::due;
use control::tenants::Isolation;
use control::users::Profile;
use control::users::search::rebuild;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::crowd;
use crate::dumps::foreign_user;
use crate::scale::scaled;
use crate::scene::{Answer, Member, PASSWORD, Scene, call, serve};

/// Requests of the loading tenant at a time.
const AT_ONCE: usize = 60;

/// Two tenants of one control: one loads, and a user of the other asks who they are.
struct Stage {
    loading: Scene,
    root: Member,
    other: Member,
    client: Client,
}

impl Stage {
    async fn set() -> Self {
        let loading = Scene::alone().await;
        let root = loading.member("ada", "root-admin").await;
        let quiet = loading.neighbour(Isolation::Schema).await;
        let other = quiet.member("eve", "client").await;
        Self { loading, root, other, client: Client::new() }
    }

    fn keys(&self) -> String {
        format!("/api/tenant/tenants/{}/keys/", self.loading.tenant.id)
    }

    /// A request of a user with a client that keeps its connections.
    fn asking(
        &self,
        user: &Member,
    ) -> impl Fn(Method, String, Option<Value>) -> futures::future::BoxFuture<'static, Answer> + Send + 'static
    {
        let (client, api, token) = (self.client.clone(), self.loading.api, user.token.clone());
        move |method, path, body| {
            let mut request = client.request(method, format!("http://{api}{path}")).bearer_auth(&token);
            if let Some(body) = body {
                request = request.json(&body);
            }
            Box::pin(async move { Answer::to(request).await })
        }
    }

    /// How long the other tenant's user waits, in milliseconds, sorted. Never is it refused.
    async fn waits(&self, what: &str) -> Vec<f64> {
        let ask = self.asking(&self.other);
        let mut taken = Vec::new();
        for _ in 0..scaled(12, 500) {
            #[allow(clippy::disallowed_methods, reason = "durations are what this is about")]
            let began = Instant::now();
            let answer = ask(Method::GET, "/api/user/me/".into(), None).await;
            assert_eq!(answer.status, 200, "another tenant during {what}: {}", answer.body);
            taken.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        taken.sort_by(f64::total_cmp);
        taken
    }

    /// Loads until the other tenant was measured, and returns what the loading tenant was answered.
    async fn loaded(&self, what: &str, ask: impl Fn(usize) -> Asking) -> Vec<u16> {
        let quiet = self.waits("nothing").await;
        let (stop, round) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let mut loading = JoinSet::new();
        for at in 0..AT_ONCE {
            let (ask, stop, round) = (ask(at), stop.clone(), round.clone());
            loading.spawn(async move {
                let mut statuses = Vec::new();
                while !stop.is_cancelled() {
                    statuses.push(ask(round.fetch_add(1, Ordering::Relaxed)).await.status);
                }
                statuses
            });
        }
        while round.load(Ordering::Relaxed) < AT_ONCE {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let busy = self.waits(what).await;
        stop.cancel();
        let statuses = loading.join_all().await.concat();
        compare(what, &quiet, &busy);
        let refused = statuses.iter().filter(|status| **status == 503).count();
        eprintln!("{what}: {} answers to the loading tenant, {refused} of them 503", statuses.len());
        statuses
    }

    /// Does some work, again and again, while the other tenant is measured: once at least, from its beginning to
    /// its end.
    async fn beside<F>(&self, what: &str, work: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let quiet = self.waits("nothing").await;
        let (stop, rounds) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let working = tokio::spawn({
            let (stop, rounds) = (stop.clone(), rounds.clone());
            async move {
                while !stop.is_cancelled() {
                    work().await;
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let mut busy = Vec::new();
        while rounds.load(Ordering::Relaxed) == 0 && !working.is_finished() {
            busy.extend(self.waits(what).await);
        }
        busy.sort_by(f64::total_cmp);
        stop.cancel();
        working.await.unwrap();
        compare(what, &quiet, &busy);
        eprintln!("{what}: {} times", rounds.load(Ordering::Relaxed));
    }
}

/// Prints how long the other tenant's user waited, as a ratio.
fn compare(what: &str, quiet: &[f64], busy: &[f64]) {
    let of = |taken: &[f64], share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = ((taken.len() - 1) as f64 * share) as usize;
        taken[at]
    };
    for (name, share) in [("half", 0.5), ("95 of 100", 0.95), ("all", 1.0)] {
        let (quiet, busy) = (of(quiet, share), of(busy, share));
        eprintln!("{what}: {name} within {busy:.1} ms, quiet {quiet:.1} ms, ratio {:.1}", busy / quiet);
    }
}

impl Scene {
    /// Creates so many users of the tenant that are not pushed to the edge.
    async fn crowd(&self, count: usize) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let profile = |n| Profile {
            username: format!("user{n}"),
            email: Some(format!("user{n}@acme.test")),
            first_name: format!("First{n}"),
            last_name: format!("Last{n}"),
            phone: String::new(),
            language: String::new(),
        };
        crowd::insert(&mut tx, &(0..count).map(profile).collect::<Vec<_>>()).await;
        tx.commit().await.unwrap();
        self.lose_index().await;
        rebuild::rebuild(&self.control, self.tenant.id, |_| {}).await.unwrap();
    }
}

type Asking = Box<dyn Fn(usize) -> futures::future::BoxFuture<'static, Answer> + Send>;

fn only(statuses: &[u16], allowed: &[u16]) {
    let other: Vec<_> = statuses.iter().filter(|status| !allowed.contains(status)).collect();
    assert!(other.is_empty(), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_one_tenant_do_not_keep_another_waiting() {
    let stage = Stage::set().await;
    let path = format!("/api/tenant/tenants/{}/", stage.loading.tenant.id);
    stage.root.patch(&path, json!({"settings": {"key_bits": 4096}})).await.expect(200);

    // A key that does not exist costs no key, and is in the log.
    let unknown = format!("{}{}/revoke/", stage.keys(), "A".repeat(43));
    let statuses = stage
        .loaded("keys that do not exist are revoked", |_| {
            let (ask, path) = (stage.asking(&stage.root), unknown.clone());
            Box::new(move |_| ask(Method::POST, path.clone(), None))
        })
        .await;
    only(&statuses, &[404, 503]);
    assert!(statuses.contains(&404));
    let logged = stage.loading.logged().await.iter().filter(|it| *it == "keys.revoked").count();
    assert_eq!(logged, statuses.iter().filter(|status| **status == 404).count());

    // The waiting key, each time: a new one is made for each that is revoked.
    let keys = stage.root.get(&stage.keys()).await.expect(200).body;
    assert_eq!(keys["count"], 2);
    let statuses = stage
        .loaded("keys are revoked", |_| {
            let (list, revoke) = (stage.asking(&stage.root), stage.asking(&stage.root));
            let (list, revoke, path) = (Arc::new(list), Arc::new(revoke), stage.keys());
            Box::new(move |_| {
                let (list, revoke, path) = (list.clone(), revoke.clone(), path.clone());
                Box::pin(async move {
                    let listed = list(Method::GET, format!("{path}?page_size=100"), None).await;
                    let keys = listed.body["results"].as_array().cloned().unwrap_or_default();
                    let Some(next) = keys.iter().find(|key| key["state"] == "next") else { return listed };
                    let kid = next["kid"].as_str().unwrap();
                    revoke(Method::POST, format!("{path}{kid}/revoke/"), None).await
                })
            })
        })
        .await;
    only(&statuses, &[200, 404, 409, 503]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_one_tenant_do_not_keep_another_waiting() {
    let stage = Stage::set().await;
    let users = "/api/user/users/";
    let crowd = scaled(1_000, 200_000);
    stage.loading.crowd(crowd).await;

    let statuses = stage
        .loaded("passwords are set", |_| {
            let ask = stage.asking(&stage.root);
            Box::new(move |round| {
                let body = json!({"username": format!("new{round}"), "password": PASSWORD});
                ask(Method::POST, users.into(), Some(body))
            })
        })
        .await;
    only(&statuses, &[201, 503]);

    for (what, query) in [
        ("names are searched", "?search=user+first"),
        ("who is found is counted", "?search=user+first&count=exact"),
        ("users are counted", "?page_size=1"),
        ("the last page is read", "?page=last&page_size=100&ordering=-last_login"),
    ] {
        let statuses = stage
            .loaded(what, |_| {
                let (ask, path) = (stage.asking(&stage.root), format!("{users}{query}"));
                Box::new(move |_| ask(Method::GET, path.clone(), None))
            })
            .await;
        only(&statuses, &[200, 503]);
    }
    // Of more than 10,000 this is refused, once they are counted.
    let ordered = stage
        .loaded("users are ordered by name", |_| {
            let (ask, path) = (stage.asking(&stage.root), format!("{users}?ordering=-username"));
            Box::new(move |_| ask(Method::GET, path.clone(), None))
        })
        .await;
    only(&ordered, &[200, 400, 503]);
    for path in ["/api/audit/", "/api/audit/verify/"] {
        let statuses = stage
            .loaded(&format!("GET {path}"), |_| {
                let ask = stage.asking(&stage.root);
                Box::new(move |_| ask(Method::GET, path.into(), None))
            })
            .await;
        only(&statuses, &[200, 503]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_one_tenant_do_not_keep_another_waiting() {
    let stage = Stage::set().await;
    let staff = stage.loading.member("sam", "staff").await;
    let path = format!("/api/user/users/{}/", stage.root.id);
    // Each is written into the log apart from the transaction that found it: not beside it.
    let statuses = stage
        .loaded("ranks are refused", |_| {
            let (ask, path) = (stage.asking(&staff), path.clone());
            Box::new(move |_| ask(Method::PATCH, path.clone(), Some(json!({"first_name": "x"}))))
        })
        .await;
    only(&statuses, &[403, 503]);
    assert!(statuses.contains(&403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_of_the_platform_do_not_keep_a_tenant_waiting() {
    let stage = Stage::set().await;
    let root = stage.loading.platform().await.member("root", "root-admin").await;
    let pem = include_str!("../keys/rsa2048.pem");
    let statuses = stage
        .loaded("a key is imported", |_| {
            let (ask, path) = (stage.asking(&root), format!("{}import/", stage.keys()));
            Box::new(move |_| ask(Method::POST, path.clone(), Some(json!({"pkcs8": pem}))))
        })
        .await;
    only(&statuses, &[201, 409, 503]);

    let statuses = stage
        .loaded("tenants are made", |_| {
            let ask = stage.asking(&root);
            Box::new(move |round| {
                let admin = json!({"username": "ada", "password": PASSWORD});
                let new = json!({"slug": format!("made{round}"), "name": "x", "isolation": "shared", "admin": admin});
                ask(Method::POST, "/api/tenant/tenants/".into(), Some(new))
            })
        })
        .await;
    only(&statuses, &[201, 503]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_comes_with_foreign_passwords_keeps_no_other_waiting() {
    let stage = Stage::set().await;
    let scene = Arc::new(stage.loading.clone());
    let users: u32 = scaled(150, 20_000);
    let dump: Vec<_> = (1..=users).map(|n| foreign_user(&json!(n), &format!("old{n}"))).collect();
    stage
        .beside("users with foreign passwords are imported", {
            let (scene, dump) = (scene.clone(), Arc::new(dump));
            move || {
                let (scene, dump) = (scene.clone(), dump.clone());
                async move {
                    // The import itself, and from the second time the comparison with what was imported.
                    let imported = tokio::task::spawn_blocking(move || scene.import_dump(&dump));
                    imported.await.unwrap().expect(0);
                }
            }
        })
        .await;
    let statuses = stage
        .loaded("foreign passwords are guessed", |_| {
            let scene = scene.clone();
            Box::new(move |_| {
                let scene = scene.clone();
                Box::pin(async move { scene.guessed().await })
            })
        })
        .await;
    only(&statuses, &[200, 503]);
    assert!(statuses.contains(&200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_reseeded_keeps_no_other_waiting() {
    let stage = Stage::set().await;
    stage.loading.crowd(scaled(1_000, 200_000)).await;
    let scene = stage.loading.clone();
    stage
        .beside("a tenant is reseeded and sent whole", move || {
            let scene = scene.clone();
            async move {
                reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
                scene.push().await;
            }
        })
        .await;
}

/// A lock that makes a statement of a tenant wait until it is let go.
async fn hang(scene: &Scene, table: &str) -> PgConnection {
    let mut admin = scene.database.admin().await;
    let lock = format!("begin; lock table {}.{table} in access exclusive mode", scene.tenant.cell);
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut admin).await.unwrap();
    admin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_hangs_is_the_one_that_is_refused() {
    let stage = Stage::set().await;
    let lock = hang(&stage.loading, "users").await;
    let mut hanging = JoinSet::new();
    for _ in 0..12 {
        hanging.spawn(stage.asking(&stage.root)(Method::GET, "/api/user/me/".into(), None));
    }
    // Two connections are the tenant's share of the five that this control has.
    let mut refused = 0;
    while refused < 10 {
        tokio::select! {
            answer = hanging.join_next() => {
                let answer = answer.unwrap().unwrap().expect(503);
                assert_eq!(answer.body["code"], "unavailable");
                assert_eq!(answer.header("retry-after"), "1");
                refused += 1;
            }
            _ = stage.waits("another tenant's hanging") => {}
        }
    }
    lock.close().await.unwrap();
    let served: Vec<u16> = hanging.join_all().await.iter().map(|answer| answer.status).collect();
    assert_eq!(served, [200, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_reads_of_many_tenants_leave_connections_to_the_others() {
    let stage = Stage::set().await;
    let scene = &stage.loading;
    let (mut locks, mut readers, mut reading) = (Vec::new(), Vec::new(), JoinSet::new());
    for _ in 0..scene.control.settings.database.max_connections {
        let reader = scene.neighbour(Isolation::Schema).await;
        readers.push(reader.member("ada", "root-admin").await);
        locks.push(hang(&reader, "audit_entries").await);
    }
    for reader in readers {
        reading.spawn(stage.asking(&reader)(Method::GET, "/api/audit/".into(), None));
    }
    let mut admin = scene.database.admin().await;
    let hanging = "select count(*) from pg_locks where not granted";
    while sqlx::query_scalar::<_, i64>(hanging).fetch_one(&mut admin).await.unwrap() < 2 {
        tokio::task::yield_now().await;
    }
    stage.waits("the long reads of many tenants").await;
    for lock in locks {
        lock.close().await.unwrap();
    }
    let statuses: Vec<u16> = reading.join_all().await.iter().map(|answer| answer.status).collect();
    only(&statuses, &[200, 503]);
    assert!(statuses.contains(&200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_a_tenant_do_not_keep_its_own_users_waiting() {
    let stage = Stage::set().await;
    let scene = &stage.loading;
    let lock = hang(scene, "foreign_tries").await;
    let guesses: Vec<_> = (0..12).map(|_| Box::pin(scene.guess())).collect();
    let guessing = futures::future::join_all(guesses);
    let working = async {
        for _ in 0..20 {
            stage.root.get("/api/user/me/").await.expect(200);
            stage.other.get("/api/user/me/").await.expect(200);
        }
        lock.close().await.unwrap();
    };
    let (statuses, ()) = tokio::join!(guessing, working);
    only(&statuses, &[200, 503]);
    assert!(statuses.contains(&200));
}

#[tokio::test]
async fn what_control_does_by_itself_does_not_wait_for_requests() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let mut held = Vec::new();
    for _ in 0..scene.control.settings.database.max_connections {
        held.push(scene.control.db.app().acquire().await.unwrap());
    }
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id).0, 1);
    due::advance(&scene.control, scene.tenant.id).await.unwrap();
    ada.get("/api/user/me/").await.expect(503);
    drop(held);
    ada.get("/api/user/me/").await.expect(200);
}

#[tokio::test]
async fn no_request_needs_two_connections() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let ada = scene.member("ada", "root-admin").await;
    let sam = scene.member("sam", "staff").await;
    let (tenant, keys) = (format!("/api/tenant/tenants/{}/", scene.tenant.id), "keys/");
    let listed = ada.get(&format!("{tenant}{keys}")).await.expect(200).body;
    let next = listed["results"][1]["kid"].as_str().unwrap();

    // A control that has met no tenant yet, and has one connection.
    let control = scene.database.control(&scene.edge.url).await;
    let api = serve(&control).await;
    let mut held = Vec::new();
    for _ in 1..control.settings.database.max_connections {
        held.push(control.db.app().acquire().await.unwrap());
    }
    let user = |name: &str| json!({"username": name, "password": PASSWORD});
    let slug = format!("{}x", scene.tenant.slug);
    for (user, method, path, body, status) in [
        (&root, Method::GET, format!("{tenant}{keys}"), None, 200),
        (&root, Method::PATCH, tenant.clone(), Some(json!({"name": "Acme"})), 200),
        (&root, Method::POST, "/api/tenant/tenants/".into(), Some(json!({"slug": slug, "name": "x"})), 201),
        (&sam, Method::PATCH, format!("/api/user/users/{}/", ada.id), Some(json!({"first_name": "x"})), 403),
        (&sam, Method::DELETE, format!("/api/user/users/{}/", ada.id), None, 403),
        (&sam, Method::DELETE, format!("/api/user/users/{}/sessions/", ada.id), None, 403),
        (&sam, Method::GET, "/api/audit/".into(), None, 403),
        (&ada, Method::PATCH, tenant.clone(), Some(json!({"hosts": ["a.example"]})), 403),
        (&ada, Method::GET, "/api/user/users/?search=a".into(), None, 200),
        (&ada, Method::GET, "/api/audit/".into(), None, 200),
        (&ada, Method::GET, "/api/audit/verify/".into(), None, 200),
        (&ada, Method::GET, "/api/audit/export/".into(), None, 200),
        (&ada, Method::POST, "/api/user/users/".into(), Some(user("bob")), 201),
        (&ada, Method::POST, format!("{tenant}{keys}{next}/revoke/"), None, 200),
    ] {
        let bearer = format!("Bearer {}", user.token);
        let answer = call(api, method.clone(), &path, Some(&bearer), body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
}
