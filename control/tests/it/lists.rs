//! Lists: every filter, every ordering, and cursors that keep their place while rows come and go.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use control::users::Profile;
use serde_json::{Value, json};
use shared::ids::UserId;

use crate::crowd;
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
        ("role=client&status=suspended", vec!["cyd"]),
        ("role=client&is_active=false&search=bob", vec!["bob@other.test"]),
        ("role=client&email_verified=true", vec!["bob@other.test"]),
        ("role=client&username=cyd", vec!["cyd"]),
        ("role=staff&username=cyd", vec![]),
        ("username=BOB", vec!["Bob"]),
        ("username=bo", vec![]),
        // An address does not match as a user name, and the other way round.
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
    // A caller who may not read users does not learn which filters exist.
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

/// More pages than any list of these tests has.
const MOST_PAGES: usize = 200;

/// Names of all pages, by number or by cursor, in both directions.
async fn walked(ada: &Member, query: &str) -> [Vec<String>; 3] {
    let base = format!("{USERS}?{query}&page_size=2");
    let pages = follow(ada, &base, "next").await;
    let by_cursor = follow(ada, &format!("{base}&cursor="), "next").await;
    let last = by_cursor.1;
    let mut back: Vec<String> = Vec::new();
    let mut answer = last;
    for _ in 0..MOST_PAGES {
        let mut page = names(&answer);
        page.extend(back);
        back = page;
        match next_of(&answer, "previous") {
            Some(path) => answer = ada.get(&path).await.expect(200),
            None => return [pages.0, by_cursor.0, back],
        }
    }
    panic!("the pages of {query} do not end: {back:?}")
}

fn next_of(answer: &Answer, which: &str) -> Option<String> {
    let link = answer.body[which].as_str()?;
    Some(link[link.find("/api/").unwrap()..].to_owned())
}

async fn follow(ada: &Member, first: &str, which: &str) -> (Vec<String>, Answer) {
    let mut all = Vec::new();
    let mut answer = ada.get(first).await.expect(200);
    for _ in 0..MOST_PAGES {
        all.extend(names(&answer));
        match next_of(&answer, which) {
            Some(path) => answer = ada.get(&path).await.expect(200),
            None => return (all, answer),
        }
    }
    panic!("the pages of {first} do not end: {all:?}")
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
    let at_once = ids.iter().filter(|(_, name)| ["b", "k", "z"].contains(name));
    sqlx::query("update users set created_at = $1 where id = any ($2)")
        .bind(at - TimeDelta::days(1))
        .bind(at_once.map(|(id, _)| id.uuid()).collect::<Vec<_>>())
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
async fn users_with_a_role_have_their_place_in_every_ordering() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    for username in ["z", "b", "k", "m", "c"] {
        user(&ada, json!({"username": username, "roles": ["staff"]})).await;
    }
    // A user who gets a role later keeps their place in the list.
    for username in ["m", "b", "k"] {
        let page = ada.get(&format!("{USERS}?username={username}")).await.expect(200);
        let path = format!("{USERS}{}/", page.body["results"][0]["id"].as_str().unwrap());
        ada.patch(&path, json!({"roles": ["client", "staff"]})).await.expect(200);
    }
    for ordering in ["id", "-id", "created_at", "-created_at", "last_login,-id", "username"] {
        let [mut expected, ..] = walked(&ada, &format!("ordering={ordering}")).await;
        expected.retain(|name| ["b", "k", "m"].contains(&name.as_str()));
        for walked in walked(&ada, &format!("ordering={ordering}&role=client")).await {
            assert_eq!(walked, expected, "{ordering}");
        }
    }
    assert_eq!(found(&ada, "role=staff").await, ["z", "b", "k", "m", "c"]);
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

#[tokio::test]
async fn what_clients_send_by_themselves_is_understood() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    for n in 0..3 {
        user(&ada, json!({"username": format!("u{n}")})).await;
    }
    let keys = format!("/api/tenant/tenants/{}/keys/", scene.tenant.id);
    for list in [USERS, "/api/audit/", "/api/tenant/tenants/", "/api/user/roles/", &keys] {
        let plain = ada.get(list).await.expect(200);
        for query in [
            "format=json",
            "format=JSON",
            "_=1700000000",
            "_dc=1700000000",
            "page=",
            "page=%20",
            "page_size=",
            "ordering=",
            "count=",
            "format=&_=",
        ] {
            let asked = ada.get(&format!("{list}?{query}")).await.expect(200);
            assert_eq!(asked.body["results"], plain.body["results"], "{list}?{query}");
        }
        let refused = ada.get(&format!("{list}?format=xml")).await.expect(400);
        assert_eq!(refused.body, json!({"format": ["\"xml\" is not a valid choice."]}), "{list}");
    }
    // Blank parameters and cache busters are in no link.
    let page = ada.get(&format!("{USERS}?_=1&format=json&status=&page_size=2&search=")).await.expect(200);
    let next = next_of(&page, "next").unwrap();
    assert_eq!(next, "/api/user/users/?format=json&page=2&page_size=2");
    let previous = ada.get(&format!("{next}&_=2")).await.expect(200);
    assert_eq!(next_of(&previous, "previous").unwrap(), "/api/user/users/?format=json&page_size=2");
    // And no cursor depends on it.
    let first = ada.get(&format!("{USERS}?page_size=2&cursor=&page=&_=1&role=")).await.expect(200);
    let next = next_of(&first, "next").unwrap();
    assert!(!next.contains("_=") && !next.contains("role"), "{next}");
    assert_eq!(names(&ada.get(&format!("{next}&_=2&status=")).await.expect(200)), ["u1", "u2"]);
    // A page that is asked for wins over a cursor that is left blank.
    assert_eq!(
        names(&ada.get(&format!("{USERS}?page_size=2&page=2&cursor=")).await.expect(200)),
        ["u1", "u2"]
    );
}

