//! Lists: every filter, every ordering, and cursors that keep their place while rows come and go.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::ids::UserId;

use crate::scene::{Answer, Member, Scene};

const USERS: &str = "/api/user/users/";

async fn user(ada: &Member, body: Value) -> UserId {
    ada.post(USERS, body).await.expect(201).id()
}

fn names(answer: &Answer) -> Vec<String> {
    let results = answer.body["results"].as_array().unwrap();
    results.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
}

async fn found(ada: &Member, query: &str) -> Vec<String> {
    let answer = ada.get(&format!("{USERS}?{query}")).await.expect(200);
    let found = names(&answer);
    assert_eq!(answer.body["count"], found.len(), "{query}");
    found
}

#[tokio::test]
async fn every_filter_narrows_to_what_it_says() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let before = scene.control.clock.now();
    user(&ada, json!({"username": "Bob", "email": "Bob@Acme.test", "roles": ["staff"]})).await;
    user(&ada, json!({"username": "bob@other.test", "email": "b@acme.test", "is_active": false})).await;
    user(&ada, json!({"username": "cyd", "status": "suspended", "email_verified": false})).await;
    for (query, expected) in [
        ("status=suspended", vec!["cyd"]),
        ("status=inactive", vec!["bob@other.test"]),
        ("is_active=true", vec!["ada", "Bob"]),
        ("is_active=0", vec!["bob@other.test", "cyd"]),
        ("role=staff", vec!["Bob"]),
        ("role=client", vec!["bob@other.test", "cyd"]),
        ("role=king", vec![]),
        ("username=BOB", vec!["Bob"]),
        ("username=bo", vec![]),
        // Somebody's address is nobody's user name, and the other way round.
        ("username=bob@acme.test", vec![]),
        ("email=bob@other.test", vec![]),
        ("email=bob%40ACME.test", vec!["Bob"]),
        ("email=bob@acme.test&username=bob", vec!["Bob"]),
        ("email=bob@acme.test&username=cyd", vec![]),
        ("username=not%20a%20name", vec![]),
        ("email_verified=false", vec!["cyd"]),
        ("branch=01890a5d-ac96-774b-bcce-b302099a8057", vec![]),
        ("status=inactive&is_active=true", vec![]),
        ("is_active=&status=&search=", vec!["ada", "Bob", "bob@other.test", "cyd"]),
    ] {
        assert_eq!(found(&ada, query).await, expected, "{query}");
    }
    let at = |moment: DateTime<Utc>| moment.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    assert_eq!(found(&ada, &format!("created_after={}", at(before))).await, ["Bob", "bob@other.test", "cyd"]);
    assert_eq!(found(&ada, &format!("created_before={}", at(before))).await, ["ada"]);
    let (yesterday, today) = (before - TimeDelta::days(1), before.format("%Y-%m-%d"));
    let yesterday = yesterday.format("%Y-%m-%d");
    assert_eq!(found(&ada, &format!("created_after={yesterday}")).await.len(), 4);
    assert_eq!(found(&ada, &format!("created_before={yesterday}")).await.len(), 0);
    assert_eq!(found(&ada, &format!("created_after={today}&created_before={today}")).await.len(), 4);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_said_at_once() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let query =
        "status=gone&is_active=zzz&branch=7&created_after=x&ordering=password&shoe_size=43&search=%00";
    let refused = ada.get(&format!("{USERS}?{query}")).await.expect(400);
    assert_eq!(
        refused.body,
        json!({
            "status": ["\"gone\" is not a valid choice."],
            "is_active": ["Must be a valid boolean."],
            "branch": ["Must be a valid UUID."],
            "created_after": ["Enter a valid date/time."],
            "ordering": ["\"password\" is not a valid choice."],
            "shoe_size": ["Unknown parameter."],
            "search": ["Null characters are not allowed."],
        })
    );
    for other in ["/api/audit/", "/api/tenant/tenants/", "/api/user/roles/"] {
        let refused = ada.get(&format!("{other}?is_active=true")).await.expect(400);
        assert_eq!(refused.body, json!({"is_active": ["Unknown parameter."]}), "{other}");
    }
    for query in ["page=99", "page=0", "page=x", "search=nobody&page=2"] {
        let missing = ada.get(&format!("{USERS}?{query}")).await.expect(404);
        assert_eq!(missing.body, json!({"detail": "Invalid page."}), "{query}");
    }
    let words = vec!["a"; 17].join("+");
    let refused = ada.get(&format!("{USERS}?search={words}")).await.expect(400);
    assert_eq!(refused.body, json!({"search": ["Enter no more than 16 words."]}));
    // Who may not read users is not told what could be asked for.
    let client = scene.member("client", "client").await;
    client.get(&format!("{USERS}?shoe_size=43")).await.expect(403);
}

