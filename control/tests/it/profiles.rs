//! Profiles: entries and their order, who may write and see them, and how complete a profile is.

use control::jobs::runner;
use control::tenants::Isolation;
use control::users::Profile;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::limits::PROFILE_ENTRIES;
use shared::tenant::profile::{ProfileItem, ProfileWeight};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::dumps::foreign_user;
use crate::scale::{Chance, scaled};
use crate::scene::{Member, Scene};
use crate::visibility::rules;

const OWN: &str = "/api/user/profile/";
const USERS: &str = "/api/user/users/";
const SECTIONS: [&str; 4] = ["qualifications", "employment", "skills", "certifications"];

fn of(user: impl std::fmt::Display) -> String {
    format!("{USERS}{user}/profile/")
}

/// A new entry of a section, and the same entry with every field.
fn samples(section: &str) -> (Value, Value) {
    match section {
        "qualifications" => (
            json!({"institution": "Yale"}),
            json!({
                "institution": "Yale", "degree": "PhD", "field": "Mathematics", "started_on": "1930-09-01",
                "ended_on": "1934-06-01", "grade": "with distinction",
            }),
        ),
        "employment" => (
            json!({"employer": "Navy"}),
            json!({
                "employer": "Navy", "title": "Rear admiral", "started_on": "1943-12-01", "ended_on": null,
                "description": "Compilers.\nAnd nanoseconds.",
            }),
        ),
        "skills" => (json!({"name": "COBOL"}), json!({"name": "COBOL", "level": "expert", "years": 33})),
        _ => (
            json!({"name": "CKA"}),
            json!({
                "name": "CKA", "issuer": "CNCF", "number": "LF-1", "issued_on": "2024-02-29",
                "expires_on": "2027-02-28", "link": "https://certs.example/LF-1",
            }),
        ),
    }
}