#[tokio::test]
async fn several_orderings_count_one_after_the_other() {
    let scene = Scene::new().await;
    let ada = scene.member("m", "root-admin").await;
    let mut ids = vec![(ada.id, "m")];
    for (username, email) in [("z", None), ("b", None), ("k", Some("c@x.test")), ("y", Some("b@x.test"))] {
        ids.push((user(&ada, json!({"username": username, "email": email})).await, username));
    }
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let at = scene.control.clock.now();
    for (id, _) in ids.iter().filter(|(_, name)| ["b", "y", "m"].contains(name)) {
        control::users::store::signed_in(&mut tx, *id, at).await.unwrap();
    }
    sqlx::query("update users set created_at = $1").bind(at).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    ids.sort();
    let by_id: Vec<&str> = ids.iter().map(|(_, name)| *name).collect();
    let by_id_backwards: Vec<&str> = by_id.iter().rev().copied().collect();
    for (ordering, expected) in [
        // Without an address: m, z, b. Signed in: b, y, m.
        ("email,username", vec!["b", "m", "z", "y", "k"]),
        ("email,-username", vec!["z", "m", "b", "y", "k"]),
        ("-email,username", vec!["k", "y", "b", "m", "z"]),
        ("last_login,email,username", vec!["z", "k", "b", "m", "y"]),
        ("-last_login,email,-username", vec!["m", "b", "y", "z", "k"]),
        ("-last_login,-email,username", vec!["y", "b", "m", "k", "z"]),
        // Equal ones by id, in the direction of the last.
        ("created_at", by_id.clone()),
        ("date_joined", by_id.clone()),
        ("-date_joined", by_id_backwards.clone()),
        ("created_at,-id", by_id_backwards.clone()),
        ("-created_at,id", by_id.clone()),
        // A field that has counted counts no more, and after the id nothing does.
        ("email,-email,email,username", vec!["b", "m", "z", "y", "k"]),
        ("id,username,-email", by_id.clone()),
        ("date_joined,-created_at", by_id.clone()),
        (",email,,username,", vec!["b", "m", "z", "y", "k"]),
        ("+email+,+username", vec!["b", "m", "z", "y", "k"]),
    ] {
        for walked in walked(&ada, &format!("ordering={ordering}")).await {
            assert_eq!(walked, expected, "{ordering}");
        }
    }
    let refused = ada.get(&format!("{USERS}?ordering=email,password,-shoe,id")).await.expect(400);
    let said = ["\"password\" is not a valid choice.", "\"-shoe\" is not a valid choice."];
    assert_eq!(refused.body, json!({"ordering": said}));
    // A cursor is valid only for the complete ordering.
    let query = |ordering| format!("{USERS}?ordering={ordering}&page_size=2&cursor=");
    let first = ada.get(&query("email,username")).await.expect(200);
    let next = next_of(&first, "next").unwrap();
    let cursor = next.split("cursor=").nth(1).unwrap().split('&').next().unwrap();
    for other in ["email,-username", "username,email", "email", "username"] {
        ada.get(&format!("{}{cursor}", query(other))).await.expect(404);
    }
}

