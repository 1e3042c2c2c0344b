//! Tokens that SimpleJWT made for a tenant's users before they came here: whose they are, and that each
//! refresh token becomes one session, once.

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::{Value, json};
use wardgate_tests::actors::{Session, Tenant};
use wardgate_tests::clients::{LegacyService, LegacyTokens, LegacyUser};
use wardgate_tests::environment::scaled;
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier::open;
use wardgate_tests::wait::until;

/// Django's form of an unusable password.
fn unusable() -> String {
    format!("!{}", "x".repeat(40))
}

/// A tenant that came from `old`, with ada (1) and bob (2).
async fn came<'s>(stack: &'s Stack, old: &mut LegacyService, more: Value) -> Tenant<'s> {
    let tenant = Tenant::create_with(stack, more).await;
    let user = |pk, username| LegacyUser { pk, username, stored: unusable(), is_staff: pk == 1 };
    tenant.import(&[user(1, "ada"), user(2, "bob")]).await;
    tenant.accept_tokens_of(old).await;
    tenant
}

async fn try_refresh(tenant: &Tenant<'_>, token: &str) -> Reply {
    tenant.http.post("/api/token/refresh/", &json!({"refresh": token})).await
}

/// What each door says of a token.
async fn doors(tenant: &Tenant<'_>, token: &str) -> Vec<(u16, String)> {
    let http = &tenant.http;
    let bearer = http.request(reqwest::Method::GET, "/api/user/me/").bearer_auth(token);
    let replies = [
        http.post_as(token, "/api/token/validate/").await,
        http.post("/api/token/verify/", &json!({"token": token})).await,
        Reply::to(bearer).await,
        try_refresh(tenant, token).await,
        http.post("/api/token/blacklist/", &json!({"refresh": token})).await,
    ];
    replies.into_iter().map(|reply| (reply.status, reply.text)).collect()
}

#[tokio::test]
async fn an_old_access_token_is_good_and_an_old_refresh_token_becomes_a_session() {
    let mut old = LegacyService::start();
    let acme = came(Stack::shared().await, &mut old, json!({})).await;
    let LegacyTokens { access, refresh } = old.sign_in(1, &acme.slug);
    let valid = acme.http.post_as(&access, "/api/token/validate/").await.expect(200).json();
    assert_eq!((&valid["user_id"], &valid["tenant"]), (&json!(1), &json!(acme.id)));
    let _ = acme.http.post("/api/token/verify/", &json!({"token": refresh})).await.expect(200);

    let session = Session::of(&acme.http, &try_refresh(&acme, &refresh).await.expect(200));
    let claims = session.claims();
    assert_eq!((&claims["user_id"], &claims["auth_time"]), (&json!(1), &json!(0)));
    assert_ne!(claims["sub"], json!("1"));
    assert_eq!(open(&session.refresh).claims["sub"], claims["sub"]);
    let _ = session.validate().await.expect(200);
    let again = Session::of(&acme.http, &try_refresh(&acme, &refresh).await.expect(200));
    assert_eq!(again.refresh, session.refresh, "two tabs get the same session");
    let next = session.refreshed().await;
    assert_eq!(next.generation(), 2);
}

#[tokio::test]
async fn user_1_of_one_tenant_is_never_user_1_of_another() {
    let stack = Stack::shared().await;
    let mut old = LegacyService::start();
    let acme = came(stack, &mut old, json!({})).await;
    let beta = came(stack, &mut old, json!({})).await;
    let (ours, theirs) = (old.sign_in(1, &acme.slug), old.sign_in(1, &beta.slug));
    for (tenant, tokens) in [(&acme, &theirs), (&beta, &ours)] {
        let garbage = doors(tenant, "garbage").await;
        for token in [&tokens.access, &tokens.refresh] {
            assert_eq!(doors(tenant, token).await, garbage);
        }
    }
    let sub = |reply: Reply| open(&reply.text_at("access")).claims["sub"].clone();
    let at_acme = sub(try_refresh(&acme, &ours.refresh).await.expect(200));
    let at_beta = sub(try_refresh(&beta, &theirs.refresh).await.expect(200));
    assert_ne!(at_acme, at_beta);
}

#[tokio::test]
async fn without_a_marker_only_what_is_on_the_list_is_exchanged() {
    let mut old = LegacyService::start();
    let acme = Tenant::create(Stack::shared().await).await;
    let user = |pk, username| LegacyUser { pk, username, stored: unusable(), is_staff: pk == 1 };
    acme.import(&[user(1, "ada"), user(2, "bob")]).await;
    let (listed, other) = (old.sign_in(1, "any"), old.sign_in(1, "any"));
    acme.accept_listed(&old, 1, &[&listed.refresh]).await;
    let garbage = doors(&acme, "garbage").await;
    for token in [&other.refresh, &other.access, &listed.access] {
        assert_eq!(doors(&acme, token).await, garbage);
    }
    let session = Session::of(&acme.http, &try_refresh(&acme, &listed.refresh).await.expect(200));
    assert_eq!(session.claims()["user_id"], 1);
}