/// The ids of a section in its order, whose positions must be its places.
async fn order(member: &Member, path: &str) -> Vec<String> {
    let list = member.get(&format!("{path}?page_size=100")).await.expect(200).body;
    let entries = list["results"].as_array().unwrap();
    for (place, entry) in entries.iter().enumerate() {
        assert_eq!(entry["position"], place, "{list}");
    }
    entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

impl Member {
    /// Adds an entry with a name or the like, and returns its id.
    async fn adds(&self, path: &str, body: Value) -> String {
        self.post(path, body).await.expect(201).body["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn entries_of_each_section_are_created_read_changed_and_deleted() {
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = match isolation {
            Isolation::Schema => Scene::new().await,
            Isolation::Shared => Scene::shared().await,
        };
        let (ada, root) = (scene.member("ada", "client").await, scene.member("root", "root-admin").await);
        for section in SECTIONS {
            let (little, all) = samples(section);
            let list = format!("{OWN}{section}/");
            let made = ada.post(&list, little.clone()).await.expect(201);
            let path = format!("{list}{}/", made.body["id"].as_str().unwrap());
            for (name, value) in all.as_object().unwrap() {
                let expected = little.get(name).unwrap_or(&Value::Null);
                assert_eq!(&made.body[name], expected, "{section} {name} is {value} later");
            }
            let read = ada.get(&path).await.expect(200);
            assert_eq!((&read.body, read.header("etag")), (&made.body, made.header("etag")));
            let known = [("if-none-match", read.header("etag"))];
            ada.with(Method::GET, &path, &known, None).await.expect(304);

            let as_read = [("if-match", read.header("etag"))];
            let changed = ada.with(Method::PATCH, &path, &as_read, Some(all.clone())).await.expect(200);
            for (name, value) in all.as_object().unwrap() {
                assert_eq!(&changed.body[name], value, "{section} {name}");
            }
            ada.with(Method::PATCH, &path, &as_read, Some(all.clone())).await.expect(412);
            ada.with(Method::DELETE, &path, &as_read, None).await.expect(412);
            // What is as it was is no change, and computed fields are passed over.
            let same = ada.patch(&path, changed.body.clone()).await.expect(200);
            assert_eq!(same.body, changed.body);
            let profile = ada.get(OWN).await.expect(200).body;
            assert_eq!(profile[section], json!([changed.body]));
            // An administrator reads the same.
            let theirs = root.get(&format!("{}{section}/", of(ada.id))).await.expect(200).body;
            assert_eq!((&theirs["count"], &theirs["results"]), (&json!(1), &json!([changed.body])));

            let as_changed = [("if-match", changed.header("etag"))];
            ada.with(Method::DELETE, &path, &as_changed, None).await.expect(204);
            let gone = ada.get(&path).await.expect(404);
            assert_eq!(gone.body, json!({"detail": "No ProfileEntry matches the given query."}));
            ada.patch(&path, all).await.expect(404);
            ada.delete(&path).await.expect(404);
        }
        let actions = scene.logged().await;
        let told: Vec<_> = actions.iter().filter(|action| action.starts_with("profile.")).collect();
        let one = ["profile.entry_added", "profile.entry_edited", "profile.entry_deleted"];
        assert_eq!(told, one.repeat(4));
        ada.get(&format!("{OWN}shoes/")).await.expect(404);
        ada.post(&format!("{OWN}shoes/"), json!({})).await.expect(404);
    }
}

#[tokio::test]
async fn the_log_has_names_of_fields_and_no_value() {
    let scene = Scene::new().await;
    let (ada, root) = (scene.member("ada", "client").await, scene.member("root", "root-admin").await);
    let id = ada.adds(&format!("{OWN}skills/"), json!({"name": "Rust"})).await;
    ada.adds(&format!("{OWN}skills/"), json!({"name": "SQL", "position": 0})).await;
    ada.patch(&format!("{OWN}skills/{id}/"), json!({"name": "Go", "years": 2, "position": 0}))
        .await
        .expect(200);
    let log =
        root.get(&format!("/api/audit/?target={}&action=profile.entry_edited", ada.id)).await.expect(200);
    let entry = &log.body["results"][0];
    let expected = json!({"section": "skills", "entry": id, "fields": ["name", "years"], "position": 0});
    assert_eq!((&entry["details"], &log.body["count"]), (&expected, &json!(1)));
    assert!(!log.text.contains("Rust") && !log.text.contains("Go\""), "{}", log.text);
}

#[tokio::test]
async fn a_position_moves_an_entry_and_the_others_follow() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let list = format!("{OWN}employment/");
    let mut ids = Vec::new();
    for employer in ["a", "b", "c"] {
        ids.push(ada.adds(&list, json!({ "employer": employer })).await);
    }
    let first = ada.adds(&list, json!({"employer": "d", "position": 0})).await;
    let [a, b, c] = [&ids[0], &ids[1], &ids[2]];
    assert_eq!(order(&ada, &list).await, [&first, a, b, c].map(String::clone));
    let moved = |id: &str, position: i64| {
        let (ada, path) = (ada.clone(), format!("{list}{id}/"));
        async move { ada.patch(&path, json!({ "position": position })).await.expect(200).body["position"].clone() }
    };
    assert_eq!(moved(&first, 2).await, 2);
    assert_eq!(order(&ada, &list).await, [a, b, &first, c].map(String::clone));
    assert_eq!(moved(a, 99).await, 3, "beyond the last is the last");
    assert_eq!(order(&ada, &list).await, [b, &first, c, a].map(String::clone));
    ada.delete(&format!("{list}{first}/")).await.expect(204);
    assert_eq!(order(&ada, &list).await, [b, c, a].map(String::clone));
    // Another section has an order of its own.
    let skill = ada.adds(&format!("{OWN}skills/"), json!({"name": "Rust"})).await;
    assert_eq!(order(&ada, &format!("{OWN}skills/")).await, [skill]);
    // To move another entry is no edit of this one.
    let read = ada.get(&format!("{list}{a}/")).await.expect(200);
    moved(b, 2).await;
    let as_read = [("if-match", read.header("etag"))];
    ada.with(Method::PATCH, &format!("{list}{a}/"), &as_read, Some(json!({"title": "x"}))).await.expect(200);
    let page = ada.get(&format!("{list}?page_size=2&page=2")).await.expect(200).body;
    assert_eq!((&page["count"], page["results"].as_array().unwrap().len()), (&json!(3), 1));
}

#[tokio::test]
async fn faults_are_said_at_once_and_nothing_is_written() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let list = format!("{OWN}certifications/");
    let bad = json!({
        "issued_on": "2999-01-01", "expires_on": "2026-02-30", "link": "javascript:alert(1)", "position": "x",
    });
    assert_eq!(
        ada.post(&list, bad).await.expect(400).body,
        json!({
            "name": ["This field is required."], "issued_on": ["Must not be in the future."],
            "expires_on": ["Enter a date as YYYY-MM-DD."],
            "link": ["Enter a URL that begins with https:// or http://."],
            "position": ["A valid integer is required."],
        })
    );
    let made = ada.post(&list, samples("certifications").1).await.expect(201);
    let path = format!("{list}{}/", made.body["id"].as_str().unwrap());
    let refused = ada.patch(&path, json!({"expires_on": "2024-02-28", "issuer": "x"})).await.expect(400).body;
    assert_eq!(refused, json!({"expires_on": ["Must not be before `issued_on`."]}));
    assert_eq!(ada.get(&path).await.expect(200).body, made.body);
    let refused =
        ada.patch(OWN, json!({"first_name": "x".repeat(151), "phone": "a\nb"})).await.expect(400).body;
    assert_eq!(refused.as_object().unwrap().keys().collect::<Vec<_>>(), ["first_name", "phone"]);
    ada.patch(OWN, json!({"language": "de_AT"})).await.expect(400);
}

