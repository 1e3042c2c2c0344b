//! The audit log: one entry for every change, in its transaction.

use control::audit::{self, Action, Actor};
use serde_json::json;

use crate::scene::{Member, Scene};

#[tokio::test]
async fn a_change_and_its_entry_commit_together_or_not_at_all() {
    let scene = Scene::new().await;
    let before = scene.logged().await.len();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let now = scene.control.clock.now();
    audit::record(&mut tx, &Actor::operator(), now, Action::TenantEdited, None, json!({}));
    drop(tx);
    assert_eq!(scene.logged().await.len(), before);
}

#[tokio::test]
async fn entries_say_who_from_where_and_name_no_values() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    let change = json!({"first_name": "Robert", "email": "robert@acme.test", "password": "Corr3ct-horse"});
    ada.patch(&format!("/api/user/users/{}/", bob.id), change).await.expect(200);
    let log = ada.get("/api/audit/?page_size=100").await.expect(200);
    let text = log.body.to_string();
    for personal in ["Robert", "robert@", "Corr3ct"] {
        assert!(!text.contains(personal), "{text}");
    }
    let latest = &log.body["results"][0];
    assert_eq!(latest["actor_kind"], "person");
    assert_eq!(latest["actor"], ada.id.to_string());
    assert_eq!(latest["target"], bob.id.to_string());
    assert_eq!(latest["client"], "127.0.0.1");
    assert!(!latest["request_id"].as_str().unwrap().is_empty());
    let edited = log.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["action"] == "user.edited")
        .unwrap();
    assert_eq!(edited["details"]["fields"], json!(["email", "first_name"]));
    scene.member("sue", "staff").await.get("/api/audit/").await.expect(403);
}

/// How many entries a query finds, and their actions, newest first.
async fn found(who: &Member, query: &str) -> Vec<String> {
    let log = who.get(&format!("/api/audit/?{query}")).await.expect(200);
    let results = log.body["results"].as_array().unwrap();
    assert_eq!(log.body["count"], results.len(), "{query}");
    results.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_log_is_asked_who_did_what_to_whom_and_when() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let (bob, sue) = (scene.member("bob", "client").await, scene.member("sue", "staff").await);
    let before = scene.control.clock.now();
    let path = format!("/api/user/users/{}/", bob.id);
    ada.patch(&path, json!({"first_name": "Bob"})).await.expect(200);
    ada.patch(&path, json!({"status": "suspended"})).await.expect(200);
    sue.get("/api/audit/").await.expect(403);
    let fact = audit::Fact {
        event_id: uuid::Uuid::from_u128(5),
        at: scene.control.clock.now(),
        action: "edge.signed_in".into(),
        user: Some(sue.id),
        network: Some("192.0.2.7".into()),
        details: json!({}),
    };
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    audit::record_fact(&mut tx, fact);
    tx.commit().await.unwrap();

    let (changed, edited) = ("user.status_changed", "user.edited");
    for (query, expected) in [
        (format!("actor={}", ada.id), vec![changed, edited]),
        (format!("actor={}&action=user.edited", ada.id), vec![edited]),
        (format!("subject={}", bob.id), vec![changed, edited, "user.created"]),
        (format!("target={}&actor_kind=operator", bob.id), vec!["user.created"]),
        ("subject=/api/audit".into(), vec!["permission.refused"]),
        ("subject=nobody".into(), vec![]),
        (format!("actor={}", sue.id), vec!["edge.signed_in", "permission.refused"]),
        ("outcome=refused".into(), vec!["permission.refused"]),
        ("action=edge.signed_in".into(), vec!["edge.signed_in"]),
        (format!("action=user.edited,user.status_changed&subject={}", bob.id), vec![changed, edited]),
        ("actor_kind=person".into(), vec!["permission.refused", changed, edited]),
        ("client=192.0.2.7".into(), vec!["edge.signed_in"]),
    ] {
        assert_eq!(found(&ada, &query).await, expected, "{query}");
    }
    let at = before.format("%Y-%m-%dT%H:%M:%S%.6fZ");
    let since = ["edge.signed_in", "permission.refused", changed, edited];
    let everything = found(&ada, "").await.len();
    for (after, before) in [
        ("created_after", "created_before"),
        ("created_at_after", "created_at_before"),
        ("at_after", "at_before"),
    ] {
        assert_eq!(found(&ada, &format!("{after}={at}")).await, since);
        assert_eq!(found(&ada, &format!("{before}={at}")).await.len(), everything - since.len());
    }
    let ordered = found(&ada, &format!("ordering=created_at&actor={}", ada.id)).await;
    assert_eq!(ordered, [edited, changed]);
    // One entry's request leads to all that the request did.
    let log = ada.get(&format!("/api/audit/?actor={}", ada.id)).await.expect(200);
    let request = log.body["results"][0]["request_id"].as_str().unwrap();
    assert_eq!(found(&ada, &format!("request_id={request}")).await, [changed]);
    // By cursor, too.
    let query = format!("/api/audit/?actor={}&page_size=1&cursor=", ada.id);
    let first = ada.get(&query).await.expect(200);
    let next = first.body["next"].as_str().unwrap();
    let next = ada.get(&next[next.find("/api/").unwrap()..]).await.expect(200);
    assert_eq!((&next.body["results"][0]["action"], &next.body["next"]), (&json!(edited), &json!(null)));

    let refused = ada.get("/api/audit/?actor=ada&action=user.vanished&outcome=maybe&actor_kind=x&at_after=x");
    let refused = refused.await.expect(400);
    assert_eq!(
        refused.body,
        json!({
            "actor": ["Must be a valid UUID."],
            "action": ["\"user.vanished\" is not a valid choice."],
            "outcome": ["\"maybe\" is not a valid choice."],
            "actor_kind": ["\"x\" is not a valid choice."],
            "at_after": ["Enter a valid date/time."],
        })
    );
}

