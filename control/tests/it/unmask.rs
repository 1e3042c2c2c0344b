//! `unmask`: its audit entry exists before its answer, and refusals are logged.

use control::users::{Profile, User};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::io::AsyncWriteExt as _;

use crate::scene::{Member, Scene};
use crate::visibility::rules;

const USERS: &str = "/api/user/users/";
const REASON: &str = "Ticket 4711: call back";

async fn grace(scene: &Scene) -> User {
    let profile = Profile {
        username: "grace".into(),
        email: Some("grace@acme.test".into()),
        phone: "+1 555 010 0199".into(),
        ..Profile::default()
    };
    scene.person(profile, &["client"]).await
}

fn path(of: &User) -> String {
    format!("{USERS}{}/unmask/", of.id)
}

fn ask(fields: &[&str]) -> Value {
    json!({"fields": fields, "reason": REASON})
}

/// Entries of what was unmasked, the newest first.
async fn entries(who: &Member) -> Vec<Value> {
    let log = who.get("/api/audit/?action=user.unmasked").await.expect(200);
    log.body["results"].as_array().unwrap().clone()
}

#[tokio::test]
async fn fields_are_shown_for_a_reason_that_is_in_the_log() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let (ada, cy) = (scene.member("ada", "root-admin").await, scene.member("cy", "co-admin").await);
        let grace = grace(&scene).await;
        scene
            .choose(rules(&["co-admin.phone=masked", "co-admin.email=absent", "co-admin.client=masked"]))
            .await;
        let read = cy.get(&format!("{USERS}{}/", grace.id)).await.expect(200).body;
        assert_eq!((&read["phone"], read.get("email")), (&json!("+1 *** 99"), None));
        let shown = cy.post(&path(&grace), ask(&["phone", "phone"])).await.expect(200);
        assert_eq!(shown.body, json!({"phone": "+1 555 010 0199"}), "these fields and no other");
        let shown = cy.post(&path(&grace), ask(&["email", "last_login"])).await.expect(200);
        assert_eq!(shown.body, json!({"email": "grace@acme.test", "last_login": null}));
        let logged = entries(&ada).await;
        assert_eq!(logged.len(), 2);
        let entry = &logged[1];
        assert_eq!((&entry["actor"], &entry["target"]), (&json!(cy.id), &json!(grace.id)));
        assert_eq!(entry["outcome"], "done");
        assert_eq!(entry["details"], json!({"fields": ["phone"], "reason": REASON}));
        // The reason may hold personal data: only viewers that see everything, and its author, see it.
        ada.post(&path(&grace), ask(&["phone"])).await.expect(200);
        let logged = entries(&cy).await;
        assert_eq!(logged[0]["details"], json!({"fields": ["phone"]}));
        assert_eq!((&logged[0]["client"], &logged[1]["client"]), (&json!("127.0.***"), &json!("127.0.0.1")));
        assert_eq!(logged[1]["details"]["reason"], REASON);
        // The hashed form of an entry has it encrypted, so that an export hides what the log hides.
        let export = cy.get("/api/audit/export/").await.expect(200).text;
        let lines = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let entries: Vec<Value> = lines.map(|line| line["entry"].clone()).collect();
        let of_hers = entries.iter().find(|entry| entry["id"] == logged[0]["id"]).unwrap();
        assert_eq!((&of_hers["details"], &of_hers["client"]), (&logged[0]["details"], &logged[0]["client"]));
        let hidden = cy.get("/api/audit/?client=127.0.0.1").await.expect(400).body;
        assert_eq!(
            hidden,
            json!({"client": ["Your roles do not show you client of other users in clear, so you cannot ask by it."]})
        );
    }
}