#[tokio::test]
async fn a_section_has_a_limit() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let list = format!("{OWN}skills/");
    let mut id = String::new();
    for n in 0..PROFILE_ENTRIES {
        id = ada.adds(&list, json!({"name": format!("s{n}")})).await;
    }
    let full = ada.post(&list, json!({"name": "one more"})).await.expect(409).body;
    assert_eq!(
        full,
        json!({"detail": "There are 50 entries already: delete one first.", "code": "conflict"})
    );
    ada.adds(&format!("{OWN}employment/"), json!({"employer": "a"})).await;
    ada.delete(&format!("{list}{id}/")).await.expect(204);
    ada.adds(&list, json!({"name": "one more"})).await;
}

/// Ids of other users and of other tenants are as unknown as any.
#[tokio::test]
async fn an_entry_of_another_is_not_there() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let neighbour = scene.neighbour(Isolation::Shared).await;
        let (ada, bob) = (scene.member("ada", "client").await, scene.member("bob", "client").await);
        let root = scene.member("root", "root-admin").await;
        let eve = neighbour.member("eve", "root-admin").await;
        let skills = format!("{OWN}skills/");
        let (of_bob, of_eve) = (
            bob.adds(&skills, json!({"name": "Rust"})).await,
            eve.adds(&skills, json!({"name": "Rust"})).await,
        );
        let absent = json!({"detail": "No ProfileEntry matches the given query."});
        for id in [&of_bob, &of_eve, &Uuid::nil().to_string(), &"x".to_owned()] {
            for (caller, path) in
                [(&ada, format!("{skills}{id}/")), (&root, format!("{}skills/{id}/", of(ada.id)))]
            {
                for (method, body) in
                    [(Method::GET, None), (Method::PATCH, Some(json!({"name": "x"}))), (Method::DELETE, None)]
                {
                    let answer = caller.call(method.clone(), &path, body).await.expect(404);
                    assert_eq!(answer.body, absent, "{method} {path}");
                }
            }
        }
        // In another section of the same user it is not there, either.
        bob.get(&format!("{OWN}employment/{of_bob}/")).await.expect(404);
        for id in [eve.id.to_string(), Uuid::nil().to_string(), "x".to_owned()] {
            for path in [of(&id), format!("{}skills/", of(&id)), format!("{}skills/{of_eve}/", of(&id))] {
                let answer = root.get(&path).await.expect(404);
                assert_eq!(answer.body, json!({"detail": "No User matches the given query."}), "{path}");
            }
        }
        assert_eq!(order(&bob, &skills).await, [of_bob]);
        assert_eq!(order(&eve, &skills).await, [of_eve]);
    }
}