#[tokio::test]
async fn an_old_access_token_is_good_for_oneself_and_for_no_permission() {
    let mut old = LegacyService::start();
    let acme = came(Stack::shared().await, &mut old, json!({})).await;
    let LegacyTokens { access, refresh } = old.sign_in(1, &acme.slug);
    let get = async |path: &str, token: &str| {
        Reply::to(acme.http.request(reqwest::Method::GET, path).bearer_auth(token)).await
    };
    let me = get("/api/user/me/", &access).await.expect(200);
    assert_eq!(me.text_at("username"), "ada");
    let _ = get("/api/user/users/", &access).await.expect(403);
    // It is the token that may not: by a session of ours, the same user may.
    let session = Session::of(&acme.http, &try_refresh(&acme, &refresh).await.expect(200));
    assert_eq!(session.claims()["roles"], json!(["staff"]));
    let _ = get("/api/user/users/", &session.access).await.expect(200);
}

#[tokio::test]
async fn sixteen_exchanges_at_once_make_one_session() {
    let stack = Stack::shared().await;
    let mut old = LegacyService::start();
    let acme = came(stack, &mut old, json!({})).await;
    let mut sids = Vec::new();
    for round in 1..=scaled(8, 20) {
        let refresh = old.sign_in(1, &acme.slug).refresh;
        let replies = join_all((0..16).map(|_| try_refresh(&acme, &refresh))).await;
        let successors: HashSet<_> =
            replies.into_iter().map(|reply| reply.expect(200).text_at("refresh")).collect();
        assert_eq!(successors.len(), 1, "round {round}: everybody gets the same bytes");
        sids.extend(successors.iter().map(|token| open(token).claims["sid"].clone()));
    }
    let exchanged = async || {
        let entries = acme.admin.audit().await;
        let exchanged = entries.iter().filter(|entry| entry["action"] == "edge.legacy_exchanged");
        exchanged.map(|entry| entry["details"]["sid"].clone()).collect::<Vec<_>>()
    };
    let (told, _) = until("every exchange to be in the audit log", async || {
        let told = exchanged().await;
        (told.len() >= sids.len()).then_some(told)
    })
    .await;
    assert_eq!(told.len(), sids.len(), "each once");
    assert!(sids.iter().all(|sid| told.contains(sid)));
}

#[tokio::test]
async fn without_a_retry_window_one_of_sixteen_exchanges_wins_and_nothing_ends() {
    let stack = Stack::shared().await;
    let mut old = LegacyService::start();
    let acme = came(stack, &mut old, json!({"settings": {"retry_window_secs": 0}})).await;
    for round in 1..=scaled(8, 20) {
        let refresh = old.sign_in(1, &acme.slug).refresh;
        let replies = join_all((0..16).map(|_| try_refresh(&acme, &refresh))).await;
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 15), "round {round}");
        for reply in lost {
            assert_eq!(reply.expect(401).text_at("detail"), "Token is blacklisted");
        }
        let session = Session::of(&acme.http, &won[0]);
        assert_eq!(session.generation(), 1);
        let _ = session.refreshed().await;
    }
}

#[tokio::test]
async fn what_was_blacklisted_or_whose_user_was_suspended_is_never_exchanged() {
    let stack = Stack::shared().await;
    let mut old = LegacyService::start();
    let acme = came(stack, &mut old, json!({})).await;
    let LegacyTokens { access, refresh } = old.sign_in(1, &acme.slug);
    let _ = acme.http.post("/api/token/blacklist/", &json!({"refresh": refresh})).await.expect(200);
    assert_eq!(try_refresh(&acme, &refresh).await.expect(401).text_at("detail"), "Token is blacklisted");

    let bobs = old.sign_in(2, &acme.slug);
    let _ = acme.http.post_as(&bobs.access, "/api/token/validate/").await.expect(200);
    let bob = acme.admin.get("/api/user/users/?search=bob").await.expect(200).json();
    let path = format!("/api/user/users/{}/", bob["results"][0]["id"].as_str().expect("bob"));
    let _ = acme.admin.patch(&path, &json!({"status": "suspended"})).await.expect(200);
    acme.settle().await;
    let refused = try_refresh(&acme, &bobs.refresh).await.expect(401);
    assert_eq!(refused.text_at("detail"), "No active account found for the given token.");
    let refused = async || acme.http.post_as(&bobs.access, "/api/token/validate/").await.status == 401;
    until("bob's access token to end", async || refused().await.then_some(())).await;
    let _ = acme.http.post_as(&access, "/api/token/validate/").await.expect(200);
}