#[tokio::test]
async fn what_is_asked_without_fields_reason_or_permission_is_refused() {
    let scene = Scene::new().await;
    let (ada, sue) = (scene.member("ada", "root-admin").await, scene.member("sue", "staff").await);
    let grace = grace(&scene).await;
    for (body, refused) in [
        (json!({}), json!({"fields": ["This field is required."], "reason": ["This field is required."]})),
        (json!({"fields": ["phone"], "reason": "  "}), json!({"reason": ["This field may not be blank."]})),
        (json!({"fields": [], "reason": "x"}), json!({"fields": ["This list may not be empty."]})),
        (
            json!({"fields": ["phone", "password", "client"], "reason": "x"}),
            json!({"fields": ["\"password\" is not a valid choice.", "\"client\" is not a valid choice."]}),
        ),
        (
            json!({"fields": ["phone"], "reason": "x".repeat(501)}),
            json!({"reason": ["Ensure this field has no more than 500 characters."]}),
        ),
        (
            json!({"fields": ["phone"], "reason": "a\nb"}),
            json!({"reason": ["Control characters are not allowed."]}),
        ),
    ] {
        assert_eq!(ada.post(&path(&grace), body).await.expect(400).body, refused);
    }
    let trimmed = json!({"fields": ["phone"], "reason": format!(" {} ", "x".repeat(500))});
    ada.post(&path(&grace), trimmed).await.expect(200);
    assert_eq!(entries(&ada).await[0]["details"]["reason"], "x".repeat(500));
    for who in [&sue, &scene.member("bob", "client").await] {
        let forbidden = json!({"detail": "You do not have permission to perform this action."});
        assert_eq!(who.post(&path(&grace), ask(&["phone"])).await.expect(403).body, forbidden);
        let log = ada.get("/api/audit/?action=permission.refused").await.expect(200).body;
        let entry = &log["results"][0];
        assert_eq!(
            (&entry["actor"], &entry["details"]),
            (&json!(who.id), &json!({"permission": "users.unmask"}))
        );
    }
    let other = Scene::new().await;
    let eve = other.member("eve", "root-admin").await;
    eve.post(&path(&grace), ask(&["phone"])).await.expect(404);
    assert_eq!(entries(&eve).await.len(), 0);
}

#[tokio::test]
async fn no_reason_shows_what_the_platform_leaves_out() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let grace = grace(&scene).await;
    let within = scene.within(rules(&["*.phone=absent", "*.email=masked"])).await;
    let bounded = ada.at(&within);
    let forbidden = bounded.post(&path(&grace), ask(&["email", "phone"])).await.expect(403);
    assert!(!forbidden.text.contains("grace"), "{}", forbidden.text);
    let refused = &entries(&ada).await[0];
    let details = json!({"fields": ["email", "phone"], "reason": REASON});
    assert_eq!((&refused["outcome"], &refused["details"]), (&json!("refused"), &details));
    let shown = bounded.post(&path(&grace), ask(&["email"])).await.expect(200);
    assert_eq!(shown.body, json!({"email": "grace@acme.test"}));
    // Users may unmask their own fields.
    bounded.post(&format!("{USERS}{}/unmask/", ada.id), ask(&["phone"])).await.expect(200);
}

#[tokio::test]
async fn the_entry_is_committed_before_anything_is_shown() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let grace = grace(&scene).await;
    // No entry can be written while the head of the log is locked.
    let mut admin = scene.database.admin().await;
    let mut lock = admin.begin().await.unwrap();
    sqlx::query("select from platform.audit_heads where tenant_id = $1 for update")
        .bind(scene.tenant.id.uuid())
        .execute(&mut *lock)
        .await
        .unwrap();
    let asked = {
        let (ada, path) = (ada.clone(), path(&grace));
        tokio::spawn(async move { ada.post(&path, ask(&["phone"])).await })
    };
    let mut watch = scene.database.admin().await;
    loop {
        let waiting: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and query like '%audit_heads%')",
        )
        .fetch_one(&mut watch)
        .await
        .unwrap();
        if waiting {
            break;
        }
        assert!(!asked.is_finished(), "it was answered before its entry could be written");
    }
    assert!(!asked.is_finished());
    lock.rollback().await.unwrap();
    assert_eq!(asked.await.unwrap().expect(200).body, json!({"phone": "+1 555 010 0199"}));
    assert_eq!(entries(&ada).await.len(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_in_the_log_all_the_same() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let grace = grace(&scene).await;
    let body = ask(&["phone"]).to_string();
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: control.test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        path(&grace),
        ada.token,
        body.len(),
    );
    let mut socket = tokio::net::TcpStream::connect(scene.api).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    // Something of the answer came, so the phone may have: then there must be an entry.
    socket.readable().await.unwrap();
    drop(socket);
    let logged = entries(&ada).await;
    assert_eq!((logged.len(), &logged[0]["target"]), (1, &json!(grace.id)));
}