#[tokio::test]
async fn a_field_is_asked_for_by_the_name_that_answers_have() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let before = scene.control.clock.now();
    user(&ada, json!({"username": "bob"})).await;
    let at = before.format("%Y-%m-%dT%H:%M:%S%.6fZ");
    for (after, before) in [
        ("created_after", "created_before"),
        ("created_at_after", "created_at_before"),
        ("date_joined_after", "date_joined_before"),
    ] {
        assert_eq!(found(&ada, &format!("{after}={at}")).await, ["bob"]);
        assert_eq!(found(&ada, &format!("{before}={at}")).await, ["ada"]);
    }
    let refused = ada.get(&format!("{USERS}?date_joined_after=x&created_at_before=y")).await.expect(400);
    let said = ["Enter a valid date/time."];
    assert_eq!(refused.body, json!({"date_joined_after": said, "created_at_before": said}));
    let twice = ada.get(&format!("{USERS}?date_joined_after={at}&created_after={at}")).await.expect(400);
    assert_eq!(twice.body, json!({"date_joined_after": ["This is `created_after`, which is given, too."]}));
}

#[tokio::test]
async fn a_search_finds_every_spelling_of_a_name() {
    let scene = Scene::new().await;
    let ada = scene.member("root", "root-admin").await;
    for (username, first, last, email) in [
        ("a", "José", "Straße", Some("jose@bücher.example")),
        ("b", "Jose\u{301}", "ΟΔΥΣΣΕΥΣ", Some("b@xn--bcher-kva.example")),
        ("c", "Ｊｏｓｅ", "ﬁn", None),
        ("d", "JOSÉ", "İstanbul", None),
    ] {
        let body = json!({"username": username, "first_name": first, "last_name": last, "email": email});
        user(&ada, body).await;
    }
    for (search, expected) in [
        ("JOSE\u{301}", vec!["a", "b", "d"]),
        ("josé", vec!["a", "b", "d"]),
        ("ｊｏｓé", vec!["a", "b", "d"]),
        ("STRASSE", vec!["a"]),
        ("straße", vec!["a"]),
        ("STRAẞE", vec!["a"]),
        ("οδυσσευς", vec!["b"]),
        ("οδυσσευσ", vec!["b"]),
        ("FIN", vec!["c"]),
        ("ﬁn", vec!["c"]),
        ("bücher", vec!["a", "b"]),
        ("BU\u{308}CHER.example", vec!["a", "b"]),
        ("xn--bcher-kva", vec!["a", "b"]),
        // Blanks and commas of other scripts divide words, too.
        ("josé\u{3000}straße", vec!["a"]),
        ("josé，STRASSE", vec!["a"]),
    ] {
        let mut found = found(&ada, &format!("search={search}")).await;
        found.sort();
        assert_eq!(found, expected, "{search}");
    }
    // An edited user is found by the new name, and no longer by the old one.
    let path = format!("{USERS}?search=istanbul");
    assert_eq!(ada.get(&path).await.expect(200).body["count"], 0, "the dot above is a letter of its own");
    let d = ada.get(&format!("{USERS}?username=d")).await.expect(200).body["results"][0]["id"].clone();
    let d = format!("{USERS}{}/", d.as_str().unwrap());
    ada.patch(&d, json!({"last_name": "İzmI\u{307}r", "email": "d@Bücher.example"})).await.expect(200);
    assert_eq!(found(&ada, "search=İZMİR+bücher").await, ["d"]);
    assert_eq!(found(&ada, "search=İstanbul").await.len(), 0);
}

#[tokio::test]
async fn a_user_of_another_service_is_found_by_the_id_that_they_had_there() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    let cyd = scene.member("cyd", "client").await;
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let old = uuid::Uuid::from_u128(0xabc);
    for (id, legacy) in [(bob.id, "17".to_owned()), (cyd.id, old.to_string())] {
        sqlx::query("update users set legacy_id = $2 where id = $1")
            .bind(id.uuid())
            .bind(legacy)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(found(&ada, "legacy_id=17").await, ["bob"]);
    assert_eq!(found(&ada, "legacy_id=17&username=ada").await.len(), 0);
    assert_eq!(found(&ada, "legacy_id=1").await.len(), 0);
    assert_eq!(found(&ada, "legacy_id=").await.len(), 3);
    for spelled in [old.to_string(), old.simple().to_string().to_uppercase()] {
        assert_eq!(found(&ada, &format!("legacy_id={spelled}")).await, ["cyd"], "{spelled}");
    }
    let read = ada.get(&format!("{USERS}{}/", bob.id)).await.expect(200);
    assert_eq!(read.body["legacy_id"], "17");
    assert_eq!(bob.get("/api/user/me/").await.expect(200).body["legacy_id"], "17");
    assert_eq!(ada.get("/api/user/me/").await.expect(200).body["legacy_id"], Value::Null);
    bob.get(&format!("{USERS}?legacy_id=17")).await.expect(403);
}

