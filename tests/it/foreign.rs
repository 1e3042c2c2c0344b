//! Passwords that Django hashed: their owners sign in as they always did, strangers learn nothing, and an unreachable
//! control stops no sign-in with a password that is hashed here.

use serde_json::json;
use tokio::time::{Duration, timeout};
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::{LegacyService, LegacyUser};
use wardgate_tests::http::{Reply, served};
use wardgate_tests::stack::Stack;

const TYPED: &str = " what bob always typed ";

async fn try_sign_in(tenant: &Tenant<'_>, username: &str, password: &str) -> Reply {
    tenant.http.post("/api/token/", &json!({"username": username, "password": password})).await
}

#[tokio::test]
async fn who_came_from_django_signs_in_and_nobody_can_tell_who_did() {
    let stack = Stack::own("foreign").await;
    let mut old = LegacyService::start();
    let acme = Tenant::create(&stack).await;
    let users = [("bob", 1, TYPED), ("carol", 2, "carol's password"), ("eve", 3, "eve's password")];
    let users = users.map(|(username, pk, password)| LegacyUser {
        pk,
        username,
        stored: old.hash(password, "pbkdf2_sha256"),
        is_staff: false,
    });
    acme.import(&users).await;
    let ada = acme.user("ada").await;
    let pat = acme.user("pat").await;
    pat.suspend().await;
    acme.settle().await;

    let refused = [
        ("nobody", TYPED),
        ("ada", "not the password of ada"),
        ("bob", "not the password of bob"),
        ("bob", TYPED.trim()),
        ("carol", TYPED),
        ("pat", pat.password.as_str()),
    ];
    let mut seen = Vec::new();
    for (username, password) in refused {
        let reply = served(async || try_sign_in(&acme, username, password).await).await.expect(401);
        seen.push((username, reply.fingerprint()));
    }
    assert!(seen.iter().all(|(_, fingerprint)| *fingerprint == seen[0].1), "{seen:?}");
    let _ = served(async || try_sign_in(&acme, "bob", TYPED).await).await.expect(200);
    // The hash was replaced, and the edge knows it.
    acme.settle().await;

    // A control that thinks for too long is one that is away. Only then: users of ours do not wait.
    let held = stack.database.hold_users(acme.id).await;
    let given_up = timeout(Duration::from_secs(20), try_sign_in(&acme, "carol", "carol's password")).await;
    assert_eq!(given_up.expect("an answer in time").expect(503).text_at("code"), "unavailable");
    let _ = ada.sign_in().await;
    held.release().await;

    stack.kill_control().await;
    let _ = ada.sign_in().await;
    let _ = try_sign_in(&acme, "bob", TYPED).await.expect(200);
    let mut seen = Vec::new();
    let right_of_carol = [("carol", "carol's password")];
    for (username, password) in refused.into_iter().chain(right_of_carol) {
        let reply = try_sign_in(&acme, username, password).await.expect(503);
        assert_eq!(reply.text_at("code"), "unavailable");
        seen.push((username, reply.fingerprint()));
    }
    assert!(seen.iter().all(|(_, fingerprint)| *fingerprint == seen[0].1), "{seen:?}");
    stack.start_control().await;
    let _ = served(async || try_sign_in(&acme, "carol", "carol's password").await).await.expect(200);
}