#[tokio::test]
async fn a_profile_is_written_by_its_owner_and_by_a_higher_rank() {
    let scene = Scene::new().await;
    scene.choose(rules(&["*.profile=clear"])).await;
    let ada = scene.member("ada", "staff").await;
    let client = scene.member("bob", "client").await;
    let reader = scene.officer("reader", 90, &["users.read"]).await;
    let editor = scene.officer("editor", 50, &["users.read", "users.write"]).await;
    let peer = scene.officer("peer", 40, &["users.read", "users.write"]).await;
    let id = ada.adds(&format!("{OWN}skills/"), json!({"name": "Rust"})).await;
    let (whole, list, entry) =
        (of(ada.id), format!("{}skills/", of(ada.id)), format!("{}skills/{id}/", of(ada.id)));
    for (caller, status) in [(&client, 403), (&reader, 403), (&peer, 403), (&editor, 200)] {
        let body = || Some(json!({"years": 3, "name": "SQL", "phone": "1"}));
        assert_eq!(caller.call(Method::PATCH, &whole, body()).await.status, status);
        assert_eq!(caller.call(Method::PATCH, &entry, body()).await.status, status);
        let made = caller.call(Method::POST, &list, body()).await;
        assert_eq!(made.status, if status == 200 { 201 } else { 403 });
        if status == 403 {
            assert_eq!(caller.delete(&entry).await.status, 403);
        } else {
            caller.delete(&format!("{list}{}/", made.body["id"].as_str().unwrap())).await.expect(204);
        }
    }
    let refused = scene.logged().await.into_iter().filter(|action| action == "permission.refused").count();
    assert_eq!(refused, 12);
    assert_eq!(ada.get(&entry.replace(&whole, OWN)).await.expect(200).body["name"], "SQL");
    // By its id the own profile is the own one, whatever the rank; without the permission it is not.
    peer.patch(&of(peer.id), json!({"first_name": "Pia"})).await.expect(200);
    peer.post(&format!("{}skills/", of(peer.id)), json!({"name": "x"})).await.expect(201);
    client.get(&of(client.id)).await.expect(403);
    assert_eq!(peer.get(OWN).await.expect(200).body["first_name"], "Pia");
}

#[tokio::test]
async fn a_profile_is_hidden_from_roles_without_the_field() {
    let scene = Scene::new().await;
    let profile = Profile {
        username: "ada".into(),
        first_name: "Ada".into(),
        phone: "+44 7700 900112".into(),
        ..Profile::default()
    };
    let ada = scene.person(profile, &["client"]).await;
    let ada = scene.acting_as(&ada).await;
    let id = ada.adds(&format!("{OWN}skills/"), json!({"name": "Wolperdinger"})).await;
    let staff = scene.member("sue", "staff").await;
    let editor = scene.officer("editor", 50, &["users.read", "users.write"]).await;
    let paths = [format!("{}skills/", of(ada.id)), format!("{}skills/{id}/", of(ada.id))];
    for policy in [&[][..], &["*.profile=masked", "staff.profile=masked"], &["*.profile=absent"]] {
        scene.choose(rules(policy)).await;
        for caller in [&staff, &editor] {
            for path in &paths {
                caller.get(path).await.expect(403);
            }
        }
        editor.post(&paths[0], json!({"name": "x"})).await.expect(403);
        editor.patch(&paths[1], json!({"years": 1})).await.expect(403);
        editor.delete(&paths[1]).await.expect(403);
        let seen = staff.get(&of(ada.id)).await.expect(200);
        assert!(!seen.text.contains("Wolperdinger") && seen.body.get("skills").is_none(), "{}", seen.text);
        let expected = json!({"percent": 30, "missing": ["last_name", "email_verified"]});
        assert_eq!((&seen.body["completion"], &seen.body["phone"]), (&expected, &json!("+44 *** 12")));
        assert_eq!(seen.body["masked"], json!(["phone"]));
    }
    // What a caller is not shown, they are not told to be missing.
    let seen = editor.get(&of(ada.id)).await.expect(200).body;
    assert_eq!((seen.get("phone"), &seen["completion"]["missing"]), (None, &json!(["email_verified"])));
    scene.choose(rules(&["staff.profile=clear"])).await;
    assert_eq!(staff.get(&paths[1]).await.expect(200).body["name"], "Wolperdinger");
    assert_eq!(staff.get(&of(ada.id)).await.expect(200).body["skills"][0]["name"], "Wolperdinger");
    // A reason does not show it.
    let root = scene.member("root", "root-admin").await;
    let body = json!({"fields": ["profile"], "reason": "Ticket 4711"});
    root.post(&format!("{USERS}{}/unmask/", ada.id), body).await.expect(400);
}

