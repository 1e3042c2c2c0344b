//! The audit log: one entry for every change, in its transaction.

use control::audit::{self, Action, Actor};
use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn a_change_and_its_entry_commit_together_or_not_at_all() {
    let scene = Scene::new().await;
    let before = scene.logged().await.len();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let now = scene.control.clock.now();
    audit::record(&mut tx, &Actor::operator(), now, Action::TenantEdited, None, json!({})).await.unwrap();
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
