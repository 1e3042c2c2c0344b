//! What is sent twice, and what was read before it is changed: `Idempotency-Key`, `ETag`, `If-Match`.

use std::collections::HashSet;

use chrono::TimeDelta;
use control::http::once;
use control::jobs::runner;
use control::tenants::Isolation;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::scale::Numbers;
use crate::scene::{Answer, Member, PASSWORD, Scene, new_tenant};

const USERS: &str = "/api/user/users/";
const TENANTS: &str = "/api/tenant/tenants/";

async fn once(who: &Member, path: &str, key: &str, body: &Value) -> Answer {
    who.with(Method::POST, path, &[("idempotency-key", key)], Some(body.clone())).await
}

#[tokio::test]
async fn a_creation_that_is_sent_twice_happens_once() {
    let scene = Scene::new().await;
    let (ada, bob) = (scene.member("ada", "root-admin").await, scene.member("bob", "root-admin").await);
    let body = json!({"username": "cyd", "password": PASSWORD, "first_name": "C"});
    let first = once(&ada, USERS, "k1", &body).await.expect(201);
    let path = format!("{USERS}{}/", first.id());
    assert_eq!(once(&ada, USERS, "k1", &body).await.expect(201).body, first.body);
    // The response is the present object, not the stored first response.
    ada.patch(&path, json!({"first_name": "Cyd"})).await.expect(200);
    let again = once(&ada, USERS, "k1", &body).await.expect(201);
    assert_eq!((again.id(), &again.body["first_name"]), (first.id(), &json!("Cyd")));
    let made = scene.logged().await.iter().filter(|action| *action == "user.created").count();
    assert_eq!(made, 3, "ada, bob and cyd");

    for other in [json!({"username": "dan"}), json!({"username": "cyd", "password": PASSWORD})] {
        let refused = once(&ada, USERS, "k1", &other).await.expect(422);
        assert_eq!(refused.body["code"], "idempotency_key_reused");
    }
    // The key belongs to this user: for another user it is a new key, and cyd exists already.
    once(&bob, USERS, "k1", &body).await.expect(400);
    // A failed request is not remembered.
    once(&ada, USERS, "k2", &json!({"username": "d d"})).await.expect(400);
    let dan = once(&ada, USERS, "k2", &json!({"username": "dan"})).await.expect(201);
    ada.delete(&format!("{USERS}{}/", dan.id())).await.expect(204);
    once(&ada, USERS, "k2", &json!({"username": "dan"})).await.expect(404);
    for bad in ["", "ä", &"x".repeat(256)] {
        let refused = once(&ada, USERS, bad, &json!({"username": "eve"})).await.expect(400);
        assert!(refused.body["Idempotency-Key"].is_array(), "{}", refused.body);
    }
}

#[tokio::test]
async fn what_was_done_already_costs_no_hash() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let numbers = Numbers::new();
    let _kept = numbers.keep();
    let body = json!({"username": "cyd", "password": PASSWORD});
    for _ in 0..3 {
        once(&ada, USERS, "k", &body).await.expect(201);
        assert_eq!(numbers.asked_for("passwords"), 1);
    }
    let admin = json!({"username": "eve", "email": "eve@acme.example", "password": PASSWORD});
    let tenant = json!({"slug": "second", "name": "Second", "admin": admin});
    for _ in 0..3 {
        once(&root, TENANTS, "k", &tenant).await.expect(201);
        assert_eq!(numbers.asked_for("passwords"), 2);
    }
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let body = json!({"username": "cyd"});
    let first = once(&ada, USERS, "k", &body).await.expect(201);
    scene.control.clock.advance(TimeDelta::hours(23));
    let ada = scene.acting_as(&scene.user(ada.id).await).await;
    assert_eq!(once(&ada, USERS, "k", &body).await.expect(201).id(), first.id());
    let kept = || async {
        let mut admin = scene.database.admin().await;
        let count = "select count(*) from platform.idempotency_keys where tenant_id = $1";
        sqlx::query_scalar::<_, i64>(count).bind(scene.tenant.id.uuid()).fetch_one(&mut admin).await.unwrap()
    };
    once::sweep(&scene.control).await.unwrap();
    assert_eq!(kept().await, 1);
    scene.control.clock.advance(TimeDelta::hours(2));
    let ada = scene.acting_as(&scene.user(ada.id).await).await;
    once(&ada, USERS, "k", &body).await.expect(400);
    // Before it is swept it can be used again.
    once(&ada, USERS, "k", &json!({"username": "dan"})).await.expect(201);
    assert_eq!(kept().await, 1);
    scene.control.clock.advance(TimeDelta::hours(25));
    once::sweep(&scene.control).await.unwrap();
    assert_eq!(kept().await, 0);
}