#[tokio::test]
async fn the_own_names_are_changed_without_an_administrator() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let root = scene.member("root", "root-admin").await;
    let before = scene.user(ada.id).await;
    let read = ada.get(OWN).await.expect(200);
    let as_read = [("if-match", read.header("etag"))];
    let body = json!({"first_name": "Augusta", "phone": "+44 7700 900112", "language": "EN-gb", "roles": ["root-admin"],
        "email": "mallory@evil.test", "username": "eve", "status": "suspended", "email_verified": true});
    let changed = ada.with(Method::PATCH, OWN, &as_read, Some(body.clone())).await.expect(200).body;
    assert_eq!(
        (&changed["first_name"], &changed["last_name"], &changed["language"]),
        (&json!("Augusta"), &json!(""), &json!("en-GB"))
    );
    ada.with(Method::PATCH, OWN, &as_read, Some(body)).await.expect(412);
    let after = scene.user(ada.id).await;
    let kept = |user: &control::users::User| {
        (
            user.username.expose().to_owned(),
            user.email.is_some(),
            user.roles.clone(),
            user.status,
            user.session_epoch,
        )
    };
    assert_eq!(kept(&before), kept(&after));
    // The search finds the new name.
    assert_eq!(root.get(&format!("{USERS}?search=august")).await.expect(200).body["count"], 1);
    let log = root.get(&format!("/api/audit/?target={}&action=user.edited", ada.id)).await.expect(200).body;
    assert_eq!(log["results"][0]["details"], json!({"fields": ["first_name", "phone", "language"]}));
    assert_eq!(log["results"][0]["actor"], json!(ada.id));
}

#[tokio::test]
async fn no_row_tells_what_an_entry_says() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let values = ["Zebulonia", "Markgraf-Quux", "Snollygoster", "Plughsworth"];
    for (section, field) in SECTIONS.iter().zip(["institution", "employer", "name", "name"]) {
        for value in values {
            ada.adds(&format!("{OWN}{section}/"), json!({ field: value })).await;
        }
    }
    let list = format!("{OWN}skills/");
    let id = order(&ada, &list).await.remove(0);
    ada.patch(&format!("{list}{id}/"), json!({"name": "Wolperdinger", "level": "expert"})).await.expect(200);
    let rows = scene.rows().await;
    assert!(rows.contains(&id), "the rows were read");
    for value in values.into_iter().chain(["Wolperdinger"]) {
        for spelled in crate::at_rest::spellings(value) {
            assert!(
                !rows.contains(&spelled) && !rows.to_lowercase().contains(&spelled),
                "{value} as {spelled}"
            );
        }
    }
    // A value in another row does not open, and the other sections do.
    let entries = format!("{}.profile_entries", scene.tenant.cell);
    let moved = format!(
        "update {entries} set sealed = (select sealed from {entries} where section = 'skills' and place = 1)
         where section = 'skills' and place = 0"
    );
    sqlx::raw_sql(AssertSqlSafe(moved)).execute(&mut scene.database.admin().await).await.unwrap();
    ada.get(&format!("{list}{id}/")).await.expect(500);
    ada.get("/api/user/me/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_at_once_keep_the_order_and_the_percentage() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let list = format!("{OWN}certifications/");
    let created = join_all((0..16).map(|n| {
        let (ada, list) = (ada.clone(), list.clone());
        async move {
            loop {
                let body = json!({"name": format!("c{n}"), "position": n % 3});
                match ada.post(&list, body).await {
                    // The tenant's share of connections is small.
                    busy if busy.status == 503 => {}
                    answer => break answer.expect(201).body["id"].as_str().unwrap().to_owned(),
                }
            }
        }
    }));
    let mut created = created.await;
    let mut listed = order(&ada, &list).await;
    created.sort();
    listed.sort();
    assert_eq!(created, listed);
    assert_eq!(ada.get("/api/user/me/").await.expect(200).body["profile_completion"], 10);
    let left = join_all(created.iter().map(|id| {
        let (ada, path) = (ada.clone(), format!("{list}{id}/"));
        async move { while ada.delete(&path).await.status == 503 {} }
    }));
    left.await;
    assert!(order(&ada, &list).await.is_empty());
    assert_eq!(ada.get("/api/user/me/").await.expect(200).body["profile_completion"], 0);
}

