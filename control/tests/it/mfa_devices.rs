//! Remembered devices: listed and revoked by signed calls to the edge, by their user and by administrators.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::wire::push::DeviceOut;

use crate::scene::{Member, Scene};

const DEVICES: &str = "/api/user/devices/";

/// The id of a device by number.
fn id(number: u8) -> String {
    URL_SAFE_NO_PAD.encode([number; 32])
}

impl Scene {
    /// The edge remembers a device of a user.
    fn remembers(&self, user: UserId, number: u8) {
        let created_at = 1_800_000_000_000;
        let used_at = (number == 1).then_some(created_at + 1);
        let name = format!("Lynx/{number}");
        let device = DeviceOut { id: id(number), name, created_at, used_at, expires_at: created_at + 2 };
        self.edge.state().devices.push(((self.tenant.id, user), device));
    }

    fn devices_at_edge(&self, user: UserId) -> usize {
        let state = self.edge.state();
        state.devices.iter().filter(|(owner, _)| *owner == (self.tenant.id, user)).count()
    }
}

fn of(user: &Member) -> String {
    format!("/api/user/users/{}/devices/", user.id)
}

async fn entries(root: &Member) -> Vec<(Value, Value, Value)> {
    let listed = root.get("/api/audit/?action=devices.forgotten").await.expect(200).body;
    let entries = listed["results"].as_array().unwrap().iter().rev();
    entries.map(|it| (it["actor"].clone(), it["target"].clone(), it["details"]["device"].clone())).collect()
}

#[tokio::test]
async fn a_user_lists_and_revokes_the_own_devices() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let (ada, eve) = (scene.member("ada", "client").await, scene.member("eve", "client").await);
        for (user, number) in [(ada.id, 1), (ada.id, 2), (eve.id, 3)] {
            scene.remembers(user, number);
        }
        let listed = ada.get(DEVICES).await.expect(200).body;
        assert_eq!(listed["count"], 2);
        assert_eq!(
            listed["results"][0],
            json!({
                "id": id(1), "user_agent": "Lynx/1", "created_at": "2027-01-15T08:00:00.000000Z",
                "last_used_at": "2027-01-15T08:00:00.001000Z", "expires_at": "2027-01-15T08:00:00.002000Z",
            })
        );
        assert_eq!(listed["results"][1]["last_used_at"], Value::Null);
        for missing in [id(3), id(9), "x".into()] {
            ada.delete(&format!("{DEVICES}{missing}/")).await.expect(404);
        }
        ada.delete(&format!("{DEVICES}{}/", id(1))).await.expect(204);
        assert_eq!((scene.devices_at_edge(ada.id), scene.devices_at_edge(eve.id)), (1, 1));
        ada.delete(DEVICES).await.expect(204);
        ada.delete(DEVICES).await.expect(204);
        assert_eq!((scene.devices_at_edge(ada.id), scene.devices_at_edge(eve.id)), (0, 1));
        let root = scene.member("root", "root-admin").await;
        let who = json!(ada.id);
        let expected = [(who.clone(), who.clone(), json!(id(1))), (who.clone(), who, Value::Null)];
        assert_eq!(entries(&root).await, expected, "what changed nothing is no entry");
    }
}

#[tokio::test]
async fn administrators_revoke_the_devices_of_users_below_them() {
    let scene = Scene::new().await;
    let (root, admin) = (scene.member("root", "root-admin").await, scene.member("admin", "co-admin").await);
    let (staff, client) = (scene.member("staff", "staff").await, scene.member("client", "client").await);
    for (user, number) in [(root.id, 1), (admin.id, 2), (staff.id, 3), (client.id, 4), (client.id, 5)] {
        scene.remembers(user, number);
    }
    assert_eq!(admin.get(&of(&client)).await.expect(200).body["count"], 2);
    assert_eq!(staff.get(&of(&client)).await.expect(200).body["count"], 2, "who reads users");
    client.get(&of(&client)).await.expect(403);
    // Callers may revoke devices if they may end sessions, for users below their own rank.
    staff.delete(&of(&client)).await.expect(403);
    admin.delete(&of(&root)).await.expect(403);
    admin.delete(&format!("{}{}/", of(&root), id(1))).await.expect(403);
    assert_eq!(scene.logged().await.last().unwrap(), "permission.refused");
    assert_eq!(scene.devices_at_edge(root.id), 1);
    admin.delete(&of(&admin)).await.expect(204);
    admin.delete(&format!("{}{}/", of(&client), id(3))).await.expect(404);
    admin.delete(&format!("{}{}/", of(&client), id(4))).await.expect(204);
    root.delete(&of(&client)).await.expect(204);
    assert_eq!((scene.devices_at_edge(client.id), scene.devices_at_edge(staff.id)), (0, 1));
    root.delete(&format!("/api/user/users/{}/devices/", uuid::Uuid::nil())).await.expect(404);
    assert_eq!(entries(&root).await.len(), 3);
}

#[tokio::test]
async fn an_edge_that_does_not_answer_is_503_and_no_entry() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    scene.remembers(ada.id, 1);
    for (method, path) in [
        (Method::GET, DEVICES.to_owned()),
        (Method::DELETE, DEVICES.to_owned()),
        (Method::DELETE, format!("{DEVICES}{}/", id(1))),
    ] {
        scene.edge.state().faults.push_back(503);
        let refused = ada.call(method, &path, None).await.expect(503);
        assert_eq!(refused.body["code"], "unavailable");
    }
    assert_eq!(scene.devices_at_edge(ada.id), 1);
    assert!(!scene.logged().await.contains(&String::from("devices.forgotten")));
}

#[tokio::test]
async fn an_operator_lists_and_revokes_devices() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    for number in [1, 2, 3] {
        scene.remembers(ada.id, number);
    }
    let mut cli = scene.cli();
    cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
    let cli = tokio::task::spawn_blocking(move || {
        let run = |more: &[&str]| cli.run(&[&["user", "devices", "ada"], more].concat(), "");
        let listed = run(&[]).expect(0).json;
        assert_eq!((&listed["count"], &listed["results"][0]["user_agent"]), (&json!(3), &json!("Lynx/1")));
        run(&["--revoke", &id(1)]).expect(5);
        run(&["--revoke", &id(9), "--yes"]).expect(4);
        assert_eq!(run(&["--revoke", &id(1), "--yes"]).expect(0).json["devices_revoked"], 1);
        assert_eq!(run(&["--revoke-all", "--yes"]).expect(0).json["devices_revoked"], 2);
        cli
    });
    drop(cli.await.unwrap());
    assert_eq!(scene.devices_at_edge(ada.id), 0);
    let logged = scene.logged().await;
    assert_eq!(logged.iter().filter(|action| *action == "devices.forgotten").count(), 2);
}
