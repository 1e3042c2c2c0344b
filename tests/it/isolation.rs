//! What belongs to tenant A is, at tenant B, what never existed: the body of garbage, everywhere.

use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;
use wardgate_tests::actors::Tenant;
use wardgate_tests::http::{Http, Reply};
use wardgate_tests::stack::Stack;

/// A door that takes a token: its name, and how it is knocked at.
type Door = (&'static str, fn(&Http, &str) -> reqwest::RequestBuilder);

const DOORS: [Door; 15] = [
    ("validate by Bearer", |http, token| {
        http.request(Method::POST, "/api/token/validate/").bearer_auth(token)
    }),
    ("validate as a gateway asks", |http, token| {
        http.request(Method::GET, "/api/token/validate/").bearer_auth(token)
    }),
    ("validate by body", |http, token| post(http, "/api/token/validate/", &json!({"token": token}))),
    ("verify", |http, token| post(http, "/api/token/verify/", &json!({"token": token}))),
    ("refresh", |http, token| post(http, "/api/token/refresh/", &json!({"refresh": token}))),
    ("blacklist", |http, token| post(http, "/api/token/blacklist/", &json!({"refresh": token}))),
    ("logout by Bearer", |http, token| http.request(Method::POST, "/api/logout/").bearer_auth(token)),
    ("logout by body", |http, token| post(http, "/api/logout/", &json!({"refresh": token}))),
    ("own account", |http, token| http.request(Method::GET, "/api/user/me/").bearer_auth(token)),
    ("people", |http, token| http.request(Method::GET, "/api/user/users/").bearer_auth(token)),
    ("a new person", |http, token| post(http, "/api/user/users/", &json!({})).bearer_auth(token)),
    ("audit log", |http, token| http.request(Method::GET, "/api/audit/").bearer_auth(token)),
    ("audit verification", |http, token| http.request(Method::GET, "/api/audit/verify/").bearer_auth(token)),
    ("audit export", |http, token| http.request(Method::GET, "/api/audit/export/").bearer_auth(token)),
    ("tenants", |http, token| http.request(Method::GET, "/api/tenant/tenants/").bearer_auth(token)),
];

fn post(http: &Http, path: &str, body: &Value) -> reqwest::RequestBuilder {
    http.request(Method::POST, path).json(body)
}

#[tokio::test]
async fn the_tokens_of_one_tenant_are_garbage_at_another() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let session = acme.user("ada").await.sign_in().await;
    // A user of the same name at the other tenant makes no difference.
    let _ = other.user("ada").await.sign_in().await;
    let garbage = "not.a.token";
    for (door, knock) in DOORS {
        let expected = Reply::to(knock(&other.http, garbage)).await.expect(401);
        for (kind, token) in [("access", &session.access), ("refresh", &session.refresh)] {
            let reply = Reply::to(knock(&other.http, token)).await;
            assert_same(&reply, &expected, &format!("{kind} token at {door}"));
        }
        let admins = Reply::to(knock(&other.http, &acme.admin.session().access)).await;
        assert_same(&admins, &expected, &format!("an administrator's token at {door}"));
        let operators = Reply::to(knock(&other.http, &acme.operator.session().access)).await;
        assert_same(&operators, &expected, &format!("the platform's token at {door}"));
    }
    // And none of this has harmed them at home.
    let _ = session.validate().await.expect(200);
    let _ = session.presented_at(&acme.http).refreshed().await;
}

/// The same status, body and headers; how old the edge's knowledge is, is not about the token.
#[track_caller]
fn assert_same(reply: &Reply, expected: &Reply, what: &str) {
    let told = |reply: &Reply| {
        let (status, mut headers, text) = reply.fingerprint();
        headers.retain(|(name, _)| name != "wardgate-state-age");
        (status, headers, text)
    };
    assert_eq!(told(reply), told(expected), "{what}");
}

#[tokio::test]
async fn the_ids_of_one_tenant_are_nobodys_at_another() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let ada = acme.user("ada").await;
    let nobody = UserId::new(1, [7; 10]).to_string();
    for id in [ada.id.to_string(), nobody, "9999".to_owned(), "not-an-id".to_owned()] {
        let path = format!("/api/user/users/{id}/");
        for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
            let body = (method != Method::GET && method != Method::DELETE).then(|| json!({"username": "x"}));
            let reply = other.admin.call(method.clone(), &path, body.as_ref()).await.expect(404);
            let expected = json!({"detail": "No User matches the given query."});
            assert_eq!(reply.json(), expected, "{method} {path}");
        }
        let sessions = other.admin.delete(&format!("{path}sessions/")).await.expect(404);
        assert_eq!(sessions.json(), json!({"detail": "No User matches the given query."}));
    }
    let _ = ada.sign_in().await.validate().await.expect(200);
}

#[tokio::test]
async fn an_administrator_does_not_see_that_other_tenants_exist() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let nobody = format!("/api/tenant/tenants/{}/", UserId::new(1, [7; 10]));
    for under in ["", "keys/"] {
        let foreign = other.admin.get(&format!("{}{under}", acme.path())).await.expect(404);
        let absent = other.admin.get(&format!("{nobody}{under}")).await.expect(404);
        assert_same(&foreign, &absent, under);
    }
    let foreign = other.admin.patch(&acme.path(), &json!({"name": "Mine now"})).await.expect(404);
    let absent = other.admin.patch(&nobody, &json!({"name": "Mine now"})).await.expect(404);
    assert_same(&foreign, &absent, "an edit");
    let listed = other.admin.get("/api/tenant/tenants/").await.expect(200).json();
    assert_eq!((&listed["count"], &listed["results"][0]["id"]), (&json!(1), &json!(other.id)));
}

#[tokio::test]
async fn a_token_that_was_cut_extended_or_altered_is_garbage() {
    let acme = Tenant::create(Stack::shared().await).await;
    let session = acme.user("ada").await.sign_in().await;
    let invalid = async |token: &str| {
        let reply = session.with_access(token).validate().await.expect(401);
        let expected = json!({"valid": false, "detail": "Token is invalid", "code": "token_not_valid"});
        assert_eq!(reply.json(), expected, "{token}");
    };
    let access = &session.access;
    let parts: Vec<_> = access.split('.').collect();
    invalid(&access[..access.len() - 1]).await;
    invalid(&format!("{access}A")).await;
    invalid(&format!("{access}.")).await;
    invalid(&format!("{}.{}.", parts[0], parts[1])).await;
    // RFC 8725, section 3.1: the algorithm is never the token's to choose.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"] {
        invalid(&format!("{header}.{}.{}", parts[1], parts[2])).await;
    }
    let mut claims = session.claims();
    claims["roles"] = json!(["root-admin"]);
    let stranger = wardgate_tests::verifier::Signer::generate();
    invalid(&stranger.sign(&claims)).await;
    let _ = session.validate().await.expect(200);
}
