//! Requests that need a recent proof: a caller with the permission is refused each request of the list, and no other.

use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::step_up::GUARDED;
use uuid::Uuid;

use crate::scene::{Answer, Member, Scene};

const MAX_AGE_SECS: i64 = 900;

/// Every guarded request, once for each field that makes it one.
fn requests(scene: &Scene) -> Vec<(Method, String, Option<Value>)> {
    let mut requests = Vec::new();
    for guarded in GUARDED {
        let id = if guarded.path.starts_with("api/tenant/") { scene.tenant.id.uuid() } else { Uuid::nil() };
        let path = format!("/{}/", guarded.path.replacen('*', &id.to_string(), 1).replace('*', "key"));
        let method = Method::from_bytes(guarded.method.as_bytes()).unwrap();
        let bodies = guarded.fields.iter().map(|field| Some(json!({ *field: null })));
        let bodies = if guarded.fields.is_empty() { vec![None] } else { bodies.collect() };
        requests.extend(bodies.into_iter().map(|body| (method.clone(), path.clone(), body)));
    }
    requests
}

fn is_refused(answer: &Answer) -> bool {
    answer.body["code"] == "step_up_required"
}

/// A change that needs a recent proof, of a user that does not exist.
async fn grants(member: &Member) -> Answer {
    member.patch(&format!("/api/user/users/{}/", Uuid::nil()), json!({"roles": ["client"]})).await
}

#[tokio::test]
async fn each_request_of_the_list_is_refused_when_the_proof_is_too_old() {
    let scene = Scene::alone().await.platform().await;
    let root = scene.member("root", "root-admin").await;
    assert_eq!(scene.tenant.settings.step_up_secs, 900, "the platform's own default");
    let old = scene.proven(root.id, &["pwd"], MAX_AGE_SECS + 1).await;
    for (method, path, body) in requests(&scene) {
        let refused = old.call(method.clone(), &path, body.clone()).await.expect(403);
        assert_eq!(
            refused.body,
            json!({
                "detail": "A recent step-up is required.", "code": "step_up_required",
                "methods": ["password"], "max_age": MAX_AGE_SECS,
            }),
            "{method} {path}"
        );
        assert_eq!(scene.logged().await.last().unwrap(), "step_up.refused", "{method} {path}");
    }
    for (method, path, body) in requests(&scene) {
        let recent = scene.proven(root.id, &["pwd"], MAX_AGE_SECS - 60).await;
        let answer = recent.call(method.clone(), &path, body).await;
        assert!(!is_refused(&answer) && answer.status != 403, "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_refusal_says_who_asked_for_what() {
    for scene in [Scene::new().await, Scene::shared().await] {
        scene.sets(|settings| settings.step_up_secs = 900).await;
        let root = scene.member("root", "root-admin").await;
        let old = scene.proven(root.id, &["pwd"], MAX_AGE_SECS + 1).await;
        let path = format!("/api/user/users/{}/", Uuid::nil());
        grants(&old).await.expect(403);
        let listed = root.get("/api/audit/?action=step_up.refused").await.expect(200).body;
        let entry = &listed["results"][0];
        assert_eq!((&entry["actor"], &entry["outcome"]), (&json!(root.id), &json!("refused")));
        assert_eq!(entry["target"].as_str().unwrap().trim_end_matches('/'), path.trim_end_matches('/'));
        assert_eq!(entry["details"], json!({"max_age": 900}));
        assert_eq!(listed["count"], 1);
    }
}

#[tokio::test]
async fn a_user_with_a_second_factor_shows_a_code() {
    let scene = Scene::new().await;
    scene.sets(|settings| settings.step_up_secs = 900).await;
    let root = scene.enrolled("root", "root-admin").await;
    // A password alone, and a device that is remembered.
    for amr in [&["pwd"][..], &["pwd", "mfa"]] {
        let refused = grants(&scene.proven(root.member.id, amr, 0).await).await.expect(403);
        assert_eq!(refused.body["methods"], json!(["totp", "recovery_code"]), "{amr:?}");
    }
    let shown = ["pwd", "otp", "mfa"];
    assert!(is_refused(&grants(&scene.proven(root.member.id, &shown, MAX_AGE_SECS + 1).await).await));
    grants(&scene.proven(root.member.id, &shown, MAX_AGE_SECS - 60).await).await.expect(404);
}

#[tokio::test]
async fn nothing_else_is_asked_for_it() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let old = scene.proven(root.id, &["pwd"], 86_401).await;
    grants(&old).await.expect(404);
    for (secs, refused) in [(60, true), (86_400, true), (0, false)] {
        scene.sets(|settings| settings.step_up_secs = secs).await;
        assert_eq!(is_refused(&grants(&old).await), refused, "{secs}");
    }
    scene.sets(|settings| settings.step_up_secs = 900).await;
    let path = format!("/api/user/users/{}/", root.id);
    old.patch(&path, json!({"first_name": "Ada"})).await.expect(200);
    old.get("/api/audit/").await.expect(200);
    old.delete(&format!("{path}sessions/")).await.expect(204);
    // A caller without the permission gets that refusal first.
    let client = scene.member("client", "client").await;
    let client = scene.proven(client.id, &["pwd"], 86_401).await;
    let refused = grants(&client).await.expect(403);
    assert_eq!(refused.body, json!({"detail": "You do not have permission to perform this action."}));
}

#[tokio::test]
async fn a_tenant_of_the_api_begins_with_it() {
    let scene = Scene::alone().await.platform().await;
    let root = scene.member("root", "root-admin").await;
    for (settings, secs) in [(json!({}), json!(900)), (json!({"step_up_secs": 0}), Value::Null)] {
        let random: [u8; 6] = control::world::random().unwrap();
        let slug = format!("t{}", random.map(|byte| format!("{byte:02x}")).concat());
        let new = json!({"slug": slug, "name": "New", "settings": settings});
        let made = root.post("/api/tenant/tenants/", new).await.expect(201).body;
        assert_eq!(made["settings"]["step_up_secs"], secs);
    }
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let refused = root.patch(&path, json!({"settings": {"step_up_secs": 59}})).await.expect(400);
    assert_eq!(refused.body, json!({"step_up_secs": ["Must be 0 or at least 60, a minute."]}));
}