#[tokio::test]
async fn of_sixteen_at_once_with_one_key_one_is_made() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    for round in 0..5 {
        let (key, body) = (format!("k{round}"), json!({"username": format!("u{round}")}));
        let answers = join_all((0..16).map(|_| once(&ada, USERS, &key, &body))).await;
        let mut ids = HashSet::new();
        for answer in answers {
            match answer.status {
                201 => {
                    ids.insert(answer.id());
                }
                409 => assert_eq!(answer.header("retry-after"), "1"),
                other => panic!("round {round}: {other} {}", answer.body),
            }
        }
        assert_eq!(ids.len(), 1, "round {round}");
        // Once there is an answer, everyone gets it, however many ask at once.
        for repeat in join_all((0..16).map(|_| once(&ada, USERS, &key, &body))).await {
            assert!(ids.contains(&repeat.expect(201).id()));
        }
    }
    assert_eq!(ada.get(USERS).await.expect(200).body["count"], 6);
}

#[tokio::test]
async fn who_asks_while_the_first_is_still_running_is_told_so() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let body = json!({"username": "cyd"});
    // No name can be assigned while the table is locked, so the first request blocks.
    let mut admin = scene.database.admin().await;
    let mut held = admin.begin().await.unwrap();
    let lock = format!("lock table {}.identifiers in exclusive mode", scene.tenant.cell);
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *held).await.unwrap();
    let first = tokio::spawn({
        let (ada, body) = (ada.clone(), body.clone());
        async move { once(&ada, USERS, "k", &body).await }
    });
    let mut observer = scene.database.admin().await;
    let waits = "select exists (
        select from pg_locks where not granted and relation = to_regclass($1)
    )";
    let table = format!("{}.identifiers", scene.tenant.cell);
    while !sqlx::query_scalar::<_, bool>(waits).bind(&table).fetch_one(&mut observer).await.unwrap() {
        assert!(!first.is_finished(), "it did not wait");
        tokio::task::yield_now().await;
    }
    let refused = once(&ada, USERS, "k", &body).await.expect(409);
    assert_eq!((&refused.body["code"], refused.header("retry-after")), (&json!("conflict"), "1"));
    held.rollback().await.unwrap();
    let first = first.await.unwrap().expect(201);
    assert_eq!(once(&ada, USERS, "k", &body).await.expect(201).id(), first.id());
}

#[tokio::test]
async fn a_tenant_is_made_once_too() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let admin = json!({"username": "ada", "password": PASSWORD});
    let body = json!({"slug": "beta", "name": "Beta", "isolation": "shared", "admin": admin});
    let first = once(&root, TENANTS, "k", &body).await.expect(201);
    assert_eq!(once(&root, TENANTS, "k", &body).await.expect(201).body, first.body);
    once(&root, TENANTS, "k", &json!({"slug": "gamma", "name": "Gamma"})).await.expect(422);
    // The same key on another route is another key.
    once(&root, USERS, "k", &json!({"username": "gus"})).await.expect(201);
    assert_eq!(root.get(TENANTS).await.expect(200).body["count"], 3, "platform, stage, beta");
    // A key of one tenant says nothing at another.
    let other = new_tenant(&scene.control, Isolation::Schema).await;
    let eve = Scene { tenant: other, ..scene.platform().await }.member("eve", "root-admin").await;
    once(&eve, USERS, "k", &json!({"username": "hal"})).await.expect(201);
}

