//! What guards an edit, a creation and a walk through a list passes the edge both ways.

use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::Tenant;
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;

async fn send(acme: &Tenant<'_>, method: Method, path: &str, header: (&str, &str), body: &Value) -> Reply {
    let request = acme.http.request(method, path).bearer_auth(&acme.admin.session().access);
    let request = request.header(header.0, header.1);
    Reply::to(if body.is_null() { request } else { request.json(body) }).await
}

#[tokio::test]
async fn an_edit_of_what_has_changed_is_refused_and_a_good_copy_is_not_sent_again() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let old = acme.admin.get(&ada.path()).await.expect(200).header("etag").to_owned();
    let same = send(&acme, Method::GET, &ada.path(), ("if-none-match", &old), &Value::Null).await.expect(304);
    assert_eq!((same.text.as_str(), same.header("etag")), ("", old.as_str()));
    let change = json!({"first_name": "Ada"});
    let changed = send(&acme, Method::PATCH, &ada.path(), ("if-match", &old), &change).await.expect(200);
    assert_ne!(changed.header("etag"), old);
    let lost = send(&acme, Method::PATCH, &ada.path(), ("if-match", &old), &change).await.expect(412);
    assert_eq!(lost.text_at("code"), "precondition_failed");
}

#[tokio::test]
async fn a_creation_that_is_sent_again_is_answered_with_what_was_made() {
    let acme = Tenant::create(Stack::shared().await).await;
    let create = async |body: Value| {
        send(&acme, Method::POST, "/api/user/users/", ("idempotency-key", "once"), &body).await
    };
    let body = json!({"username": "ada", "password": "correct horse battery staple"});
    let first = create(body.clone()).await.expect(201);
    assert_eq!(create(body).await.expect(201).text_at("id"), first.text_at("id"));
    assert_eq!(
        create(json!({"username": "eve"})).await.expect(422).text_at("code"),
        "idempotency_key_reused"
    );
}

#[tokio::test]
async fn a_list_is_walked_by_its_links() {
    let acme = Tenant::create(Stack::shared().await).await;
    for name in ["zoë", "zora", "zed"] {
        let _ = acme.user_with(name, json!({"email": null, "last_name": "Ångström"})).await;
    }
    let query = "cursor=&ordering=-username&page_size=1&search=%C3%85NGSTR%C3%96M";
    let mut next = Some(format!("{}/api/user/users/?{query}", acme.http.base()));
    let mut names = Vec::new();
    while let Some(url) = next {
        let path = url.strip_prefix(acme.http.base()).expect("a link to the same place");
        let part = acme.admin.get(path).await.expect(200).json();
        assert_eq!(part["count"], 3);
        names.push(part["results"][0]["username"].clone());
        next = part["next"].as_str().map(ToOwned::to_owned);
    }
    assert_eq!(names, ["zoë", "zora", "zed"]);
}
