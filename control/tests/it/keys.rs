//! Keys over the API and the clock: rotation waits, removal follows, imports are published first.

use chrono::TimeDelta;
use control::audit::{Actor, Who};
use control::branches::Grants;
use control::keys::{self, KeyError, due, rsa};
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::permissions::{Permissions, ROOT_RANK};
use shared::ids::KeyId;
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};

use crate::scale::Numbers;
use crate::scene::{Member, Scene, key};

fn path(scene: &Scene) -> String {
    format!("/api/tenant/tenants/{}/keys/", scene.tenant.id)
}

async fn states(user: &Member, scene: &Scene) -> Vec<String> {
    let keys = user.get(&path(scene)).await.expect(200);
    let state = |key: &Value| key["state"].as_str().unwrap().to_owned();
    keys.body["results"].as_array().unwrap().iter().map(state).collect()
}

/// The same user with a token for the clock as it is now.
async fn again(scene: &Scene, user: &Member) -> Member {
    scene.acting_as(&scene.user(user.id).await).await
}

#[tokio::test]
async fn a_rotation_waits_switches_and_cleans_up() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let rotate = format!("{}rotate/", path(&scene));
    assert_eq!(states(&ada, &scene).await, ["active", "next"]);
    let early = ada.call(Method::POST, &rotate, None).await.expect(409);
    assert!(early.body["detail"].as_str().unwrap().contains("not confirmed"));
    scene.push().await;
    ada.call(Method::POST, &rotate, None).await.expect(200);
    ada.call(Method::POST, &rotate, None).await.expect(409);
    scene.push().await;
    let planned = scene.edge.state().documents[&scene.tenant.id].keys[1].sign_from.unwrap();
    let wait = i64::try_from(planned).unwrap() - scene.control.clock.now().timestamp();
    assert!((1850..=1862).contains(&wait), "{wait}: staleness 900, key set 900, margin 60");

    scene.control.clock.advance(TimeDelta::seconds(wait + 1));
    due::advance(&scene.control, scene.tenant.id).await.unwrap();
    let ada = again(&scene, &ada).await;
    assert_eq!(states(&ada, &scene).await, ["retired", "active", "next"]);
    due::advance(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(states(&ada, &scene).await, ["retired", "active", "next"]);

    scene.control.clock.advance(TimeDelta::seconds(900 + 900 + 60));
    due::advance(&scene.control, scene.tenant.id).await.unwrap();
    let ada = again(&scene, &ada).await;
    assert_eq!(states(&ada, &scene).await, ["removed", "active", "next"]);
    scene.push().await;
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].keys.len(), 2);
}

#[tokio::test]
async fn what_the_edge_gets_opens_there_alone() {
    let scene = Scene::new().await;
    scene.push().await;
    let document = scene.edge.state().documents[&scene.tenant.id].clone();
    let (mine, foreign) = ([EdgeKey::parse(&key("a", 1)).unwrap()], [EdgeKey::parse(&key("a", 9)).unwrap()]);
    let open = |text: &str, kind, subject: &str, keys: &[EdgeKey]| {
        let context = Context { edge: "edge-test", tenant: document.id, kind, subject };
        Sealed::parse(text).unwrap().open(keys, &context).ok().map(|bytes| bytes.to_vec())
    };
    for signing in &document.keys {
        let sealed = signing.sealed.as_deref().unwrap();
        let pkcs8 = open(sealed, Kind::SigningKey, signing.kid.as_str(), &mine).unwrap();
        assert!(aws_lc_rs::signature::RsaKeyPair::from_pkcs8(&pkcs8).is_ok());
        assert!(open(sealed, Kind::SigningKey, "other", &mine).is_none());
        assert!(open(sealed, Kind::SigningKey, signing.kid.as_str(), &foreign).is_none());
    }
    let root = &document.session_roots[0];
    assert_eq!(open(&root.sealed, Kind::SessionRoot, &root.version.to_string(), &mine).unwrap().len(), 32);
    let lookup = &document.lookup_root;
    assert_eq!(open(&lookup.sealed, Kind::LookupRoot, &lookup.version.to_string(), &mine).unwrap().len(), 32);
    let dummy = open(&document.dummy_verifier, Kind::Dummy, "", &mine).unwrap();
    assert!(shared::passwords::Verifier::parse(std::str::from_utf8(&dummy).unwrap()).is_ok());
}

#[tokio::test]
async fn revoking_the_active_key_makes_the_next_sign_at_once() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let listed = ada.get(&path(&scene)).await.expect(200).body;
    let kid = |at: usize| listed["results"][at]["kid"].as_str().unwrap().to_owned();
    let revoke = |kid: String| format!("{}{kid}/revoke/", path(&scene));
    ada.call(Method::POST, &revoke(kid(0)), None).await.expect(200);
    scene.push().await;
    let document = scene.edge.state().documents[&scene.tenant.id].clone();
    let now = u64::try_from(scene.control.clock.now().timestamp()).unwrap();
    assert_eq!(document.signing_key(now).unwrap().kid.as_str(), kid(1));
    assert!(document.verifying_key(&kid(0)).is_none());
    let ada = again(&scene, &ada).await;
    assert_eq!(states(&ada, &scene).await, ["revoked", "active", "next"]);
    ada.call(Method::POST, &revoke(kid(0)), None).await.expect(409);
    ada.call(Method::POST, &revoke("nonsense".into()), None).await.expect(404);
}

