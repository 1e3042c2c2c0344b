//! What a browser lets pages do with our answers.

use serde_json::json;
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::Browser;
use wardgate_tests::seed;
use wardgate_tests::stack::Stack;

#[tokio::test]
async fn any_page_may_read_the_keys() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let mut browser = Browser::start("keys");
    let strange = browser.origin(&format!("{}.localhost", seed::unique()));
    let page = browser.open(&strange);
    let read = "return (await fetch(arg)).json()";
    let keys = browser.run(page, read, json!(acme.jwks_url()));
    assert_eq!(keys, acme.http.get("/.well-known/jwks.json").await.expect(200).json());
}
