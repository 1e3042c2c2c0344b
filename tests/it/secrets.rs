//! Rotation of secrets while users are signed in, without effect on them: the session root, and the key-encryption
//! key that control and the edge share.

use std::time::Duration;

use serde_json::{Value, json};
use wardgate_tests::actors::{Page, Tenant};
use wardgate_tests::secrets::named_key;
use wardgate_tests::siteverify::Siteverify;
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier::open;
use wardgate_tests::wait;

const REFRESH: &str = "__Host-refresh_token";

/// The session root that signed a refresh token.
fn root(token: &str) -> String {
    open(token).header["kid"].as_str().expect("a key id").to_owned()
}

#[tokio::test]
async fn a_session_root_changes_and_nobody_is_signed_out() {
    let stack = Stack::own("session-root").await;
    let host = format!("h{}.localhost", wardgate_tests::seed::unique());
    let origin = format!("http://app.{host}:3000");
    let settings = json!({"origins": [origin]});
    let acme = Tenant::create_with(&stack, json!({"hosts": [host], "settings": settings})).await;
    let ada = acme.user("ada").await;
    let mut page = Page::open(&stack, &host, &origin);
    let (session, _) = (ada.sign_in().await, page.sign_in(&ada).await.expect(200));
    let csrf = page.jar["csrftoken"].clone();
    assert_eq!([root(&session.refresh), root(&page.jar[REFRESH])], ["r1", "r1"]);

    let status = |command: &str| -> Value {
        let said = stack.command(&["session-root", command, &acme.slug, "--json"], "");
        serde_json::from_str(&said).expect("JSON")
    };
    assert_eq!(status("rotate")["state"], "begun");
    // A running control carries it on, once a minute.
    let (sign_from, _) = wait::until("a time from which the new root signs", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        status("status")["rotation"]["sign_from"].as_str().map(str::to_owned)
    })
    .await;
    acme.settle().await;
    let session = session.refreshed().await;
    assert_eq!(root(&session.refresh), "r1", "before its time");
    let sign_from = chrono::DateTime::parse_from_rfc3339(&sign_from).expect("a time").timestamp();
    let now = i64::try_from(stack.edge_now_secs().await).expect("a time");
    stack.pass(Duration::from_secs(u64::try_from(sign_from - now + 2).expect("a time to come"))).await;

    let next = session.refreshed().await;
    assert_eq!(root(&next.refresh), "r2");
    assert_eq!(root(&ada.sign_in().await.refresh), "r2");
    // A retry after the switch gets the bytes of the first answer.
    assert_eq!(session.refreshed().await.refresh, next.refresh);
    // The page goes on with the cookies and the value that it has.
    let _ = page.post("/api/token/refresh/", &json!({})).await.expect(200);
    assert_eq!(root(&page.jar[REFRESH]), "r2");
    assert_ne!(page.jar["csrftoken"], csrf);
    let new_value = page.jar.insert("csrftoken".into(), csrf);
    let _ = page.post("/api/token/refresh/", &json!({})).await.expect(200);
    page.jar.insert("csrftoken".into(), new_value.expect("a value"));
    let _ = page.post("/api/logout/", &json!({})).await.expect(204);
}

#[tokio::test]
async fn the_edges_key_changes_and_nobody_is_signed_out() {
    let stack = Stack::deployed("edge-key").await;
    let acme = Tenant::create(&stack).await;
    let users = acme.users(3).await;
    let ada = &users[0];
    let session = ada.sign_in().await;
    let service = Siteverify::start().await;
    acme.ask_for_captcha(&service, &json!({})).await;
    let (old, new) = (stack.secrets.edge_kek.clone(), named_key("edge-kek-2"));
    let seals = || -> Vec<Value> {
        let said = stack.command(&["edges", "seals", "--json"], "");
        serde_json::from_str::<Value>(&said).expect("JSON")["results"].as_array().expect("a list").clone()
    };

    // 1. The Worker has both.
    stack.deploy(&[("EDGE_KEK_A", &new), ("EDGE_KEK_B", &old)]).await;
    let session = session.refreshed().await;
    // 2. Control seals with the new one from now on, and then everything anew.
    stack.configure(&[("WARDGATE_EDGE_KEK", &new)]).await;
    assert_eq!(seals()[0]["current"], false);
    let before = ada.sign_in().await;
    stack.command_beside(&["edges", "reseal"]).await;
    let now = seals();
    assert_eq!(
        (now.len(), &now[0]["current"], &now[0]["unconfirmed"]),
        (1, &json!(true), &json!(0)),
        "{now:?}"
    );
    let session = session.refreshed().await;
    let _ = before.validate().await.expect(200);
    // 3. The old one leaves the Worker.
    stack.deploy(&[("EDGE_KEK_A", &new)]).await;
    let _ = session.refreshed().await.validate().await.expect(200);
    let _ = before.refreshed().await.me().await.expect(200);
    for user in &users {
        let _ = user.sign_in().await.me().await.expect(200);
    }
    let eve = acme.user("eve").await;
    let _ = eve.sign_in().await;
    // The secret of the CAPTCHA went along.
    for _ in 0..3 {
        let _ = eve.try_sign_in_with("wrong guess").await.expect(401);
    }
    assert_eq!(eve.try_sign_in().await.expect(403).text_at("code"), "captcha_required");
    let body = json!({"username": "eve", "password": eve.password, "cf-turnstile-response": "solved-1"});
    let _ = acme.http.post("/api/token/", &body).await.expect(200);
    assert_eq!(service.asked().len(), 1);
}
