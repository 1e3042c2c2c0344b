//! Networks that a tenant allows: an administrator does not shut themselves out by a slip.

use serde_json::{Value, json};
use shared::wire::needs::NETWORKS;

use crate::scene::Scene;

/// The address from which the administrators of these tests come.
const OWN: &str = "127.0.0.1";

#[tokio::test]
async fn a_setting_that_excludes_its_author_is_meant_and_has_a_reason() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let set = async |settings: Value, more: Value| {
        let mut body = json!({ "settings": settings });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        root.patch(&path, body).await
    };
    let none = json!({});
    for (name, networks) in [
        ("allowed_networks", json!(["198.51.100.0/24"])),
        ("denied_networks", json!(["127.0.0.0/8"])),
        ("admin_allowed_networks", json!(["198.51.100.0/24"])),
        ("admin_denied_networks", json!([OWN])),
    ] {
        let refused = set(json!({ name: networks }), none.clone()).await.expect(400);
        let said = refused.body["exclude_self"][0].as_str().expect(name);
        assert!(said.contains(OWN), "{said}");
        let meant = json!({"exclude_self": true});
        let refused = set(json!({ name: networks }), meant).await.expect(400);
        assert!(refused.body["reason"].is_array(), "{}", refused.body);
    }
    set(json!({"allowed_networks": ["127.0.0.0/8"], "denied_networks": ["127.0.0.9"]}), none)
        .await
        .expect(200);
    let refused = set(json!({"allowed_networks": ["192.0.2.0/40"]}), json!({})).await.expect(400);
    assert!(refused.body["allowed_networks"][0].as_str().unwrap().starts_with("Item 1:"), "{}", refused.body);
    scene.push().await;
    let document = scene.edge.state().documents[&scene.tenant.id].clone();
    assert!(document.settings.admits_network(OWN) && !document.settings.admits_network("127.0.0.9"));
    assert!(serde_json::to_value(&document.needs).unwrap().as_array().unwrap().contains(&json!(NETWORKS)));
    let meant = json!({"exclude_self": true, "reason": "The office moves"});
    set(json!({"allowed_networks": ["198.51.100.0/24"]}), meant).await.expect(200);
    // The command line has no address, and is how one gets in again.
    let cli = scene.cli();
    let slug = scene.tenant.slug.to_string();
    cli.run(&["tenant", "edit", &slug, "--set", "allowed_networks="], "").expect(0);
    let shown = cli.run(&["tenant", "show", &slug], "").expect(0).json;
    assert_eq!(shown["settings"].get("allowed_networks"), None);
}