/// Puts `rows` users beside those that there are, made one after the other.
async fn many(scene: &Scene, rows: i32) {
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let profile = |n| Profile { username: format!("crowd{n}"), ..Profile::default() };
    let ids = crowd::insert(&mut tx, &(1..=rows).map(profile).collect::<Vec<_>>()).await;
    sqlx::query(
        "update users u
         set status = case when n % 2 = 0 then 'suspended' else 'active' end,
             created_at = now() + n * interval '1 millisecond'
         from unnest($1::uuid[]) with ordinality as made (id, n)
         where u.id = made.id",
    )
    .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await
    .unwrap();
    for statement in ["insert into audit_entries
            (tenant_id, position, recorded_at, id, at, actor_kind, action, outcome, body, hash)
         select nullif(current_setting('app.tenant', true), '')::uuid, 1000000 + n, now(), gen_random_uuid(),
            now() + n * interval '1 millisecond', 'control', 'user.edited', 'done',
            '\\x00' || convert_to('{\"client\":null,\"details\":{}}', 'UTF8'), sha256('')
         from generate_series(1, $1) n"]
    {
        sqlx::query(statement).bind(rows).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut admin = scene.database.admin().await;
    for table in ["users", "audit_entries"] {
        let analyze = format!("analyze {}.{table}", scene.tenant.cell);
        sqlx::raw_sql(sqlx::AssertSqlSafe(analyze)).execute(&mut admin).await.unwrap();
    }
}

#[tokio::test]
async fn a_count_is_exact_up_to_ten_thousand_and_then_an_estimate() {
    counted(Scene::new().await).await;
    // In the common cell there are others.
    many(&Scene::shared().await, 20_000).await;
    counted(Scene::shared().await).await;
}

async fn counted(scene: Scene) {
    let ada = scene.member("ada", "root-admin").await;
    many(&scene, 12_000).await;
    scene.lose_index().await;
    scene.rebuild_index().await;
    let logged = i64::try_from(scene.logged().await.len()).unwrap() - 12_000;
    for (list, exact) in [(USERS, 12_001), ("/api/audit/", 12_000 + logged)] {
        let first = ada.get(&format!("{list}?page_size=100")).await.expect(200);
        assert_eq!(first.body["count_is_estimate"], true, "{list}");
        let estimate = first.body["count"].as_i64().unwrap();
        assert!((10_001..=14_000).contains(&estimate), "{list}: {estimate}");
        let cursor = ada.get(&format!("{list}?page_size=100&cursor=")).await.expect(200);
        assert_eq!(cursor.body["count_is_estimate"], true, "{list}");
        // An exact count needs `count=exact`, or the last page.
        for query in ["count=exact", "count=exact&cursor=", "page=last"] {
            let counted = ada.get(&format!("{list}?page_size=100&{query}")).await.expect(200);
            assert_eq!(counted.body["count"], exact, "{list}?{query}");
            assert_eq!(counted.body.get("count_is_estimate"), None, "{list}?{query}");
        }
        let last = ada.get(&format!("{list}?page_size=100&page=last")).await.expect(200);
        let rest = usize::try_from(exact % 100).unwrap();
        assert_eq!(last.body["results"].as_array().unwrap().len(), rest);
        assert_eq!(last.body["next"], Value::Null);
        // Pages are where there are rows, whatever the estimate says.
        let last = ada.get(&format!("{list}?page_size=100&page=121")).await.expect(200);
        assert_eq!(
            (last.body["results"].as_array().unwrap().len(), &last.body["next"]),
            (rest, &Value::Null)
        );
        let before = ada.get(&format!("{list}?page_size=100&page=120")).await.expect(200);
        assert!(before.body["next"].as_str().unwrap().contains("page=121"), "{list}");
        for beyond in [122, 1000, i64::MAX / 200] {
            let missing = ada.get(&format!("{list}?page_size=100&page={beyond}")).await.expect(404);
            assert_eq!(missing.body, json!({"detail": "Invalid page."}));
        }
        let refused = ada.get(&format!("{list}?count=roughly")).await.expect(400);
        assert_eq!(refused.body, json!({"count": ["\"roughly\" is not a valid choice."]}));
    }
    // A filter that leaves fewer is counted.
    let half = ada.get(&format!("{USERS}?status=suspended")).await.expect(200);
    assert_eq!((&half.body["count"], half.body.get("count_is_estimate")), (&json!(6000), None));
    let most = ada.get(&format!("{USERS}?search=crowd")).await.expect(200);
    assert_eq!(
        (&most.body["count_is_estimate"], most.body["count"].as_i64() > Some(10_000)),
        (&json!(true), true)
    );
}