/// The checks for every object that is read and edited at `path`.
async fn guarded(who: &Member, path: &str, field: &str) {
    let with = |method, name, value: String, body| async move {
        who.with(method, path, &[(name, value.as_str())], body).await
    };
    let read = who.get(path).await.expect(200);
    let old = read.header("etag").to_owned();
    assert!(old.starts_with('"') && old.len() > 20, "{old}");
    let same = with(Method::GET, "if-none-match", format!("\"x\", {old}"), None).await.expect(304);
    assert_eq!((same.header("etag"), &same.body), (old.as_str(), &Value::Null));
    for list in [format!("W/{old}"), String::from("*"), format!(", \"a,b\" ,W/{old}")] {
        with(Method::GET, "if-none-match", list, None).await.expect(304);
    }
    for list in ["\"x\"", "x", ""] {
        with(Method::GET, "if-none-match", list.into(), None).await.expect(200);
    }
    with(Method::GET, "if-match", "\"x\"".into(), None).await.expect(412);
    let body = |text: &str| Some(json!({field: text}));
    with(Method::PATCH, "if-match", "x".into(), body("none")).await.expect(400);
    with(Method::PATCH, "if-none-match", "*".into(), body("none")).await.expect(412);
    with(Method::PATCH, "if-none-match", old.clone(), body("none")).await.expect(412);
    let changed = with(Method::PATCH, "if-match", old.clone(), body("one")).await.expect(200);
    let new = changed.header("etag").to_owned();
    assert_ne!(new, old);
    // A client that read it before that change would undo the change unknowingly.
    let lost = with(Method::PATCH, "if-match", old.clone(), body("two")).await.expect(412);
    assert_eq!(lost.body["code"], "precondition_failed");
    with(Method::DELETE, "if-match", old.clone(), None).await.expect(412);
    let read = with(Method::GET, "if-none-match", old, None).await.expect(200);
    assert_eq!((read.header("etag"), &read.body[field]), (new.as_str(), &json!("one")));
    with(Method::PATCH, "if-match", "*".into(), body("three")).await.expect(200);
    // A proxy that compressed the answer has made the tag a weak one.
    let now = who.get(path).await.expect(200).header("etag").to_owned();
    with(Method::PATCH, "if-match", format!("\"x\", W/{now}"), body("four")).await.expect(200);
    with(Method::PATCH, "if-match", format!("W/{now}"), body("five")).await.expect(412);
    let now = who.get(path).await.expect(200).header("etag").to_owned();

    let edits = (0..16).map(|n| with(Method::PATCH, "if-match", now.clone(), body(&format!("n{n}"))));
    let statuses: Vec<_> = join_all(edits).await.into_iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 15, "{statuses:?}");
    // Who does not say what they read changes what there is.
    who.patch(path, json!({field: "five"})).await.expect(200);
}

#[tokio::test]
async fn no_change_of_a_user_is_lost_unseen() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    let path = format!("{USERS}{}/", bob.id);
    guarded(&ada, &path, "first_name").await;
    let put = |tag: String| {
        let (ada, path) = (ada.clone(), path.clone());
        async move {
            let body = json!({"username": "bob", "phone": "1"});
            ada.with(Method::PUT, &path, &[("if-match", &tag)], Some(body)).await
        }
    };
    let tag = ada.get(&path).await.expect(200).header("etag").to_owned();
    put(tag.clone()).await.expect(200);
    put(tag).await.expect(412);
    let tag = ada.get(&path).await.expect(200).header("etag").to_owned();
    ada.with(Method::DELETE, &path, &[("if-match", &tag)], None).await.expect(204);
}

