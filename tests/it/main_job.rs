//! The main job: a user signs in at the edge, uses a protected route, and a stranger who has
//! nothing but the published keys can tell that the token is good.

use reqwest::Method;
use serde_json::json;
use wardgate_tests::actors::{Session, Tenant};
use wardgate_tests::http::{Http, Reply};
use wardgate_tests::settings::SHARED_ORIGIN;
use wardgate_tests::stack::Stack;
use wardgate_tests::{clock, verifier};

#[tokio::test]
async fn a_user_signs_in_and_uses_a_protected_route() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;

    let session = ada.sign_in().await;

    let me = session.me().await.expect(200);
    assert_eq!(me.text_at("id"), ada.id.to_string());
    assert_eq!(me.text_at("username"), "ada");
    let valid = session.validate().await.expect(200).json();
    assert_eq!(valid["valid"], true);
    assert_eq!(valid["user_id"], ada.id.to_string());
    assert_eq!(valid["tenant"], acme.id.to_string());
    assert_eq!(valid["sid"], session.claim("sid"));
    assert_eq!(valid["roles"], json!(["client"]));
    assert_eq!(valid["token_type"], "access");
    let _ = session.verify(&session.refresh).await.expect(200);
}

#[tokio::test]
async fn an_independent_library_verifies_the_token_by_jwks_and_by_pem() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user_with("ada", json!({"roles": ["staff"]})).await;
    let session = ada.sign_in().await;

    let opened = acme.keys().await.verify(&session.access).expect("a good signature");
    let pem = acme.http.get("/api/public-key/").await.expect(200);
    assert!(verifier::holds_under_pem(&session.access, &pem.text_at("public_key")));
    assert_eq!(opened.header, json!({"alg": "RS256", "typ": "JWT", "kid": pem.text_at("kid")}));

    let claims = opened.claims;
    assert_eq!(claims["token_type"], "access");
    assert_eq!(claims["iss"], format!("{SHARED_ORIGIN}/t/{}", acme.slug));
    assert_eq!(claims["sub"], ada.id.to_string());
    assert_eq!(claims["user_id"], ada.id.to_string());
    assert_eq!(claims["tenant"], acme.id.to_string());
    assert_eq!(claims["roles"], json!(["staff"]));
    assert_eq!(claims["amr"], json!(["pwd"]));
    let number = |name: &str| claims[name].as_u64().expect(name);
    assert_eq!(number("exp") - number("iat"), 300);
    assert!(number("iat").abs_diff(clock::now_secs()) < 60);
    assert_eq!(number("auth_time"), number("iat"));
    assert_eq!(claims["jti"].as_str().map(str::len), Some(32));
    // Plain PyJWT refuses an `aud` it was not told of, and nothing needs `nbf`.
    assert!(claims.get("aud").is_none() && claims.get("nbf").is_none());
    assert!(session.access.len() < 1500);

    // The other kind of token must not be accepted as this one by a service that checks only signature, issuer and
    // expiry.
    assert!(acme.keys().await.verify(&session.refresh).is_err());
}

#[tokio::test]
async fn login_answers_with_the_user_and_sets_no_cookie() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let by_address = json!({"email": format!("ADA@{}.test", acme.slug), "password": ada.password});

    let reply = acme.http.post("/api/login/", &by_address).await.expect(200);

    let user = json!({"id": ada.id, "roles": ["client"], "tenant": acme.id});
    assert_eq!(reply.json()["user"], user);
    assert_eq!(reply.header("set-cookie"), "");
    assert_eq!(reply.header("cache-control"), "no-store");
    let session = Session::of(&acme.http, &reply);
    let _ = session.refreshed().await.validate().await.expect(200);
}

#[tokio::test]
async fn a_tenant_is_found_by_host_header_and_path_and_by_nothing_that_contradicts() {
    let stack = Stack::shared().await;
    let host = format!("h{}.localhost", wardgate_tests::seed::unique());
    let acme = Tenant::create_with(stack, json!({"hosts": [host]})).await;
    let other = Tenant::create(stack).await;
    let ada = acme.user("ada").await;
    let edge = Http::new(stack.edge_url());
    let sign_in = async |host: &str, path: &str, slug: Option<&str>| {
        let body = json!({"username": "ada", "password": ada.password});
        let mut request = edge.request(Method::POST, &format!("{path}/api/token/")).header("host", host);
        if let Some(slug) = slug {
            request = request.header("x-tenant", slug);
        }
        Reply::to(request.json(&body)).await.status
    };
    let (shared, prefix) = ("127.0.0.1", format!("/t/{}", acme.slug));
    let (slug, foreign) = (Some(acme.slug.as_str()), Some(other.slug.as_str()));

    assert_eq!(sign_in(&host, "", None).await, 200);
    assert_eq!(sign_in(&host.to_uppercase(), "", slug).await, 200);
    assert_eq!(sign_in(shared, &prefix, None).await, 200);
    assert_eq!(sign_in(shared, &prefix, slug).await, 200);
    assert_eq!(sign_in(shared, "", slug).await, 200);

    assert_eq!(sign_in(&host, "", foreign).await, 404);
    assert_eq!(sign_in(shared, &prefix, foreign).await, 404);
    assert_eq!(sign_in(shared, "", None).await, 404);
    assert_eq!(sign_in(shared, "", Some("nobody-at-all")).await, 404);
    assert_eq!(sign_in("unknown.test", "", None).await, 404);
}

#[tokio::test]
async fn keys_may_be_cached_where_the_tenant_stands_in_the_url() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;

    let by_path = acme.http.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(by_path.header("cache-control"), "public, max-age=300, stale-while-revalidate=600");
    assert_eq!(by_path.header("access-control-allow-origin"), "*");
    let again = acme.http.request(Method::GET, "/api/.well-known/jwks.json");
    let again = Reply::to(again.header("if-none-match", by_path.header("etag"))).await.expect(304);
    assert_eq!(again.text, "");

    let edge = Http::new(stack.edge_url());
    let by_header = edge.request(Method::GET, "/.well-known/jwks.json").header("x-tenant", &acme.slug);
    let by_header = Reply::to(by_header).await.expect(200);
    assert_eq!(by_header.header("cache-control"), "no-store");
    assert_eq!(by_header.header("vary").to_ascii_lowercase(), "x-tenant");
    assert_eq!(by_header.text, by_path.text);

    let pem = acme.http.request(Method::GET, "/api/public-key/").header("accept", "text/plain");
    let pem = Reply::to(pem).await.expect(200);
    assert!(pem.text.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{}", pem.text);
}

#[tokio::test]
async fn the_tenants_first_key_signs_and_a_next_one_is_published() {
    let acme = Tenant::create(Stack::shared().await).await;
    assert_eq!(acme.keys().await.kids().len(), 2);
    let listed = acme.admin.get(&format!("{}keys/", acme.path())).await.expect(200).json();
    let states: Vec<_> =
        listed["results"].as_array().expect("keys").iter().map(|key| &key["state"]).collect();
    assert!(states.contains(&&json!("active")) && states.contains(&&json!("next")), "{listed}");
}
