//! Who tries to sign in learns nothing about who there is: every refusal is the same answer.

use serde_json::json;
use wardgate_tests::actors::Tenant;
use wardgate_tests::stack::Stack;

#[tokio::test]
async fn every_reason_to_refuse_a_sign_in_looks_the_same() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let eve = acme.user("eve").await;
    let _ = acme.user_with("pat", json!({"password": serde_json::Value::Null})).await;
    let gone = acme.user("gone").await;
    eve.suspend().await;
    let _ = acme.admin.delete(&gone.path()).await.expect(204);
    acme.settle().await;

    let (long_name, long_password) = ("x".repeat(5000), "x".repeat(5000));
    let tries = [
        ("wrong password", "ada", "not the password of ada"),
        ("unknown", "nobody", ada.password.as_str()),
        ("suspended", "eve", eve.password.as_str()),
        ("without a password", "pat", "anything at all"),
        ("deleted", "gone", gone.password.as_str()),
        ("a name too long to be one", &long_name, "anything at all"),
        ("a name that has no canonical form", "a b\u{7}", "anything at all"),
        ("a password too long to be one", "ada", &long_password),
        ("another spelling of the password", "ada", &format!("{} ", ada.password)),
    ];
    for path in ["/api/token/", "/api/login/"] {
        let mut seen = Vec::new();
        for (reason, username, password) in tries {
            let body = json!({"username": username, "password": password});
            let reply = acme.http.post(path, &body).await.expect(401);
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"api\"");
            let expected = json!({"detail": "No active account found with the given credentials"});
            assert_eq!(reply.json(), expected, "{reason}");
            seen.push((reason, reply.fingerprint()));
        }
        for (reason, fingerprint) in &seen {
            assert_eq!(*fingerprint, seen[0].1, "{reason} at {path}");
        }
    }
    let _ = ada.sign_in().await;
}