/// The percentage from scratch, of what the API shows of a user.
async fn recounted(
    scene: &Scene,
    root: &Member,
    id: impl std::fmt::Display,
    weights: &[ProfileWeight],
) -> u64 {
    let user = root.get(&format!("{USERS}{id}/")).await.expect(200).body;
    let profile = root.get(&of(&id)).await.expect(200).body;
    let (mut earned, mut total) = (0, 0);
    for item in ProfileItem::ALL {
        let weight = match weights.iter().find(|weight| weight.item == item) {
            Some(weight) => u64::from(weight.weight),
            None if weights.is_empty() => u64::from(item.default_weight()),
            None => 0,
        };
        let is_there = match item.as_str() {
            "email_verified" => user["email_verified"] == true && !user["email"].is_null(),
            name @ ("first_name" | "last_name" | "phone") => user[name] != "",
            section => !profile[section].as_array().unwrap().is_empty(),
        };
        total += weight;
        earned += if is_there { weight } else { 0 };
    }
    let percent = 100 * earned / total;
    assert_eq!(profile["completion"]["percent"], percent, "{profile} {weights:?}");
    let mut tx = scene.tx().await;
    let tenant = scene.tenant.id.uuid();
    let stored: i16 =
        sqlx::query_scalar("select profile_completion from users where tenant_id = $1 and id = $2")
            .bind(tenant)
            .bind(Uuid::parse_str(&id.to_string()).unwrap())
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!(u64::try_from(stored).unwrap(), percent, "{user} {profile}");
    assert_eq!(user["profile_completion"], percent);
    percent
}

fn some_weights(chance: &mut Chance) -> Vec<ProfileWeight> {
    let items = ProfileItem::ALL.into_iter().filter(|_| chance.between(0, 1) == 0).collect::<Vec<_>>();
    let weigh = |item| ProfileWeight { item, weight: u8::try_from(chance.between(1, 100)).unwrap() };
    items.into_iter().map(weigh).collect()
}

#[tokio::test]
async fn the_percentage_is_right_after_any_writes() {
    let mut chance = Chance::new();
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    let ada = scene.member("ada", "client").await;
    let (own, mut weights, mut seen) =
        (format!("{USERS}{}/", ada.id), Vec::new(), std::collections::BTreeSet::new());
    for step in 0..scaled(60, 2000) {
        let text = if chance.between(0, 1) == 0 { "" } else { "x" };
        let section = SECTIONS[usize::try_from(chance.between(0, 3)).unwrap()];
        let list = format!("{OWN}{section}/");
        match chance.between(0, 11) {
            0..=2 => drop(ada.post(&list, samples(section).0).await.expect(201)),
            3..=5 => {
                if let Some(id) = order(&ada, &list).await.first() {
                    ada.delete(&format!("{list}{id}/")).await.expect(204);
                }
            }
            6 => drop(ada.patch(OWN, json!({"first_name": text})).await.expect(200)),
            7 => drop(ada.patch(OWN, json!({"phone": text, "last_name": text})).await.expect(200)),
            8 => drop(root.patch(&own, json!({"last_name": text})).await.expect(200)),
            9 => {
                let email = if text.is_empty() { Value::Null } else { json!("ada@acme.test") };
                root.patch(&own, json!({"email": email, "email_verified": chance.between(0, 1) == 0}))
                    .await
                    .expect(200);
            }
            10 => drop(root.patch(&of(ada.id), json!({"phone": text})).await.expect(200)),
            _ => {
                weights = some_weights(&mut chance);
                let chosen = weights.clone();
                scene.sets(|settings| settings.profile_weights = chosen).await;
                runner::run_due(&scene.control).await.unwrap();
            }
        }
        seen.insert(recounted(&scene, &root, ada.id, &weights).await);
        recounted(&scene, &root, root.id, &weights).await;
        assert!(step < 30 || seen.len() > 3, "{seen:?}: the walk proves little");
    }
}