#[tokio::test]
async fn a_search_takes_letters_for_letters() {
    let scene = Scene::new().await;
    let ada = scene.member("root", "root-admin").await;
    for (username, first, last, email) in [
        ("a%b", "Ada", "Lovelace", Some("ada@acme.test")),
        ("a_b", "ÉMILIE", "du Châtelet", Some("e@acme.test")),
        ("a\\b", "Ада", "Лавлейс", Some("lavlejs@acme.test")),
        ("axb", "O'Brien", "\"Quote\"", None),
    ] {
        let body = json!({"username": username, "first_name": first, "last_name": last, "email": email});
        user(&ada, body).await;
    }
    for (search, expected) in [
        ("%25", vec!["a%b"]),
        ("_", vec!["a_b"]),
        ("%5C", vec!["a\\b"]),
        ("A%25B", vec!["a%b"]),
        ("a_b", vec!["a_b"]),
        ("LOVE", vec!["a%b"]),
        ("émilie", vec!["a_b"]),
        ("ChÂtelet", vec!["a_b"]),
        ("ада", vec!["a\\b"]),
        ("o%27brien", vec!["axb"]),
        ("%22quote", vec!["axb"]),
        ("acme.TEST", vec!["a%b", "a_b", "a\\b"]),
        // Every word must be found, each where it will.
        ("lovelace+ada", vec!["a%b"]),
        ("ada,acme", vec!["a%b"]),
        ("ada+châtelet", vec![]),
        ("nobody", vec![]),
        ("+,+", vec!["root", "a%b", "a_b", "a\\b", "axb"]),
    ] {
        assert_eq!(found(&ada, &format!("search={search}")).await, expected, "{search}");
    }
    // Two fields that touch are no word.
    assert_eq!(found(&ada, "search=%25bada").await.len(), 0);
}

/// Names of all pages, by number or by cursor, in both directions.
async fn walked(ada: &Member, query: &str) -> [Vec<String>; 3] {
    let base = format!("{USERS}?{query}&page_size=2");
    let pages = follow(ada, &base, "next").await;
    let by_cursor = follow(ada, &format!("{base}&cursor="), "next").await;
    let last = by_cursor.1;
    let mut back: Vec<String> = Vec::new();
    let mut answer = last;
    loop {
        let mut page = names(&answer);
        page.extend(back);
        back = page;
        match next_of(&answer, "previous") {
            Some(path) => answer = ada.get(&path).await.expect(200),
            None => break,
        }
    }
    [pages.0, by_cursor.0, back]
}

fn next_of(answer: &Answer, which: &str) -> Option<String> {
    let link = answer.body[which].as_str()?;
    Some(link[link.find("/api/").unwrap()..].to_owned())
}

async fn follow(ada: &Member, first: &str, which: &str) -> (Vec<String>, Answer) {
    let mut all = Vec::new();
    let mut answer = ada.get(first).await.expect(200);
    loop {
        all.extend(names(&answer));
        match next_of(&answer, which) {
            Some(path) => answer = ada.get(&path).await.expect(200),
            None => return (all, answer),
        }
    }
}

