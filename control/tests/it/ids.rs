//! An id is a value: every spelling of a UUID that common libraries write means the same thing, and answers
//! have one.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::scene::Scene;

/// As other libraries write a UUID.
fn spellings(id: Uuid) -> Vec<String> {
    let hyphenated = id.hyphenated().to_string();
    vec![
        hyphenated.to_uppercase(),
        id.simple().to_string(),
        id.simple().to_string().to_uppercase(),
        // In a path, braces are escaped.
        format!("%7B{hyphenated}%7D"),
        format!("%7B{}%7D", hyphenated.to_uppercase()),
        format!("urn:uuid:{hyphenated}"),
        hyphenated,
    ]
}

#[tokio::test]
async fn every_spelling_of_an_id_in_a_path_is_the_same_user() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    let canonical = ada.get(&format!("/api/user/users/{}/", bob.id)).await.expect(200);
    for spelled in spellings(bob.id.uuid()) {
        let path = format!("/api/user/users/{spelled}/");
        let read = ada.get(&path).await.expect(200);
        assert_eq!(read.body, canonical.body, "{spelled}");
        assert_eq!(read.header("etag"), canonical.header("etag"), "{spelled}");
        let none = ada.with(Method::GET, &path, &[("if-none-match", canonical.header("etag"))], None).await;
        none.expect(304);
    }
    for spelled in spellings(bob.id.uuid()) {
        let path = format!("/api/user/users/{spelled}/");
        ada.patch(&path, json!({"first_name": spelled.replace('%', "")})).await.expect(200);
        ada.delete(&format!("/api/user/users/{spelled}/sessions/")).await.expect(204);
    }
    for garbage in ["9999", "%7B%7D", "urn:uuid:", "00000000-0000-0000-0000-00000000000g"] {
        ada.get(&format!("/api/user/users/{garbage}/")).await.expect(404);
    }
    ada.delete(&format!("/api/user/users/{}/", bob.id.uuid().simple())).await.expect(204);
}

#[tokio::test]
async fn every_spelling_of_an_id_in_a_path_is_the_same_tenant() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let root = scene.platform().await.member("root", "root-admin").await;
    for spelled in spellings(scene.tenant.id.uuid()) {
        let path = format!("/api/tenant/tenants/{spelled}/");
        for who in [&ada, &root] {
            let read = who.get(&path).await.expect(200);
            assert_eq!(read.body["id"], json!(scene.tenant.id), "{spelled}");
        }
        let keys = ada.get(&format!("{path}keys/?page_size=1")).await.expect(200);
        let next = keys.body["next"].as_str().unwrap();
        assert!(next.contains(&format!("/api/tenant/tenants/{}/keys/", scene.tenant.id)), "{next}");
    }
}

#[tokio::test]
async fn the_log_names_a_subject_in_one_way() {
    let scene = Scene::new().await;
    let (ada, sue) = (scene.member("ada", "root-admin").await, scene.member("sue", "co-admin").await);
    let cyd = scene.member("cyd", "client").await;
    let upper = ada.id.to_string().to_uppercase();
    // Of rank, and of permission.
    sue.patch(&format!("/api/user/users/{upper}/"), json!({"first_name": "x"})).await.expect(403);
    cyd.get(&format!("/api/user/users/{upper}/")).await.expect(403);
    let simple = cyd.id.uuid().simple();
    ada.patch(&format!("/api/user/users/{simple}/"), json!({"status": "suspended"})).await.expect(200);
    let log = ada.get("/api/audit/?page_size=3").await.expect(200);
    let targets: Vec<&Value> =
        log.body["results"].as_array().unwrap().iter().map(|entry| &entry["target"]).collect();
    assert_eq!(
        targets,
        [&json!(cyd.id), &json!(format!("/api/user/users/{}", ada.id)), &json!(ada.id)],
        "{}",
        log.body
    );
}

#[tokio::test]
async fn every_spelling_of_an_id_in_a_filter_is_the_same() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let id = Uuid::from_u128(7);
    for spelled in spellings(id) {
        let found = ada.get(&format!("/api/user/users/?branch={spelled}")).await.expect(200);
        assert_eq!(found.body["count"], 0, "{spelled}");
    }
    for spelled in spellings(ada.id.uuid()) {
        for name in ["actor", "subject", "target"] {
            let found = ada.get(&format!("/api/audit/?{name}={spelled}")).await.expect(200);
            let expected = u64::from(name != "actor");
            assert_eq!(found.body["count"], expected, "{name}={spelled}: {}", found.body);
        }
    }
}