#[tokio::test]
async fn users_are_counted_however_they_come() {
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    let grace = json!({"username": "grace", "email": "grace@acme.test", "first_name": "Grace", "last_name": "Hopper"});
    let made = root.post(USERS, grace).await.expect(201).body;
    assert_eq!(made["profile_completion"], 30);
    assert_eq!(recounted(&scene, &root, made["id"].as_str().unwrap(), &[]).await, 30);
    let mut imported = foreign_user(&json!(7), "imported");
    imported["fields"]["first_name"] = json!("Ida");
    imported["fields"]["email"] = json!("ida@acme.test");
    scene.import_dump(&[imported.clone()]).expect(0);
    let id = scene.everybody().await["imported"]["id"].as_str().unwrap().to_owned();
    let first = recounted(&scene, &root, &id, &[]).await;
    assert!(first >= 10, "{first}");
    imported["fields"]["last_name"] = json!("Rhodes");
    scene.import_dump(&[imported]).expect(0);
    assert_eq!(recounted(&scene, &root, &id, &[]).await, first + 10);
    scene.run(&["user", "create", "cli", "--first-name", "C"]).expect(0);
    let id = scene.everybody().await["cli"]["id"].as_str().unwrap().to_owned();
    assert_eq!(recounted(&scene, &root, &id, &[]).await, 10);
    // An address that is proven later counts from then on.
    let mut tx = scene.tx().await;
    let unverified =
        Profile { username: "una".into(), email: Some("una@acme.test".into()), ..Profile::default() };
    let new = control::users::NewUser {
        profile: unverified,
        status: shared::user::UserStatus::Active,
        roles: vec!["client".into()],
        branch: None,
        password: None,
        must_change_password: false,
        email_verified: false,
    };
    let una = control::users::create(&scene.control, &mut tx, &control::audit::Actor::operator(), new)
        .await
        .unwrap();
    assert_eq!(una.profile_completion, 0);
    control::users::prove(&mut tx, una.id, scene.control.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(recounted(&scene, &root, una.id, &[]).await, 10);
}

#[tokio::test]
async fn other_weights_reach_every_user_by_a_job() {
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = Scene::under(Vec::new(), isolation).await;
        let root = scene.member("root", "root-admin").await;
        let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
        for n in 0..scaled(20, 2000) {
            let profile = Profile {
                username: format!("u{n}"),
                first_name: if n % 2 == 0 { "x".into() } else { String::new() },
                ..Profile::default()
            };
            scene.person(profile, &["client"]).await;
        }
        let below = |percent: u8| {
            let (root, path) = (root.clone(), format!("{USERS}?profile_completion_lt={percent}&role=client"));
            async move { root.get(&path).await.expect(200).body["count"].as_i64().unwrap() }
        };
        let half = scaled(10, 1000);
        assert_eq!((below(0).await, below(10).await, below(11).await), (0, half, 2 * half));
        root.patch(&path, json!({"settings": {"profile_weights": ["first_name=3", "skills=1"]}}))
            .await
            .expect(200);
        // Who writes meanwhile writes by the new weights.
        let own = scene.acting_as(&scene.user(root.id).await).await;
        own.post(&format!("{OWN}skills/"), json!({"name": "Rust"})).await.expect(201);
        assert_eq!(own.get("/api/user/me/").await.expect(200).body["profile_completion"], 25);
        runner::run_due(&scene.control).await.unwrap();
        assert_eq!((below(75).await, below(76).await), (half, 2 * half));
        // The same weights again are no change, and none are the defaults.
        root.patch(&path, json!({"settings": {"profile_weights": []}})).await.expect(200);
        runner::run_due(&scene.control).await.unwrap();
        assert_eq!((below(10).await, below(11).await), (half, 2 * half));
        for (bad, status) in [("101", 400), ("-1", 400), ("x", 400), ("0", 200), ("100", 200)] {
            root.get(&format!("{USERS}?profile_completion_lt={bad}")).await.expect(status);
        }
        let refused =
            root.patch(&path, json!({"settings": {"profile_weights": ["skills=0"]}})).await.expect(400);
        assert_eq!(refused.body, json!({"profile_weights": ["Give one item at least a weight above 0."]}));
    }
}

