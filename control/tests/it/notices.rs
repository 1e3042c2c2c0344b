//! Notices: the owner of an account gets a mail about every change of its password.

use control::mail::FactorChange;
use control::notices;
use control::users::{Change, Profile};
use serde_json::json;

use crate::resets::NEW_PASSWORD;
use crate::scene::{PASSWORD, Scene};

#[tokio::test]
async fn the_owner_of_an_account_is_told_of_another_password() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let admin = scene.member("root", "root-admin").await;
        let grace = scene.addressed("grace", "root-admin").await;
        let path = format!("/api/user/users/{}/", grace.id);
        // By an administrator, who also changes the address: the notice goes to the old one.
        let body = json!({"password": PASSWORD, "email": "eve@evil.test"});
        admin.patch(&path, body).await.expect(200);
        let mails = scene.promised().await;
        let told: Vec<_> = mails.iter().map(|mail| (mail.kind.as_str(), mail.address())).collect();
        let old = "grace@acme.test";
        assert_eq!(told, [("address_changed", old), ("password_changed", old)]);
        assert_eq!(mails[1].content["facts"]["username"], "grace");
        // By oneself.
        let herself = scene.acting_as(&scene.user(grace.id).await).await;
        herself.patch(&path, json!({"password": NEW_PASSWORD})).await.expect(200);
        assert_eq!(scene.promised().await[2].address(), "eve@evil.test");
        // By the command line.
        scene
            .change(grace.id, Change { password: Some(scene.hashed(PASSWORD).await), ..Change::default() })
            .await;
        assert_eq!(scene.promised_kinds().await[1..], ["password_changed"; 3]);
    }
}

#[tokio::test]
async fn nothing_is_told_of_what_did_not_happen_or_to_an_address_that_is_not_proven() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let grace = scene.addressed("grace", "client").await;
    let path = format!("/api/user/users/{}/", grace.id);
    admin.patch(&path, json!({"first_name": "Grace"})).await.expect(200);
    admin.patch(&path, json!({"password": "123"})).await.expect(400);
    let body = json!({"username": "heidi", "email": "heidi@acme.test", "password": PASSWORD});
    admin.post("/api/user/users/", body).await.expect(201);
    scene.change(grace.id, Change { email_verified: Some(false), ..Change::default() }).await;
    let body = json!({"password": PASSWORD, "email": "grace@acme.example", "email_verified": true});
    admin.patch(&path, body).await.expect(200);
    admin.patch(&path, json!({"email": "grace@acme.example"})).await.expect(200);
    let nobody = scene.person(Profile { username: "bare".into(), ..Profile::default() }, &["client"]).await;
    admin.patch(&format!("/api/user/users/{}/", nobody.id), json!({"password": PASSWORD})).await.expect(200);
    assert!(scene.promised().await.is_empty());
}

#[tokio::test]
async fn a_tenant_chooses_the_notices_that_its_users_get() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let grace = scene.addressed("grace", "client").await;
    let tenant = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let user = format!("/api/user/users/{}/", grace.id);
    let shown = admin.get(&tenant).await.expect(200);
    assert_eq!(shown.body["settings"].get("notices"), None, "all of them");
    let set = |list: serde_json::Value| {
        let (admin, tenant) = (&admin, &tenant);
        async move { admin.patch(tenant, json!({"settings": {"notices": list}})).await }
    };
    let changed = set(json!(["new_device"])).await.expect(200);
    assert_eq!(changed.body["settings"]["notices"], json!(["new_device"]));
    admin.patch(&user, json!({"password": PASSWORD})).await.expect(200);
    scene.confirm(&scene.reset_link(grace.id).await, NEW_PASSWORD).await.expect(200);
    assert!(scene.promised().await.is_empty());
    set(json!([])).await.expect(200);
    admin.patch(&user, json!({"password": PASSWORD})).await.expect(200);
    assert!(scene.promised().await.is_empty());
    set(json!(["password_changed"])).await.expect(200);
    admin.patch(&user, json!({"password": NEW_PASSWORD})).await.expect(200);
    assert_eq!(scene.promised_kinds().await, ["password_changed"]);
    let all = json!(["password_changed", "address_changed", "second_factor_changed", "new_device"]);
    set(all).await.expect(200);
    let shown = admin.get(&tenant).await.expect(200);
    assert_eq!(shown.body["settings"].get("notices"), None, "all of them again");
    let refused = set(json!(["new_dance"])).await.expect(400);
    let said =
        "Item 1: the notices are password_changed, address_changed, second_factor_changed and new_device.";
    assert_eq!(refused.body, json!({ "notices": [said] }));
}

#[tokio::test]
async fn what_is_told_of_factors_and_devices_has_a_template() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let mut tx = scene.tx().await;
    let control = &scene.control;
    notices::second_factor_changed(control, &mut tx, &grace, FactorChange::Removed).await.unwrap();
    let new = notices::NewDevice {
        device: "Firefox on Linux".into(),
        place: "Lisboa, PT".into(),
        client: "192.0.2.7".into(),
        at: control.clock.now(),
    };
    notices::new_device(control, &mut tx, &grace, new).await.unwrap();
    tx.commit().await.unwrap();
    let mails = scene.promised().await;
    assert_eq!(mails[0].kind, "second_factor_changed");
    assert_eq!(mails[0].content["facts"]["factor"], "removed");
    assert_eq!(mails[1].kind, "new_device");
    assert_eq!(mails[1].content["facts"]["device"], "Firefox on Linux");
}

#[tokio::test]
async fn a_notice_beyond_its_budget_waits() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let most = usize::try_from(shared::contract::limits::MAIL_NOTICES_PER_HOUR).unwrap();
    let mut tx = scene.tx().await;
    for _ in 0..=most {
        notices::password_changed(&scene.control, &mut tx, &grace).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(scene.promised().await.len(), most + 1);
}