#[tokio::test]
async fn every_ordering_has_a_place_for_equals() {
    let scene = Scene::new().await;
    let ada = scene.member("m", "root-admin").await;
    let mut ids = vec![(ada.id, "m")];
    for (username, email) in
        [("z", Some("a@x.test")), ("b", None), ("Ä", Some("c@x.test")), ("k", None), ("y", Some("b@x.test"))]
    {
        let id = user(&ada, json!({"username": username, "email": email})).await;
        ids.push((id, username));
    }
    // Two signed in at the same moment, the others never.
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let at = scene.control.clock.now();
    for (id, _) in ids.iter().filter(|(_, name)| ["z", "k"].contains(name)) {
        control::users::store::signed_in(&mut tx, *id, at).await.unwrap();
    }
    // Three were made at once.
    sqlx::query("update users set created_at = $1 where username in ('b', 'k', 'z')")
        .bind(at - TimeDelta::days(1))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    ids.sort();
    let by_id: Vec<&str> = ids.iter().map(|(_, name)| *name).collect();
    let in_id_order = |names: &[&str]| by_id.iter().copied().filter(|name| names.contains(name)).collect();
    let chain = |parts: [Vec<&'static str>; 2]| parts.concat();
    let rest: Vec<&str> = in_id_order(&["m", "Ä", "y"]);
    for (ordering, expected) in [
        ("id", by_id.clone()),
        ("username", vec!["b", "k", "m", "y", "z", "Ä"]),
        ("email", chain([in_id_order(&["m", "b", "k"]), vec!["z", "y", "Ä"]])),
        ("created_at", chain([in_id_order(&["b", "k", "z"]), rest])),
        ("last_login", chain([in_id_order(&["m", "b", "Ä", "y"]), in_id_order(&["z", "k"])])),
    ] {
        for walked in walked(&ada, &format!("ordering={ordering}")).await {
            assert_eq!(walked, expected, "{ordering}");
        }
        let backwards: Vec<_> = expected.into_iter().rev().collect();
        for walked in walked(&ada, &format!("ordering=-{ordering}")).await {
            assert_eq!(walked, backwards, "-{ordering}");
        }
    }
}

#[tokio::test]
async fn a_cursor_keeps_its_place_while_users_come_and_go() {
    let scene = Scene::new().await;
    let ada = scene.member("m", "root-admin").await;
    let mut made = HashSet::from(["m".to_owned()]);
    for n in 0..20 {
        user(&ada, json!({"username": format!("n{n:02}")})).await;
        made.insert(format!("n{n:02}"));
    }
    let mut path = format!("{USERS}?ordering=username&page_size=3&cursor=");
    let mut seen = Vec::new();
    for round in 0.. {
        let answer = ada.get(&path).await.expect(200);
        seen.extend(names(&answer));
        let Some(next) = next_of(&answer, "next") else { break };
        path = next;
        // One comes before every place reached so far; the row at which the page ended goes.
        user(&ada, json!({"username": format!("a{round}")})).await;
        let last = answer.body["results"].as_array().unwrap().last().unwrap();
        if last["username"] != "m" {
            ada.delete(&format!("{USERS}{}/", last["id"].as_str().unwrap())).await.expect(204);
        }
    }
    let unique: HashSet<_> = seen.iter().cloned().collect();
    assert_eq!(unique.len(), seen.len(), "a row came twice: {seen:?}");
    assert_eq!(unique, made, "a row was passed over");
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_alone() {
    let (scene, other) = (Scene::new().await, Scene::new().await);
    let (ada, eve) = (scene.member("a", "root-admin").await, other.member("a", "root-admin").await);
    for (scene, of) in [(&scene, "ada"), (&other, "eve")] {
        for n in 0..3 {
            scene.member(&format!("{of}{n}"), "client").await;
        }
    }
    let query = "ordering=username&page_size=2";
    let first = ada.get(&format!("{USERS}?{query}&cursor=")).await.expect(200);
    let next = next_of(&first, "next").unwrap();
    let cursor = next.split("cursor=").nth(1).unwrap().split('&').next().unwrap();
    ada.get(&format!("{USERS}?{query}&cursor={cursor}")).await.expect(200);
    let mut forged = cursor.to_owned();
    forged.replace_range(0..1, if forged.starts_with('e') { "f" } else { "e" });
    for (who, path) in [
        (&eve, format!("{USERS}?{query}&cursor={cursor}")),
        (&ada, format!("{USERS}?ordering=-username&page_size=2&cursor={cursor}")),
        (&ada, format!("{USERS}?ordering=username&page_size=3&cursor={cursor}")),
        (&ada, format!("{USERS}?{query}&is_active=true&cursor={cursor}")),
        (&ada, format!("/api/audit/?page_size=2&cursor={cursor}")),
        (&ada, format!("{USERS}?{query}&cursor={forged}")),
        (&ada, format!("{USERS}?{query}&cursor=x")),
    ] {
        let refused = who.get(&path).await.expect(404);
        assert_eq!(refused.body, json!({"detail": "Invalid cursor."}), "{path}");
    }
}

#[tokio::test]
async fn the_log_is_read_by_cursor_too() {
    let scene = Scene::new().await;
    let ada = scene.member("a", "root-admin").await;
    for n in 0..6 {
        user(&ada, json!({"username": format!("u{n}")})).await;
    }
    let count = ada.get("/api/audit/").await.expect(200).body["count"].as_u64().unwrap();
    for ordering in ["at", "-at"] {
        let mut ids = Vec::new();
        let mut path = format!("/api/audit/?ordering={ordering}&page_size=2&cursor=");
        loop {
            let answer = ada.get(&path).await.expect(200);
            let results = answer.body["results"].as_array().unwrap();
            ids.extend(results.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
            match next_of(&answer, "next") {
                Some(next) => path = next,
                None => break,
            }
        }
        assert_eq!(ids.iter().collect::<HashSet<_>>().len() as u64, count, "{ordering}");
        assert_eq!(ids.len() as u64, count, "{ordering}");
    }
}
