//! Migration of a Django service: its users sign in as before, and soon without the old service.

use serde_json::{Value, json};
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::Django;
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier::open;

const HASHERS: [&str; 6] = ["pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "bcrypt", "scrypt"];
const PASSWORD: &str = "Corr3ct-horse";
/// One text in its two Unicode forms.
const COMPOSED: &str = "\u{c5}se-M\u{fc}ller-9";
const DECOMPOSED: &str = "A\u{30a}se-Mu\u{308}ller-9";

async fn sign_in(tenant: &Tenant<'_>, username: &str, password: &str) -> Reply {
    tenant.http.post("/api/token/", &json!({"username": username, "password": password})).await
}

#[tokio::test]
async fn users_of_every_hasher_sign_in_and_then_control_is_not_needed() {
    let stack = Stack::own("django").await;
    let acme = Tenant::create(&stack).await;
    let user = |at: usize, hasher: &str, password: &str| {
        json!({"id": at + 1, "username": format!("{hasher}-{at}"), "email": format!("P{at}@Acme.test"),
            "password": password, "hasher": hasher})
    };
    let mut users: Vec<Value> =
        HASHERS.iter().enumerate().map(|(at, hasher)| user(at, hasher, PASSWORD)).collect();
    users.push(user(6, "scrypt", DECOMPOSED));
    users.push(user(7, "argon2", "  spaces stay  "));
    let django = Django::of(&json!(users)).await;
    let said = acme.import_from(&django).await;
    assert_eq!(said["report"]["new"], 8, "{said}");

    let names: Vec<String> = users.iter().map(|it| it["username"].as_str().unwrap().to_owned()).collect();
    let typed = [&[PASSWORD; 6][..], &[DECOMPOSED, "  spaces stay  "]].concat();
    // The old hash takes what was typed then, byte by byte.
    let _ = sign_in(&acme, &names[6], COMPOSED).await.expect(401);
    let _ = sign_in(&acme, &names[7], "spaces stay").await.expect(401);
    for (at, (name, password)) in names.iter().zip(&typed).enumerate() {
        let by_name = sign_in(&acme, name, password).await.expect(200);
        assert_eq!(open(&by_name.text_at("access")).claims["user_id"], json!(at + 1), "{name}");
    }
    acme.settle().await;
    stack.kill_control().await;
    for (at, password) in typed.iter().enumerate() {
        let _ = sign_in(&acme, &format!("p{at}@acme.test"), password).await.expect(200);
    }
    // It is ours now: every form of the text is the password.
    let _ = sign_in(&acme, &names[6], COMPOSED).await.expect(200);
}
