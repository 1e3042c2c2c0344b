//! Control believes nothing that the edge has not signed, and not the edge alone either.

use reqwest::Method;
use serde_json::json;
use shared::wire::signature::Tag;
use wardgate_tests::actors::Tenant;
use wardgate_tests::clock;
use wardgate_tests::http::{Http, Reply};
use wardgate_tests::secrets::named_key;
use wardgate_tests::signed::ForwardCall;
use wardgate_tests::stack::Stack;

#[tokio::test]
async fn a_forward_that_is_not_the_edges_own_is_refused_at_controls_port() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let session = acme.user("ada").await.sign_in().await;
    let good = ForwardCall::good(stack, acme.id, &session, "/api/user/me/");
    assert_eq!(good.send(stack).await.expect(200).text_at("username"), "ada");

    let with = |change: fn(&mut ForwardCall)| {
        let mut call = good.clone();
        change(&mut call);
        call
    };
    let forged = [
        ("signed a minute ago", with(|call| call.signing.at_secs = clock::now_secs() - 61)),
        ("signed in two minutes", with(|call| call.signing.at_secs = clock::now_secs() + 120)),
        ("tagged as a push", with(|call| call.signing.tag = Tag::Push)),
        ("tagged as a command", with(|call| call.signing.tag = Tag::Command)),
        ("for another control", with(|call| call.signing.authority = "control.example".to_owned())),
        ("for another path", with(|call| call.signing.path = "/api/user/users/".to_owned())),
        ("by a key of the same name", with(|call| call.signing.key = named_key("edge"))),
        ("by an unknown key", with(|call| call.signing.key = named_key("stranger"))),
    ];
    for (what, call) in forged {
        let reply = call.send(stack).await;
        assert_eq!((reply.status, reply.text_at("code").as_str()), (401, "signature_invalid"), "{what}");
    }
    let unsigned = good.send_with(stack, &[]).await;
    assert_eq!((unsigned.status, unsigned.text_at("code").as_str()), (401, "signature_invalid"));
}

#[tokio::test]
async fn no_signed_header_can_be_changed_dropped_or_doubled() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let session = acme.user("ada").await.sign_in().await;
    let good = ForwardCall::good(stack, acme.id, &session, "/api/user/me/");
    let signature = good.signature();
    let refused = async |headers: Vec<(&'static str, String)>, what: &str| {
        let mut call = good.clone();
        call.headers = headers;
        let reply = call.send_with(stack, &signature).await;
        assert_eq!((reply.status, reply.text_at("code").as_str()), (401, "signature_invalid"), "{what}");
    };
    for at in 0..good.headers.len() {
        let (name, value) = good.headers[at].clone();
        let mut changed = good.headers.clone();
        changed[at].1 = if name == "wardgate-tenant" { other.id.to_string() } else { format!("{value}x") };
        refused(changed, &format!("{name} changed")).await;
        let mut dropped = good.headers.clone();
        dropped.remove(at);
        refused(dropped, &format!("{name} dropped")).await;
        let mut doubled = good.headers.clone();
        doubled.push((name, value));
        refused(doubled, &format!("{name} doubled")).await;
    }
    let _ = good.send_with(stack, &signature).await.expect(200);
}

#[tokio::test]
async fn the_forward_key_alone_impersonates_nobody() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let session = acme.user("ada").await.sign_in().await;
    // A good signature over a token that is garbage, another tenant's, or none.
    let garbage = ForwardCall::good(
        stack,
        acme.id,
        &session.with_access(format!("{}x", session.access)),
        "/api/user/me/",
    );
    assert_eq!(garbage.send(stack).await.expect(401).text_at("code"), "token_not_valid");
    let foreign = ForwardCall::good(stack, other.id, &session, "/api/user/me/");
    assert_eq!(foreign.send(stack).await.expect(401).text_at("code"), "token_not_valid");
    let mut nobody = ForwardCall::good(stack, acme.id, &session, "/api/user/me/");
    nobody.headers.retain(|(name, _)| *name != "authorization");
    let expected = json!({"detail": "Authentication credentials were not provided."});
    assert_eq!(nobody.send(stack).await.expect(401).json(), expected);
}

#[tokio::test]
async fn a_client_cannot_speak_as_the_edge() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let session = acme.user("ada").await.sign_in().await;
    let request = acme.http.request(Method::GET, "/api/user/me/").bearer_auth(&session.access);
    let request = request
        .header("wardgate-tenant", other.id.to_string())
        .header("wardgate-caller", "somebody-else")
        .header("wardgate-base", "https://evil.test")
        .header("x-forwarded-for", "203.0.113.9")
        .header("signature-input", "wg=()")
        .header("signature", "wg=:AA==:")
        .header("cookie", "access_token=whatever");
    let reply = Reply::to(request).await.expect(200);
    assert_eq!(reply.text_at("username"), "ada");
    let inside = |name: &str| name.starts_with("wardgate-") || name == "server";
    assert!(reply.headers.keys().all(|name| !inside(name.as_str())), "{:?}", reply.headers);

    let page = acme.admin.get("/api/user/users/?page_size=1").await.expect(200).json();
    let next = page["next"].as_str().expect("a second page");
    assert!(next.starts_with(&format!("{}/api/user/users/?", acme.http.base())), "{next}");
}

#[tokio::test]
async fn only_plain_paths_of_known_routes_are_forwarded() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let token = &acme.admin.session().access;
    for path in [
        "/api/nothing/",
        "/api/user/",
        "/api/user/users/a/b/c/",
        "/api/user/users/%2e%2e/",
        "/api/user/users/a%2fb/",
    ] {
        let reply = Reply::to(acme.http.request(Method::GET, path).bearer_auth(token)).await.expect(404);
        assert_eq!(reply.json(), json!({"detail": "Not found."}), "{path}");
    }
    let request_id =
        acme.http.request(Method::GET, "/api/user/me/").bearer_auth(token).header("x-request-id", "mine-1");
    assert_eq!(Reply::to(request_id).await.expect(200).header("x-request-id"), "mine-1");
    let ill =
        acme.http.request(Method::GET, "/api/user/me/").bearer_auth(token).header("x-request-id", "no good");
    assert_ne!(Reply::to(ill).await.expect(200).header("x-request-id"), "no good");
    let _ = Http::new(stack.control_url()).get("/api/user/me/").await.expect(401);
}