#[tokio::test]
async fn no_change_of_a_tenant_is_lost_unseen() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    guarded(&root, &format!("{TENANTS}{}/", scene.tenant.id), "name").await;
}

#[tokio::test]
async fn settings_that_are_changed_at_once_are_all_kept() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let path = format!("{TENANTS}{}/", scene.tenant.id);
    for round in 1..=5 {
        let wanted =
            [("idle_secs", 3600 + round), ("retry_window_secs", round), ("access_ttl_secs", 300 + round)];
        let edits = wanted.map(|(name, value)| ada.patch(&path, json!({"settings": {name: value}})));
        for answer in join_all(edits).await {
            answer.expect(200);
        }
        let settings = ada.get(&path).await.expect(200).body["settings"].clone();
        for (name, value) in wanted {
            assert_eq!(settings[name], value, "round {round}: {name}");
        }
    }
}

#[tokio::test]
async fn a_sign_in_is_no_edit_of_a_user() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    let path = format!("{USERS}{}/", bob.id);
    let read = ada.get(&path).await.expect(200);
    let tag = read.header("etag").to_owned();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let at = scene.control.clock.now();
    control::users::store::signed_in(&mut tx, bob.id, at).await.unwrap();
    tx.commit().await.unwrap();
    ada.delete(&format!("{path}sessions/")).await.expect(204);
    // The copy is out of date, but nothing that an edit sets has changed.
    let again = ada.with(Method::GET, &path, &[("if-none-match", &tag)], None).await.expect(200);
    assert_ne!(again.body["last_login"], read.body["last_login"]);
    assert_ne!(again.header("etag"), tag);
    let edited = ada.with(Method::PATCH, &path, &[("if-match", &tag)], Some(json!({"phone": "1"}))).await;
    edited.expect(200);
    ada.with(Method::PATCH, &path, &[("if-match", &tag)], Some(json!({"phone": "2"}))).await.expect(412);
    // A password is set by an edit, though no answer shows it.
    let tag = ada.get(&path).await.expect(200).header("etag").to_owned();
    ada.patch(&path, json!({"password": PASSWORD})).await.expect(200);
    let lost = json!({"password": "another horse battery staple"});
    ada.with(Method::PATCH, &path, &[("if-match", &tag)], Some(lost)).await.expect(412);
}

#[tokio::test]
async fn what_control_does_by_itself_is_no_edit_of_a_tenant() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let made =
        root.post(TENANTS, json!({"slug": "beta", "name": "Beta", "isolation": "shared"})).await.expect(201);
    let path = format!("{TENANTS}{}/", made.body["id"].as_str().unwrap());
    runner::run_due(&scene.control).await.unwrap();
    let with = |method, name, tag: String, body| {
        let (root, path) = (root.clone(), path.clone());
        async move { root.with(method, &path, &[(name, tag.as_str())], body).await }
    };
    let tag = made.header("etag").to_owned();
    with(Method::GET, "if-none-match", tag.clone(), None).await.expect(200);
    with(Method::PATCH, "if-match", tag.clone(), Some(json!({"name": "One"}))).await.expect(200);
    with(Method::PATCH, "if-match", tag, Some(json!({"name": "Two"}))).await.expect(412);
    // The last password of another service is hashed again at a sign-in.
    let foreign = |left: bool| {
        let set = sqlx::query("update platform.tenants set foreign_left = $1 where slug = 'beta'");
        let database = scene.database.clone();
        async move { set.bind(left).execute(&mut database.admin().await).await.unwrap() }
    };
    foreign(true).await;
    let tag = root.get(&path).await.expect(200).header("etag").to_owned();
    foreign(false).await;
    with(Method::PATCH, "if-match", tag, Some(json!({"name": "Three"}))).await.expect(200);
    let tag = root.get(&path).await.expect(200).header("etag").to_owned();
    root.patch(&path, json!({"status": "suspended"})).await.expect(200);
    with(Method::PATCH, "if-match", tag, Some(json!({"name": "Four"}))).await.expect(412);
}
