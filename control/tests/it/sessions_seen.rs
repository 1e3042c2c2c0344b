//! Devices and countries that users sign in from: a new one causes one mail.

use serde_json::{Value, json};
use shared::wire::facts::FactKind;

use crate::scene::Scene;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const NEWER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
const CURL: &str = "curl/8.5.0";

fn from(agent: &str, country: &str) -> (FactKind, Value) {
    let client = match country {
        "" => json!({ "agent": agent }),
        country => json!({"agent": agent, "country": country, "city": "Somewhere"}),
    };
    (FactKind::SignedIn, json!({"amr": ["pwd"], "client": client}))
}

impl Scene {
    /// Devices and places in queued mails.
    async fn told_devices(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mails = self.promised().await;
        let new = mails.iter().filter(|mail| mail.kind == "new_device");
        new.map(|mail| (text(&mail.content["facts"]["device"]), text(&mail.content["facts"]["place"])))
            .collect()
    }
}

#[tokio::test]
async fn a_sign_in_from_another_device_or_country_is_told() {
    let scene = Scene::alone().await;
    let (grace, alan) = (scene.addressed("grace", "client").await, scene.addressed("alan", "client").await);
    // The first one ever, an update of its browser, and what is not known, are nothing new.
    scene.tells(grace.id, vec![from(FIREFOX, "PT"), from(NEWER, "PT"), from(FIREFOX, "")]).await;
    scene.tells(grace.id, vec![(FactKind::SignedIn, json!({"amr": ["pwd"]}))]).await;
    assert_eq!(scene.told_devices().await, []);
    scene.tells(grace.id, vec![from(CURL, "PT"), from(CURL, "PT"), from(FIREFOX, "PT")]).await;
    let pt = ("curl".to_owned(), "Somewhere, PT".to_owned());
    assert_eq!(scene.told_devices().await, std::slice::from_ref(&pt));
    scene.tells(grace.id, vec![from(FIREFOX, "NO"), from(CURL, "NO")]).await;
    let no = ("Firefox on Linux".to_owned(), "Somewhere, NO".to_owned());
    assert_eq!(scene.told_devices().await, [pt.clone(), no.clone()]);
    // A device of one user is new for another.
    scene.tells(alan.id, vec![from(CURL, "NO")]).await;
    assert_eq!(scene.told_devices().await, [pt, no]);
    let mail = scene.promised().await.pop().unwrap();
    assert_eq!(mail.content["facts"]["client"], "192.0.2.0");
    assert_eq!(mail.content["facts"]["username"], "grace");
}

#[tokio::test]
async fn a_tenant_turns_the_notice_off_and_devices_are_known_all_the_same() {
    let mut scene = Scene::alone().await;
    let grace = scene.addressed("grace", "client").await;
    scene.adjust(&[("notices", json!(["password_changed"]))]).await;
    scene.tells(grace.id, vec![from(FIREFOX, "PT"), from(CURL, "PT")]).await;
    let all = ["password_changed", "address_changed", "second_factor_changed", "new_device"];
    scene.adjust(&[("notices", json!(all))]).await;
    scene.tells(grace.id, vec![from(CURL, "PT")]).await;
    assert_eq!(scene.told_devices().await, []);
    scene.tells(grace.id, vec![from("acme-sync/3", "PT")]).await;
    assert_eq!(scene.told_devices().await.len(), 1);
}

#[tokio::test]
async fn what_was_seen_is_bounded_and_rests_hashed() {
    let scene = Scene::alone().await;
    let grace = scene.addressed("grace", "client").await;
    let agents: Vec<_> = (0..60).map(|at| from(&format!("program{at}"), "PT")).collect();
    scene.tells(grace.id, agents).await;
    let mut tx = scene.tx().await;
    let kept: i64 = sqlx::query_scalar("select count(*) from seen_devices where tenant_id = $1")
        .bind(scene.tenant.id.uuid())
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(kept, 50);
    drop(tx);
    let rows = scene.rows().await;
    for told in ["program17", "Somewhere"] {
        assert!(!rows.contains(told), "{told}");
    }
    // A deleted user has none, and their facts do not block others.
    let mut tx = scene.tx().await;
    let operator = control::audit::Actor::operator();
    control::users::delete(&scene.control, &mut tx, &operator, grace.id).await.unwrap();
    tx.commit().await.unwrap();
    scene.tells(grace.id, vec![from(CURL, "PT")]).await;
}

#[tokio::test]
async fn the_audit_log_does_not_tell_devices() {
    let scene = Scene::alone().await;
    let (grace, root) = (scene.addressed("grace", "client").await, scene.member("root", "root-admin").await);
    scene.tells(grace.id, vec![from(CURL, "PT")]).await;
    let log = root.get("/api/audit/?action=edge.signed_in").await.expect(200);
    assert_eq!(log.body["count"], 1);
    assert!(!log.text.contains("curl") && !log.text.contains("Somewhere"), "{}", log.text);
}