#[tokio::test]
async fn a_filter_of_the_log_shows_nothing_of_another_tenant() {
    for (scene, other) in
        [(Scene::new().await, Scene::new().await), (Scene::shared().await, Scene::shared().await)]
    {
        let ada = scene.member("ada", "root-admin").await;
        let eve = other.member("eve", "root-admin").await;
        for query in [format!("subject={}", eve.id), format!("actor={}", eve.id)] {
            assert!(found(&ada, &query).await.is_empty(), "{query}");
        }
        assert_eq!(found(&eve, &format!("subject={}", eve.id)).await, ["user.created"]);
    }
}

#[tokio::test]
async fn readers_of_the_log_verify_it_whole_or_in_parts() {
    const VERIFY: &str = "/api/audit/verify/";
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = scene.member("ada", "root-admin").await;
        scene.member("sue", "staff").await.get(VERIFY).await.expect(403);
        let whole = ada.get(VERIFY).await.expect(200).body;
        let head = i64::try_from(scene.logged().await.len()).unwrap();
        let intact =
            json!({"intact": true, "from": 1, "to": head, "archived": 0, "head": head, "finding": null});
        assert_eq!(whole, intact);
        let part = ada.get(&format!("{VERIFY}?after={}", head - 1)).await.expect(200).body;
        assert_eq!((&part["intact"], &part["from"], &part["to"]), (&json!(true), &json!(head), &json!(head)));
        let end = ada.get(&format!("{VERIFY}?after={head}")).await.expect(200).body;
        assert_eq!((&end["intact"], &end["to"]), (&json!(true), &json!(head)));
        ada.get(&format!("{VERIFY}?after={}", head + 1)).await.expect(404);
        for (query, refused) in [
            ("after=-1", json!({"after": ["A valid integer is required."]})),
            (
                "after=x&befor=1",
                json!({"after": ["A valid integer is required."], "befor": ["Unknown parameter."]}),
            ),
        ] {
            assert_eq!(ada.get(&format!("{VERIFY}?{query}")).await.expect(400).body, refused);
        }
        let tamper = format!(
            "update {}.audit_entries set outcome = 'refused' where tenant_id = '{}' and position = 2",
            scene.tenant.cell, scene.tenant.id
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(tamper)).execute(&mut scene.database.admin().await).await.unwrap();
        let found = ada.get(VERIFY).await.expect(200).body;
        assert_eq!(found["intact"], false);
        let finding = &found["finding"];
        assert_eq!((&finding["position"], &finding["fault"]), (&json!(2), &json!("changed")));
        // The entries after it are intact.
        assert_eq!(ada.get(&format!("{VERIFY}?after=2")).await.expect(200).body["intact"], true);
    }
}
