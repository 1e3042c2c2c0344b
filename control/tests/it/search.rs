//! The search index: what is found, isolation of tenants, and the rebuild after its loss.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use control::audit::Actor;
use control::jobs::runner;
use control::tenants::Isolation;
use control::users::search::index::{self, CANDIDATES, Index};
use control::users::search::rebuild::{self, Outcome};
use control::users::{self, Change, NewUser, Profile, UserError};
use serde_json::{Value, json};
use shared::identifiers::{address_forms, folded};
use shared::ids::UserId;
use shared::user::UserStatus;
use sqlx::{AssertSqlSafe, Row as _};

use crate::crowd;
use crate::scale::{Numbers, scaled};
use crate::scene::{Answer, Member, Scene, new_tenant};

const USERS: &str = "/api/user/users/";

impl Scene {
    /// Takes all tokens of the tenant away, as a crash of PostgreSQL does.
    pub async fn lose_index(&self) {
        let lose =
            format!("delete from {}.search_tokens where tenant_id = '{}'", self.tenant.cell, self.tenant.id);
        sqlx::raw_sql(AssertSqlSafe(lose)).execute(&mut self.database.admin().await).await.unwrap();
    }

    /// Rebuilds the index, by whichever run comes first.
    pub async fn rebuild_index(&self) {
        while rebuild::rebuild(&self.control, self.tenant.id, |_| {}).await.unwrap() != Outcome::Complete {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Users of another service, who come many at a time: user name, address, first and last name.
    fn import_names(&self, users: impl IntoIterator<Item = (String, Option<String>, String, String)>) {
        let users = users.into_iter().zip(1..).map(|((username, email, first, last), at)| {
            json!({"model": "auth.user", "pk": at, "fields": {
                "username": username, "email": email.unwrap_or_default(), "first_name": first,
                "last_name": last, "password": "!"}})
        });
        self.import_dump(&users.collect::<Vec<_>>()).expect(0);
    }

    /// How many rows of users, without the notes about all of them.
    async fn tokens(&self) -> i64 {
        let count = "select count(*) from search_tokens where tenant_id = $1 and version > 0";
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        sqlx::query_scalar(count).bind(self.tenant.id.uuid()).fetch_one(&mut *tx).await.unwrap()
    }
}

fn names(answer: &Answer) -> Vec<String> {
    let results = answer.body["results"].as_array().unwrap();
    results.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
}

async fn found(ada: &Member, search: &str) -> BTreeSet<String> {
    let query: String = form_urlencoded::byte_serialize(search.as_bytes()).collect();
    let answer = ada.get(&format!("{USERS}?page_size=100&search={query}")).await.expect(200);
    let found: BTreeSet<_> = names(&answer).into_iter().collect();
    assert_eq!(answer.body["count"], found.len(), "{search}");
    found
}

#[track_caller]
fn are(found: &BTreeSet<String>, expected: &[&str]) {
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

async fn user(ada: &Member, body: Value) -> UserId {
    ada.post(USERS, body).await.expect(201).id()
}

#[tokio::test]
async fn short_words_are_found_where_a_word_begins() {
    let scene = Scene::new().await;
    let ada = scene.member("root", "root-admin").await;
    user(&ada, json!({"username": "bob", "email": "b.stone@acme.test", "last_name": "de la Cruz-Ém"})).await;
    user(&ada, json!({"username": "eve7", "first_name": "Ea Nb", "last_name": "Ｗu"})).await;
    for (search, expected) in [
        ("b", &["bob"][..]),
        ("BO", &["bob"]),
        ("ob", &[]),
        ("st", &["bob"]),
        ("to", &[]),
        ("ac", &["bob"]),
        (".t", &["bob"]),
        ("@", &["bob"]),
        ("-e", &[]),
        ("-É", &["bob"]),
        ("e\u{301}", &["bob"]),
        ("d l c", &["bob"]),
        ("nb", &["eve7"]),
        ("w wu ｗＵ", &["eve7"]),
        ("u", &[]),
        ("7", &[]),
        // Beside one of three letters, which is found anywhere.
        ("ve7 ea", &["eve7"]),
        ("ve7 st", &[]),
        ("e", &["eve7"]),
        ("c", &["bob"]),
    ] {
        are(&found(&ada, search).await, expected);
    }
}

#[tokio::test]
async fn tokens_follow_a_rename_and_go_with_the_user() {
    let scene = Scene::new().await;
    let ada = scene.member("root", "root-admin").await;
    let before = scene.tokens().await;
    let bob = user(&ada, json!({"username": "bob", "last_name": "Lovelace"})).await;
    assert_eq!(scene.tokens().await, before + 1);
    are(&found(&ada, "lovelace").await, &["bob"]);
    let path = format!("{USERS}{bob}/");
    ada.patch(&path, json!({"last_name": "Hopper"})).await.expect(200);
    are(&found(&ada, "lovelace").await, &[]);
    are(&found(&ada, "lov").await, &[]);
    are(&found(&ada, "hopper").await, &["bob"]);
    // A transaction that is rolled back leaves nothing.
    ada.patch(&path, json!({"last_name": "Curie", "username": "root"})).await.expect(400);
    are(&found(&ada, "curie").await, &[]);
    are(&found(&ada, "hop").await, &["bob"]);
    ada.delete(&path).await.expect(204);
    are(&found(&ada, "hopper").await, &[]);
    assert_eq!(scene.tokens().await, before);
}

/// All names on the pages that the links `next` lead to, and how many there are.
async fn walked(ada: &Member, first: &str) -> (Vec<String>, usize) {
    let (mut path, mut all, mut pages) = (first.to_owned(), Vec::new(), 0);
    loop {
        let answer = ada.get(&path).await.expect(200);
        all.extend(names(&answer));
        pages += 1;
        let Some(next) = answer.body["next"].as_str() else { return (all, pages) };
        path = next[next.find("/api/").unwrap()..].to_owned();
    }
}

#[tokio::test]
async fn more_candidates_than_are_opened_come_page_by_page() {
    let scene = Scene::alone().await;
    let ada = scene.member("root", "root-admin").await;
    // Every twentieth only has the pieces of the name.
    scene.import_names((0..2_200).map(|n| {
        let (first, last) = if n % 20 == 7 { ("annab", "abel") } else { ("Annabel", "Stone") };
        (format!("u{n:04}"), None, first.to_owned(), last.to_owned())
    }));
    let holds = |n: &i32| n % 20 != 7;
    let expected: Vec<String> = (0..2_200).filter(holds).map(|n| format!("u{n:04}")).collect();
    let base = format!("{USERS}?search=ANNABEL&page_size=100&ordering=username");

    let first = ada.get(&base).await.expect(200);
    assert_eq!(first.body["count_is_estimate"], true, "{}", first.body["count"]);
    for way in [base.clone(), format!("{base}&cursor=")] {
        let (all, pages) = walked(&ada, &way).await;
        assert_eq!((all, pages), (expected.clone(), 22), "{way}");
    }
    let back = format!("{USERS}?search=annabel&page_size=100&ordering=-date_joined&cursor=");
    let by_age: BTreeSet<_> = walked(&ada, &back).await.0.into_iter().collect();
    assert_eq!(by_age, expected.iter().cloned().collect());
    // An exact number needs `count=exact`, or the last page.
    for query in ["count=exact", "count=exact&cursor=", "page=last"] {
        let counted = ada.get(&format!("{base}&{query}")).await.expect(200).body;
        assert_eq!((&counted["count"], counted.get("count_is_estimate")), (&json!(2_090), None), "{query}");
    }
    let last = ada.get(&format!("{base}&page=last")).await.expect(200);
    assert_eq!(names(&last), expected[expected.len() - 95..], "the last page of candidates");
    ada.get(&format!("{base}&page=23")).await.expect(404);
    // Where every word is a piece, the pieces decide, and the number is exact.
    let decided = ada.get(&format!("{USERS}?search=ann+a")).await.expect(200).body;
    assert_eq!((&decided["count"], decided.get("count_is_estimate")), (&json!(2_200), None));
    // Other filters narrow it.
    let narrowed = ada.get(&format!("{USERS}?search=annabel&status=suspended")).await.expect(200).body;
    assert_eq!(narrowed["results"], json!([]));
    let one = ada.get(&format!("{USERS}?search=annabel&username=U0005")).await.expect(200);
    assert_eq!(names(&one), ["u0005"]);
    let none = ada.get(&format!("{USERS}?search=annabel&username=u0007")).await.expect(200);
    assert_eq!((names(&none).len(), &none.body["count"]), (0, &json!(0)));

    let slug = scene.tenant.slug.to_string();
    let listed = |more: &[&str]| {
        let arguments = [&["user", "list", "--tenant", &slug, "--search", "annabel"], more].concat();
        let listed = scene.cli().run(&arguments, "").expect(0).json;
        (listed["results"].as_array().unwrap().len(), listed["count"].clone())
    };
    assert_eq!(listed(&["--page", "22", "--ordering", "username"]), (95, json!(2_090)));
    assert_eq!(listed(&["--all", "--ordering=-username"]), (2_090, json!(2_090)));
}

/// Two tenants of one cell, with tokens of thousands of users each.
async fn filled(scene: &Scene) {
    let fill = format!(
        "insert into {}.search_tokens (tenant_id, user_id, version, tokens)
         select '{}', gen_random_uuid(), 1,
            array(select (random() * 1e18)::bigint from generate_series(1, 40) where u > 0)
         from generate_series(1, 4000) u",
        scene.tenant.cell, scene.tenant.id
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut scene.database.admin().await).await.unwrap();
}

#[tokio::test]
async fn the_serving_role_finds_candidates_by_the_index() {
    let scene = Scene::under(vec![], Isolation::Shared).await;
    let tenant = new_tenant(&scene.control, Isolation::Shared).await;
    let (database, control, edge) = (scene.database.clone(), scene.control.clone(), scene.edge.clone());
    let neighbour = Scene { database, control, edge, tenant, api: scene.api };
    let ada = scene.member("ada", "root-admin").await;
    for scene in [&scene, &neighbour] {
        filled(scene).await;
    }
    let analyze = format!("analyze {}.search_tokens", scene.tenant.cell);
    sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut scene.database.admin().await).await.unwrap();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let role: String = sqlx::query_scalar("select current_user::text").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(role, format!("{}_app", scene.database.name));
    let index = Index::of(&mut tx).await.unwrap();
    let tokens = index.tokens(["ada"]);
    assert_eq!(index::candidates(&mut tx, &tokens, 10).await.unwrap(), [ada.id.uuid()]);
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!("explain (format json) {CANDIDATES}")))
        .bind(scene.tenant.id.uuid())
        .bind(&tokens)
        .bind(2_001_i64)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let plan = plan.to_string();
    assert!(plan.contains("\"Index Name\":\"search_tokens_by_token\""), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn a_search_finds_nobody_of_another_tenant() {
    let (scene, other) = (Scene::shared().await, Scene::shared().await);
    assert_eq!(scene.tenant.cell, other.tenant.cell);
    let (ada, eve) = (scene.member("ada", "root-admin").await, other.member("eve", "root-admin").await);
    for (who, name) in [(&ada, "ours"), (&eve, "theirs")] {
        user(who, json!({"username": name, "last_name": "Lovelace"})).await;
    }
    are(&found(&ada, "lovelace").await, &["ours"]);
    are(&found(&eve, "lovelace").await, &["theirs"]);
    // The tokens of one name are others in each tenant.
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let ours = Index::of(&mut tx).await.unwrap().tokens(["lov", "l"]);
    let mut tx = other.control.db.tenant_tx(other.tenant.id).await.unwrap();
    let theirs = Index::of(&mut tx).await.unwrap().tokens(["lov", "l"]);
    drop(tx);
    assert!(ours.iter().all(|token| !theirs.contains(token)));
    // Whatever the table says, candidates are read again under row security.
    let forge = format!(
        "insert into {0}.search_tokens (tenant_id, user_id, version, tokens)
         select '{1}', f.user_id, 1, o.tokens
         from {0}.search_tokens f, {0}.search_tokens o
         where f.tenant_id = '{2}' and f.version > 0 and o.tenant_id = '{1}' and o.user_id = '{3}'",
        scene.tenant.cell,
        scene.tenant.id,
        other.tenant.id,
        scene.user_named("ours").await,
    );
    sqlx::raw_sql(AssertSqlSafe(forge)).execute(&mut scene.database.admin().await).await.unwrap();
    assert_eq!(scene.tokens().await, 4);
    are(&found(&ada, "lovelace").await, &["ours"]);
    are(&found(&ada, "lov").await, &["ours"]);
}

impl Scene {
    async fn user_named(&self, name: &str) -> UserId {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::find_by_name(&mut tx, name).await.unwrap().id
    }

    /// The task's jobs that wait.
    async fn waiting(&self, task: &str) -> i64 {
        sqlx::query_scalar("select count(*) from platform_jobs.jobs where task_identifier = $1")
            .bind(task)
            .fetch_one(&mut self.database.admin().await)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_lost_index_is_said_and_made_anew() {
    let scene = Scene::alone().await;
    let ada = scene.member("root", "root-admin").await;
    scene.import_names((0..500).map(|n| (format!("u{n:03}"), None, "Ada".to_owned(), format!("Love{n}"))));
    assert_eq!(found(&ada, "love33").await.len(), 11);
    let truncate = format!("truncate {}.search_tokens", scene.tenant.cell);
    sqlx::raw_sql(AssertSqlSafe(truncate)).execute(&mut scene.database.admin().await).await.unwrap();

    let refused = ada.get(&format!("{USERS}?search=love33")).await.expect(503);
    assert_eq!(refused.body, json!({"detail": "The search index is being rebuilt.", "code": "rebuilding"}));
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(scene.waiting("rebuild_search").await, 1);
    let slug = scene.tenant.slug.to_string();
    let said = scene.cli().run(&["user", "list", "--tenant", &slug, "--search", "love"], "").expect(1).stderr;
    assert!(said.contains("being rebuilt"), "{said}");
    // Everything else works; a user name is found without the index, and new users also wait for it.
    ada.get(&format!("{USERS}?status=active")).await.expect(200);
    assert_eq!(names(&ada.get(&format!("{USERS}?username=u033&search=love33")).await.expect(200)), ["u033"]);
    user(&ada, json!({"username": "new", "last_name": "Love33"})).await;
    ada.get(&format!("{USERS}?search=love33")).await.expect(503);

    runner::run_due(&scene.control).await.unwrap();
    assert_eq!(found(&ada, "love33").await.len(), 12);
    assert_eq!(scene.tokens().await, 502);
    assert_eq!(scene.logged().await.iter().filter(|it| *it == "search.rebuilt").count(), 1);
    // Done again, it is not done again.
    let again = rebuild::rebuild(&scene.control, scene.tenant.id, |_| panic!("written again")).await;
    assert_eq!(again.unwrap(), Outcome::Complete);
}

#[tokio::test]
async fn a_lost_index_is_found_before_anybody_searches() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    rebuild::look(&scene.control).await.unwrap();
    assert_eq!(scene.waiting("rebuild_search").await, 0, "a new tenant has a complete one");
    for scene in [&scene, &platform] {
        scene.lose_index().await;
    }
    let deleted = new_tenant(&scene.control, Isolation::Shared).await;
    let mut tx = scene.control.db.tenant_tx(scene.control.db.platform().await.unwrap()).await.unwrap();
    control::tenants::delete(&scene.control, &mut tx, &Actor::operator(), deleted.id).await.unwrap();
    tx.commit().await.unwrap();
    let lose = format!("truncate {}.search_tokens", deleted.cell);
    sqlx::raw_sql(AssertSqlSafe(lose)).execute(&mut scene.database.admin().await).await.unwrap();
    let numbers = Numbers::new();
    let measured = async || {
        let _kept = numbers.keep();
        rebuild::measure(&scene.control).await.unwrap();
        numbers.gauge("wardgate_search_indexes_incomplete").to_string()
    };
    assert_eq!(measured().await, "2", "a deleted tenant has no searches");
    rebuild::look(&scene.control).await.unwrap();
    assert_eq!(scene.waiting("rebuild_search").await, 2);
    runner::run_due(&scene.control).await.unwrap();
    assert_eq!(measured().await, "0");
    for scene in [&scene, &platform] {
        let ada = scene.member("ada", "root-admin").await;
        are(&found(&ada, "ada").await, &["ada"]);
    }
}

#[tokio::test]
async fn a_rebuild_that_is_killed_goes_on_where_it_was() {
    let scene = Scene::alone().await;
    let ada = scene.member("root", "root-admin").await;
    scene.import_names((0..900).map(|n| (format!("u{n:03}"), None, "Ada".to_owned(), format!("Love{n}"))));
    scene.lose_index().await;
    // The run cannot end while another transaction holds a user.
    let mut holder = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let held = "select id from users
        where id = (select id from users where tenant_id = $1 order by id offset 450 limit 1)
        for update";
    sqlx::query(held).bind(scene.tenant.id.uuid()).fetch_one(&mut *holder).await.unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_wardgate"))
        .args(["search", "rebuild", scene.tenant.slug.as_str()])
        .env_clear()
        .envs(&scene.cli().variables)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = tokio::time::Instant::now();
    let mut written = 0;
    while written < 599 {
        assert!(began.elapsed() < Duration::from_secs(60), "{written}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        written = scene.tokens().await;
    }
    run.kill().unwrap();
    run.wait().unwrap();
    holder.commit().await.unwrap();
    ada.get(&format!("{USERS}?search=ada")).await.expect(503);
    let status =
        |word: &str| scene.cli().run(&["search", word, scene.tenant.slug.as_str()], "").expect(0).json;
    assert_eq!(status("status"), json!({"complete": false, "indexed": 599, "users": 901}));
    let mut written = 0;
    rebuild::rebuild(&scene.control, scene.tenant.id, |users| written += users).await.unwrap();
    assert_eq!(written, 302, "what was done stays done");
    assert_eq!(status("rebuild"), json!({"complete": true, "indexed": 901, "users": 901}));
    assert_eq!(found(&ada, "love89").await.len(), 11);
}

/// The last look at all users was before the loss, so it proves nothing.
#[tokio::test]
async fn what_is_lost_while_a_rebuild_looks_is_not_overlooked() {
    let scene = Arc::new(Scene::alone().await);
    let ada = scene.member("root", "root-admin").await;
    let unnoted = format!("delete from {}.search_tokens where tokens = '{{}}'", scene.tenant.cell);
    sqlx::raw_sql(AssertSqlSafe(unnoted)).execute(&mut scene.database.admin().await).await.unwrap();
    let mut looks = 0;
    let looked = |written: usize| {
        looks += usize::from(written == 0);
        if (written, looks) == (0, 1) {
            let scene = scene.clone();
            let lose = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(scene.lose_index());
            };
            std::thread::spawn(lose).join().unwrap();
        }
    };
    let outcome = rebuild::rebuild(&scene.control, scene.tenant.id, looked).await.unwrap();
    assert_eq!((outcome, looks), (Outcome::Complete, 2));
    assert!(scene.complete_is_complete().await);
    are(&found(&ada, "root").await, &["root"]);
}

#[tokio::test]
async fn a_rotated_key_leaves_nothing_under_the_one_of_before() {
    let scene = Scene::alone().await;
    let ada = scene.member("root", "root-admin").await;
    scene.import_names((0..300).map(|n| (format!("u{n:03}"), None, "Ada".to_owned(), format!("Love{n}"))));
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let before = Index::of(&mut tx).await.unwrap().tokens(["lov"]);
    drop(tx);
    let slug = scene.tenant.slug.as_str();
    let asked = scene.cli().run(&["search", "rotate", slug], "").expect(5).stderr;
    assert!(asked.contains("stops searches for users"), "{asked}");
    let rotated = scene.cli().run(&["search", "rotate", slug, "--yes"], "").expect(0).json;
    assert_eq!(rotated, json!({"complete": true, "indexed": 301, "users": 301}));
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let after = Index::of(&mut tx).await.unwrap().tokens(["lov"]);
    assert_eq!(index::candidates(&mut tx, &before, 1000).await.unwrap().len(), 0);
    assert_eq!(index::candidates(&mut tx, &after, 1000).await.unwrap().len(), 300);
    drop(tx);
    assert_eq!(found(&ada, "love33").await.len(), 1);
    let logged = scene.logged().await;
    let of_search: Vec<_> = logged.iter().filter(|it| it.starts_with("search.")).collect();
    assert_eq!(of_search, ["search.rotated", "search.rebuilt"]);
    // A rotation waits for a writer that has the former key, so that its tokens are not missed.
    let mut writer = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let new = |name: &str| NewUser {
        profile: Profile { username: name.into(), last_name: "Lovelace".into(), ..Profile::default() },
        status: UserStatus::Active,
        roles: vec![],
        branch: None,
        password: None,
        must_change_password: false,
        email_verified: true,
    };
    users::create(&scene.control, &mut writer, &Actor::operator(), new("late")).await.unwrap();
    let control = scene.control.clone();
    let tx = control.db.work_tx(scene.tenant.id).await.unwrap();
    let rotation = tokio::spawn(async move { rebuild::rotate(&control, tx, &Actor::operator()).await });
    waits_for_a_lock(&scene).await;
    writer.commit().await.unwrap();
    assert_eq!(rotation.await.unwrap().unwrap(), 3);
    scene.rebuild_index().await;
    are(&found(&ada, "lovelace").await, &["late"]);
}

async fn waits_for_a_lock(scene: &Scene) {
    let waits =
        "select exists (select from pg_locks where locktype = 'advisory' and not granted and database =
        (select oid from pg_database where datname = current_database()))";
    let mut admin = scene.database.admin().await;
    let began = tokio::time::Instant::now();
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut admin).await.unwrap() {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Numbers that a seed repeats.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = u64::from_le_bytes(control::world::random().unwrap());
        let seed =
            std::env::var("WARDGATE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
        eprintln!("WARDGATE_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        // Knuth's multiplier.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// A text of letters and signs of which many are alike.
    fn text(&mut self, most: usize) -> String {
        let length = self.below(most + 1);
        (0..length)
            .map(|_| {
                self.one_of(&["a", "a", "A", "b", "b", "b", "é", "E\u{301}", "ß", "Σ", " ", "-", "7", "李"])
            })
            .collect()
    }
}

/// The rule of the documentation, implemented independently.
fn matches(texts: &[String], search: &str) -> bool {
    let search = folded(search);
    search.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).all(|word| {
        let word: Vec<char> = word.chars().collect();
        texts.iter().any(|text| {
            let text: Vec<char> = text.chars().collect();
            (0..text.len()).filter(|at| text[*at..].starts_with(&word)).any(|at| {
                let joined = |at: usize| text[at].is_alphanumeric();
                word.len() > 2 || at == 0 || !joined(at) || !joined(at - 1)
            })
        })
    })
}

fn texts(user: &users::User) -> Vec<String> {
    let mut texts = vec![folded(user.username.expose())];
    texts.extend(user.email.iter().flat_map(|email| address_forms(email.expose())));
    texts.extend([folded(user.first_name.expose()), folded(user.last_name.expose())]);
    texts
}

impl Scene {
    async fn all_users(&self) -> Vec<users::User> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::list(&mut tx, &users::Matching::default(), &users::in_order(10_000, 0)).await.unwrap()
    }

    /// Holds many searches against a scan of all users.
    async fn searches_are_scans(&self, ada: &Member, chance: &mut Chance, searches: usize) {
        let all = self.all_users().await;
        let mut hits = 0;
        for _ in 0..searches {
            // Of two letters and long, so that many have all pieces of a word and not the word.
            let long: String = (0..chance.below(7)).map(|_| chance.one_of(&["a", "b"])).collect();
            let search = format!("{} {} {long}", chance.text(3), chance.text(2));
            let expected = all.iter().filter(|user| matches(&texts(user), &search));
            let expected: BTreeSet<_> = expected.map(|user| user.username.expose().to_owned()).collect();
            if expected.len() > 100 {
                continue;
            }
            hits += usize::from(!expected.is_empty());
            assert_eq!(found(ada, &search).await, expected, "{search:?}");
        }
        assert!(hits * 10 > searches, "only {hits} of {searches} searches find somebody");
    }
}

#[tokio::test]
async fn a_search_finds_whom_a_scan_finds() {
    let scene = Scene::new().await;
    let ada = scene.member("root", "root-admin").await;
    let mut chance = Chance::new();
    scene.import_names((0..90).map(|n| {
        let local = chance.one_of(&["a", "ab", "nn.a", "ab7"]);
        let email = format!("{local}.{n}@{}", chance.one_of(&["ab.test", "bücher.example", "x-a.test"]));
        let username = format!("{}{n}", chance.one_of(&["a", "ann.", "ß", "b-"]));
        let email = Some(email).filter(|_| n % 3 > 0);
        (username, email, chance.text(8), chance.text(8))
    }));
    assert_eq!(scene.tokens().await, 91);
    scene.searches_are_scans(&ada, &mut chance, 150).await;
}

/// Makes, renames and deletes users until it is stopped, and returns how often it did.
async fn edits(scene: Arc<Scene>, mut chance: Chance, who: usize, stop: Arc<AtomicBool>) -> usize {
    let (control, actor) = (&scene.control, Actor::operator());
    let (mut mine, mut done): (Vec<UserId>, usize) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut tx) = control.db.tenant_tx(scene.tenant.id).await else { continue };
        let profile = Profile {
            username: format!("{}w{who}n{done}", chance.one_of(&["a", "ab", "ß"])),
            first_name: chance.text(6),
            last_name: chance.text(6),
            ..Profile::default()
        };
        let at = chance.below(mine.len() + 1);
        let edited = match (chance.below(4), mine.get(at).copied()) {
            (0, Some(id)) => users::delete(control, &mut tx, &actor, id).await.map(|()| Some(id)),
            (1 | 2, Some(id)) => {
                let change = Change {
                    username: Some(profile.username),
                    first_name: Some(profile.first_name),
                    last_name: Some(profile.last_name),
                    ..Change::default()
                };
                users::change(control, &mut tx, &actor, id, change).await.map(|_| None)
            }
            _ => {
                let (status, roles) = (UserStatus::Active, vec![]);
                let new = NewUser {
                    profile,
                    status,
                    roles,
                    branch: None,
                    password: None,
                    must_change_password: false,
                    email_verified: true,
                };
                let user = users::create(control, &mut tx, &actor, new).await;
                user.map(|user| {
                    mine.push(user.id);
                    None
                })
            }
        };
        match edited {
            Err(UserError::Failure(failure)) if failure.is_passing() => continue,
            edited => {
                let gone = edited.unwrap();
                // Some are undone.
                if chance.below(8) == 0 {
                    drop(tx);
                    if gone.is_none() && mine.len() > at {
                        let ids: BTreeSet<_> = scene.all_users().await.iter().map(|user| user.id).collect();
                        mine.retain(|id| ids.contains(id));
                    }
                    continue;
                }
                tx.commit().await.unwrap();
                mine.retain(|id| Some(*id) != gone);
                done += 1;
            }
        }
    }
    done
}