/// A user who is changed while the weights are: whichever commits first, the percentage is by the new weights.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_under_the_former_weights_is_counted_again() {
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    // It has read the former weights, and commits after the job began.
    let mut tx = scene.tx().await;
    let profile = Profile { username: "ada".into(), first_name: "Ada".into(), ..Profile::default() };
    let new = control::users::NewUser {
        profile,
        status: shared::user::UserStatus::Active,
        roles: vec!["client".into()],
        branch: None,
        password: None,
        must_change_password: false,
        email_verified: false,
    };
    let ada = control::users::create(&scene.control, &mut tx, &control::audit::Actor::operator(), new)
        .await
        .unwrap();
    assert_eq!(ada.profile_completion, 10);
    let weights = vec![ProfileWeight::parse("first_name=1").unwrap()];
    let chosen = weights.clone();
    scene.sets(|settings| settings.profile_weights = chosen).await;
    let control = scene.control.clone();
    let job = tokio::spawn(async move { runner::run_due(&control).await.unwrap() });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!job.is_finished(), "the job waits for who read the former weights");
    tx.commit().await.unwrap();
    job.await.unwrap();
    assert_eq!(recounted(&scene, &root, ada.id, &weights).await, 100);
}

#[tokio::test]
async fn the_command_line_shows_a_profile() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "client").await;
    let skills = format!("{OWN}skills/");
    ada.adds(&skills, json!({"name": "Rust", "level": "expert", "years": 9})).await;
    ada.adds(&format!("{OWN}employment/"), json!({"employer": "Navy", "description": "a\nb"})).await;
    let shown = scene.run(&["user", "profile", "ada"]).expect(0).json;
    assert_eq!(shown, ada.get(OWN).await.expect(200).body);
    let text = scene.shown(&["user", "profile", "ada"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "ada: 30 % complete",
            "missing: first_name, last_name, phone, email_verified, qualifications, certifications",
            "employment:",
            "  Navy, a b",
            "skills:",
            "  Rust, expert, years 9",
        ]
    );
    scene.run(&["user", "profile", "eve"]).expect(4);
    let listed =
        |percent: &str| scene.run(&["user", "list", "--profile-completion-lt", percent]).expect(0).json;
    assert_eq!((&listed("30")["count"], &listed("31")["count"]), (&json!(0), &json!(1)));
    scene.run(&["user", "list", "--profile-completion-lt", "101"]).expect(5);
}

/// Every command of docs/profiles.md is done, as it is written there.
#[tokio::test]
async fn the_commands_of_the_documentation_work() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/profiles.md");
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let lines: Vec<_> =
        text.lines().filter(|line| line.starts_with("curl ") || line.starts_with("wardgate ")).collect();
    assert!(lines.len() > 5, "{lines:?}");
    let scene = Scene::alone().await;
    let grace = scene.member("grace", "client").await;
    let slug = scene.tenant.slug.to_string();
    for line in lines {
        if let Some(command) = line.strip_prefix("wardgate ") {
            let command = command.replace("--tenant acme", "").replace(" acme", &format!(" {slug}"));
            scene.run(&command.split_whitespace().collect::<Vec<_>>()).expect(0);
            continue;
        }
        let (_, path) = line.split_once("http://127.0.0.1:8787").unwrap();
        let path = path.split_whitespace().next().unwrap();
        let body = line.split_once("-d '").map(|(_, rest)| rest.strip_suffix('\'').expect(line));
        let body: Option<Value> = body.map(|body| serde_json::from_str(body).expect(line));
        let method = match (line.split_once("-X "), &body) {
            (Some((_, rest)), _) => rest.split_whitespace().next().unwrap().parse().unwrap(),
            (None, Some(_)) => Method::POST,
            (None, None) => Method::GET,
        };
        let answer = grace.call(method, path, body).await;
        assert!([200, 201].contains(&answer.status), "{line}: {} {}", answer.status, answer.body);
    }
}