#[tokio::test]
async fn the_edge_forgets_a_revoked_key_when_no_token_can_name_it() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let listed = ada.get(&path(&scene)).await.expect(200).body;
    let kid = listed["results"][0]["kid"].as_str().unwrap().to_owned();
    let before = scene.control.clock.now();
    let revoked =
        ada.call(Method::POST, &format!("{}{kid}/revoke/", path(&scene)), None).await.expect(200).body;
    let remove_at = revoked["keys"][0]["remove_at"].as_str().unwrap();
    let wait = (chrono::DateTime::parse_from_rfc3339(remove_at).unwrap().to_utc() - before).num_seconds();
    assert!((1860..=1870).contains(&wait), "{wait}: staleness 900, longest token 900, margin 60");
    scene.push().await;
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].keys.len(), 3);

    scene.control.clock.advance(TimeDelta::seconds(wait + 1));
    due::advance(&scene.control, scene.tenant.id).await.unwrap();
    let ada = again(&scene, &ada).await;
    assert_eq!(states(&ada, &scene).await, ["removed", "active", "next"]);
    scene.push().await;
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].keys.len(), 2);
    // A lookup still shows it as ended.
    ada.call(Method::POST, &format!("{}{kid}/revoke/", path(&scene)), None).await.expect(409);
}

#[tokio::test]
async fn whoever_tries_to_revoke_a_key_is_in_the_log() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let staff = scene.member("sam", "staff").await;
    let listed = ada.get(&path(&scene)).await.expect(200).body;
    let kid = listed["results"][1]["kid"].as_str().unwrap().to_owned();
    let revoke = |kid: &str| format!("{}{kid}/revoke/", path(&scene));
    let unknown = "A".repeat(43);
    ada.call(Method::POST, &revoke(&unknown), None).await.expect(404);
    ada.call(Method::POST, &revoke(&kid), None).await.expect(200);
    ada.call(Method::POST, &revoke(&kid), None).await.expect(409);
    staff.call(Method::POST, &revoke(&kid), None).await.expect(403);
    // A text that cannot be a key id is unknown.
    ada.call(Method::POST, &revoke("nonsense"), None).await.expect(404);
    let entries = ada.get("/api/audit/?ordering=at&page_size=100").await.expect(200).body;
    let of = |action: &str| -> Vec<Value> {
        let entries = entries["results"].as_array().unwrap().iter().filter(|entry| entry["action"] == action);
        entries.map(|it| json!([it["outcome"], it["target"], it["details"]])).collect()
    };
    assert_eq!(
        of("keys.revoked"),
        [
            json!(["refused", unknown, {"why": "there is no such key"}]),
            json!(["done", kid, {}]),
            json!(["refused", kid, {"why": "the key is revoked or removed already"}]),
        ]
    );
    assert_eq!(of("permission.refused").len(), 1);
}

#[tokio::test]
async fn a_key_is_made_only_where_one_is_needed() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    scene.push().await;
    ada.call(Method::POST, &format!("{}rotate/", path(&scene)), None).await.expect(200);
    scene.control.clock.advance(TimeDelta::seconds(1870));
    let numbers = Numbers::new();
    let _kept = numbers.keep();
    for round in 0..3 {
        due::advance(&scene.control, scene.tenant.id).await.unwrap();
        assert_eq!(numbers.asked_for("keys"), 1, "round {round}");
    }
    let ada = again(&scene, &ada).await;
    let listed = ada.get(&path(&scene)).await.expect(200).body;
    let kid = |at: usize| listed["results"][at]["kid"].as_str().unwrap().to_owned();
    let unknown = "A".repeat(43);
    // The case, the key id, the answer, and the number of keys made by then.
    for (what, kid, status, made) in [
        ("unknown", unknown, 404, 1),
        ("retired", kid(0), 200, 1),
        ("revoked", kid(0), 409, 1),
        ("next", kid(2), 200, 2),
    ] {
        ada.call(Method::POST, &format!("{}{kid}/revoke/", path(&scene)), None).await.expect(status);
        assert_eq!(numbers.asked_for("keys"), made, "{what}");
    }
    // Only a removal is due now.
    scene.control.clock.advance(TimeDelta::seconds(1900));
    due::advance(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(numbers.asked_for("keys"), 2);
}