impl Scene {
    /// Whether the index is marked as complete. If so, asserts it: at one moment, every user has tokens under the
    /// newest key, and no deleted user has any.
    async fn complete_is_complete(&self) -> bool {
        let state = "with newest as (select max(version) as v from platform.roots where kind = 'search')
            select exists (select from search_tokens where tenant_id = $1 and version = 0 and tokens = '{}'),
                (select count(*) from users u where not exists (
                    select from search_tokens s, newest
                    where s.tenant_id = u.tenant_id and s.user_id = u.id and s.version = v)),
                (select count(*) from search_tokens s where s.tenant_id = $1 and s.version > 0 and not exists (
                    select from users u where u.id = s.user_id))";
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let row = sqlx::query(state).bind(self.tenant.id.uuid()).fetch_one(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let (complete, lacking, astray): (bool, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert!(
            !complete || (lacking, astray) == (0, 0),
            "complete, but {lacking} lack tokens, {astray} are of nobody"
        );
        complete
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_is_right_whoever_edits_meanwhile() {
    let more = vec![("WARDGATE_DATABASE_MAX_CONNECTIONS", "24".into())];
    let scene = Arc::new(Scene::under(more, Isolation::Schema).await);
    let ada = scene.member("root", "root-admin").await;
    let mut chance = Chance::new();
    scene.import_names((0..400).map(|n| (format!("u{n:03}"), None, chance.text(8), chance.text(8))));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|who| {
            let chance = Chance(chance.0.wrapping_add(who as u64));
            tokio::spawn(edits(scene.clone(), chance, who, stop.clone()))
        })
        .collect();
    // As two controls do.
    let runs = [scene.clone(), scene.clone()].map(|scene| {
        let stop = stop.clone();
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                rebuild::rebuild(&scene.control, scene.tenant.id, |_| {}).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    let truncate = format!("truncate {}.search_tokens", scene.tenant.cell);
    let mut admin = scene.database.admin().await;
    for round in 0..scaled(15, 150) {
        if round % 3 == 0 {
            let tx = scene.control.db.work_tx(scene.tenant.id).await.unwrap();
            rebuild::rotate(&scene.control, tx, &Actor::operator()).await.unwrap();
        } else {
            // Waits for transactions that have written tokens, which a crash would end.
            sqlx::raw_sql(AssertSqlSafe(truncate.clone())).execute(&mut admin).await.unwrap();
        }
        for _ in 0..=chance.below(12) {
            scene.complete_is_complete().await;
        }
    }
    while !scene.complete_is_complete().await {}
    stop.store(true, Ordering::Relaxed);
    for run in runs {
        run.await.unwrap();
    }
    let mut edited = 0;
    for writer in writers {
        edited += writer.await.unwrap();
    }
    eprintln!("{edited} edits meanwhile");
    assert!(edited > 20 && scene.complete_is_complete().await);
    scene.searches_are_scans(&ada, &mut chance, 60).await;
}

#[tokio::test]
async fn names_order_a_list_of_ten_thousand_at_most() {
    let scene = Scene::alone().await;
    let ada = scene.member("root", "root-admin").await;
    for (username, email) in [("Bob", None), ("alice", Some("z@x.test")), ("Çelik", Some("A@x.test"))] {
        user(&ada, json!({"username": username, "email": email})).await;
    }
    let by = |ordering: &str| format!("{USERS}?ordering={ordering}");
    let ordered = async |ordering| names(&ada.get(&by(ordering)).await.expect(200));
    assert_eq!(ordered("username").await, ["alice", "Bob", "root", "Çelik"], "as names are compared");
    assert_eq!(ordered("-email").await[..2], ["alice", "Çelik"]);
    // A cursor continues after the name that it ended with, also if that user was renamed.
    let first = ada.get(&format!("{}&page_size=2&cursor=", by("username"))).await.expect(200);
    assert_eq!(names(&first), ["alice", "Bob"]);
    let next = first.body["next"].as_str().unwrap();
    let next = &next[next.find("/api/").unwrap()..];
    let bob = first.body["results"][1]["id"].as_str().unwrap();
    ada.patch(&format!("{USERS}{bob}/"), json!({"username": "zed"})).await.expect(200);
    let second = ada.get(next).await.expect(200);
    assert_eq!(names(&second), ["root", "zed"]);
    let previous = second.body["previous"].as_str().unwrap();
    let previous = &previous[previous.find("/api/").unwrap()..];
    assert_eq!(names(&ada.get(previous).await.expect(200)), ["alice"]);

    let fill = async |rows: usize| {
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let profile = |n| Profile { username: format!("crowd{n}"), ..Profile::default() };
        let ids = crowd::insert(&mut tx, &(1..=rows).map(profile).collect::<Vec<_>>()).await;
        let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        let status = "update users
                      set status = case when id = $1 then 'inactive' else 'pending' end, created_at = now()
                      where id = any ($2)";
        sqlx::query(status).bind(ids[0]).bind(ids).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    fill(9_996).await;
    #[allow(clippy::disallowed_methods, reason = "a duration is only reported")]
    let began = std::time::Instant::now();
    assert_eq!(ordered("-username").await[..1], ["Çelik"]);
    eprintln!("a page of 10,000 ordered by name: {:?}", began.elapsed());
    let last = ada.get(&format!("{}&page=last", by("username"))).await.expect(200);
    assert_eq!(names(&last).last().unwrap(), "Çelik");
    fill(1).await;
    for (ordering, said) in
        [("username", "`username`"), ("-last_login,email,username", "`email` or `username`")]
    {
        let refused = ada.get(&by(ordering)).await.expect(400).body;
        let said = format!(
            "{said} orders up to 10,000 people, and more match: narrow the list, or order it otherwise."
        );
        assert_eq!(refused, json!({"ordering": [said]}));
    }
    // Orders that SQL can make still work; and with fewer matches, all orders do.
    assert_eq!(ordered("created_at").await[0], "root");
    assert_eq!(ordered("-username&status=active").await, ["Çelik", "zed", "root", "alice"]);
    let slug = scene.tenant.slug.to_string();
    let list = ["user", "list", "--tenant", &slug, "--ordering", "username"];
    let refused = scene.cli().run(&list, "").expect(5).stderr;
    assert!(refused.contains("--ordering: `username` orders up to 10,000 people"), "{refused}");
}
