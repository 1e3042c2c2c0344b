//! Rotation of the lookup root under traffic: all users can sign in by name and address throughout, no user is signed
//! out, and guesses go on being counted.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::join;
use serde_json::{Value, json};
use wardgate_tests::actors::Tenant;
use wardgate_tests::stack::Stack;

const WRONG: &str = "a wrong guess";

#[tokio::test]
async fn another_lookup_root_comes_into_force_under_traffic() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let ada = acme.user_with("ada", json!({"email": "ada@acme.test"})).await;
    let grace = acme.user("grace").await;
    let session = ada.sign_in().await;
    for _ in 0..6 {
        let _ = grace.try_sign_in_with(WRONG).await.expect(401);
    }
    let over = AtomicBool::new(false);
    let rotation = async {
        let said = stack.command_beside(&["lookup", "rotate", &acme.slug, "--yes", "--json"]).await;
        over.store(true, Ordering::SeqCst);
        serde_json::from_str::<Value>(&said).expect("JSON")
    };
    let traffic = async {
        let mut sign_ins = 0;
        while !over.load(Ordering::SeqCst) {
            let _ = ada.sign_in().await;
            let by_address = json!({"email": "ADA@acme.test", "password": ada.password});
            let _ = acme.http.post("/api/token/", &by_address).await.expect(200);
            sign_ins += 2;
        }
        sign_ins
    };
    let (said, sign_ins) = join!(rotation, traffic);
    eprintln!("{sign_ins} sign-ins while the root changed");
    assert_eq!((&said["version"], &said["rotation"]["stage"]), (&json!(2), &json!("switched")), "{said}");
    assert_eq!(said["rotation"]["left_behind"]["users"], 0);

    let _ = ada.sign_in().await;
    let _ = session.refreshed().await.refreshed().await;
    let _ = acme.user("eve").await.sign_in().await;
    for _ in 0..4 {
        let _ = grace.try_sign_in_with(WRONG).await.expect(401);
    }
    let _ = grace.try_sign_in().await.expect(429);
}