#[tokio::test]
async fn two_who_revoke_at_once_leave_one_active_and_one_next_key() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let listed = ada.get(&path(&scene)).await.expect(200).body;
    let revoke = |at: usize| {
        let kid = listed["results"][at]["kid"].as_str().unwrap();
        format!("{}{kid}/revoke/", path(&scene))
    };
    // Each looks, makes a key and looks again, so that they meet in every order.
    let (active, next) = (revoke(0), revoke(1));
    let (first, second, third) = tokio::join!(
        ada.call(Method::POST, &active, None),
        ada.call(Method::POST, &next, None),
        ada.call(Method::POST, &next, None),
    );
    let mut statuses = [first.status, second.status, third.status];
    statuses.sort_unstable();
    // A caller whose own signing key was revoked before its second request no longer has a valid token.
    assert!(statuses[0] == 200 && statuses.iter().all(|it| [200, 401, 409].contains(it)), "{statuses:?}");
    let ada = again(&scene, &ada).await;
    let states = states(&ada, &scene).await;
    let count = |state: &str| states.iter().filter(|it| *it == state).count();
    assert_eq!((count("active"), count("next")), (1, 1), "{states:?}");
}

#[tokio::test]
async fn an_imported_key_is_the_next_one() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let ada = scene.member("ada", "root-admin").await;
    let import = format!("{}import/", path(&scene));
    let pem = include_str!("../keys/rsa2048.pem");
    ada.post(&import, json!({"pkcs8": pem})).await.expect(403);
    for (body, field) in [
        (json!({"pkcs8": include_str!("../keys/rsa1024.pem")}), "pkcs8"),
        (json!({"pkcs8": include_str!("../keys/rsa2048-e3.pem")}), "pkcs8"),
        (json!({"pkcs8": "nonsense"}), "pkcs8"),
        (json!({"jwk": {"kty": "RSA"}}), "jwk"),
        (json!({}), "pkcs8"),
    ] {
        let refused = root.post(&import, body).await.expect(400);
        assert!(refused.body[field].is_array(), "{}", refused.body);
    }
    let imported = root.post(&import, json!({"pkcs8": pem})).await.expect(201);
    assert_eq!(imported.body["state"], "next");
    assert_eq!(states(&ada, &scene).await, ["active", "removed", "next"]);
    let jwk: Value = serde_json::from_str(include_str!("../keys/rsa2048.jwk.json")).unwrap();
    root.post(&import, json!({"jwk": jwk})).await.expect(409);
    scene.push().await;
    let kids: Vec<_> = scene.edge.state().documents[&scene.tenant.id]
        .published_keys()
        .map(|key| key.kid.to_string())
        .collect();
    assert!(kids.contains(&imported.body["kid"].as_str().unwrap().to_owned()));
}

#[tokio::test]
async fn an_administrator_who_is_stopped_while_a_key_is_made_or_wrapped_changes_no_key() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    let root = platform.member("root", "root-admin").await;
    let ada = scene.member("ada", "root-admin").await;
    let private = rsa::from_pem(include_bytes!("../keys/rsa2048.pem")).unwrap();
    let imported = scene.control.keys.keep(scene.tenant.id, &private).await.unwrap();
    let listed = ada.get(&path(&scene)).await.expect(200).body;
    let next = KeyId::parse(listed["results"][1]["kid"].as_str().unwrap()).unwrap();
    for (round, change) in
        [json!({"status": "suspended"}), json!({"roles": ["staff"]})].into_iter().enumerate()
    {
        let mallory = platform.member(&format!("mallory{round}"), "root-admin").await;
        // As their request found them when it began, before the change.
        let who =
            Who::Platform { id: mallory.id, rank: ROOT_RANK, grants: Grants::everywhere(Permissions::EVERY) };
        let actor = Actor { who, ..Actor::control() };
        root.patch(&format!("/api/user/users/{}/", mallory.id), change).await.expect(200);
        let begin = async || {
            let mut tx = scene.control.db.tenant_tx(platform.tenant.id).await.unwrap();
            tx.enter(&scene.control.db, scene.tenant.id).await.unwrap();
            tx
        };
        let refused = keys::import(&scene.control, begin().await, &actor, &scene.tenant, &imported).await;
        assert!(matches!(refused, Err(KeyError::Rank)), "import");
        let refused = keys::revoke(&scene.control, begin().await, &actor, &scene.tenant, &next).await;
        assert!(matches!(refused, Err(KeyError::Rank)), "revoke");
    }
    assert_eq!(states(&ada, &scene).await, ["active", "next"]);
    let refused = scene.logged().await.iter().filter(|action| *action == "permission.refused").count();
    assert_eq!(refused, 4);
}

#[tokio::test]
async fn nothing_at_rest_is_readable_without_the_key() {
    let scene = Scene::new().await;
    scene.member("ada", "root-admin").await;
    let mut settings = scene.control.settings.clone();
    let other = serde_json::from_value(json!(key("rest", 9))).unwrap();
    settings.encryption.kek = other;
    let stranger = control::control::new(settings).unwrap();
    let refused = stranger.db.tenant_tx(scene.tenant.id).await.err().unwrap();
    assert_eq!(control::failure::chain(&refused).to_string(), "stored tenant_keys.wrapped cannot be read");
}
