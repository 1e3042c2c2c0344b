//! Authentication and permissions: which callers are accepted, the texts of refusals, and their order.

use control::audit::Actor;
use control::edges::reseed;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::routes::{ROUTES, RouteKind};
use shared::tokens::claims::UserIdClaim;
use shared::tokens::{Refresh, RefreshKey};

use crate::scene::{Answer, Scene, call};

async fn with(scene: &Scene, authorization: Option<&str>) -> Answer {
    call(scene.api, Method::GET, "/api/user/users/", authorization, None).await
}

async fn bearer(scene: &Scene, token: &str) -> Answer {
    with(scene, Some(&format!("Bearer {token}"))).await
}

fn not_valid(message: &str) -> Value {
    json!({
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [{"token_class": "AccessToken", "token_type": "access", "message": message}],
    })
}

#[tokio::test]
async fn credentials_in_the_recorded_words() {
    let scene = Scene::new().await;
    let none = json!({"detail": "Authentication credentials were not provided."});
    let answer = with(&scene, None).await.expect(401);
    assert_eq!(answer.body, none);
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"api\"");
    assert_eq!(answer.header("allow"), "GET, POST, HEAD, OPTIONS");
    assert_eq!(with(&scene, Some("Basic YTpi")).await.expect(401).body, none);
    for two in ["Bearer", "bearer a b"] {
        assert_eq!(with(&scene, Some(two)).await.expect(401).body["code"], "bad_authorization_header");
    }
    assert_eq!(bearer(&scene, "abc").await.expect(401).body, not_valid("Token is invalid"));
}

#[tokio::test]
async fn tokens_by_the_users_current_row() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "root-admin").await;
    let path = format!("/api/user/users/{}/", bob.id);
    assert_eq!(with(&scene, Some(&format!("  bEARER   {}  ", ada.token))).await.status, 200);

    let expired =
        scene.sign(&shared::tokens::claims::AccessClaims { exp: 1, iat: 0, ..scene.claims(ada.id, 0) }).await;
    assert_eq!(bearer(&scene, &expired).await.expect(401).body, not_valid("Token is expired"));

    ada.patch(&path, json!({"roles": ["staff"]})).await.expect(200);
    assert_eq!(bearer(&scene, &bob.token).await.expect(401).body, not_valid("Token is blacklisted"));

    ada.patch(&path, json!({"password": "Corr3ct-horse"})).await.expect(200);
    assert_eq!(bearer(&scene, &bob.token).await.expect(401).body["code"], "password_changed");

    ada.patch(&path, json!({"is_active": false})).await.expect(200);
    let inactive = bearer(&scene, &bob.token).await.expect(401);
    assert_eq!(inactive.body, json!({"detail": "User is inactive", "code": "user_inactive"}));

    ada.delete(&path).await.expect(204);
    let gone = bearer(&scene, &bob.token).await.expect(401);
    assert_eq!(gone.body, json!({"detail": "User not found", "code": "user_not_found"}));
}

#[tokio::test]
async fn a_token_from_before_a_reseed_is_blacklisted() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    assert_eq!(bearer(&scene, &ada.token).await.status, 200);
    reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
    assert_eq!(bearer(&scene, &ada.token).await.expect(401).body, not_valid("Token is blacklisted"));
    let again = scene.acting_as(&scene.user(ada.id).await).await;
    assert_eq!(bearer(&scene, &again.token).await.status, 200);
    let path = format!("/api/user/users/{}/", ada.id);
    again.patch(&path, json!({"password": "Corr3ct-horse"})).await.expect(200);
    assert_eq!(bearer(&scene, &again.token).await.expect(401).body["code"], "password_changed");
    assert_eq!(bearer(&scene, &ada.token).await.expect(401).body, not_valid("Token is blacklisted"));
}

#[tokio::test]
async fn a_token_of_another_tenant_or_kind_is_told_as_recorded() {
    let (scene, other) = (Scene::new().await, Scene::new().await);
    let ada = scene.member("ada", "root-admin").await;
    // Signed by the right user of the wrong tenant: garbage.
    let foreign = other.sign(&scene.claims(ada.id, 0)).await;
    assert_eq!(bearer(&scene, &foreign).await.expect(401).body, not_valid("Token is invalid"));
    let other_issuer =
        shared::tokens::claims::AccessClaims { iss: "https://evil.test".into(), ..scene.claims(ada.id, 0) };
    let other_issuer = scene.sign(&other_issuer).await;
    assert_eq!(bearer(&scene, &other_issuer).await.expect(401).body, not_valid("Token is invalid"));

    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let kind = control::crypt::roots::RootKind::Session;
    let roots = control::crypt::roots::roots(&mut tx, kind).await.unwrap();
    let key = RefreshKey::new(roots[0].0, &roots[0].1, scene.tenant.id);
    let now = scene.control.clock.now().timestamp();
    let sid = shared::ids::SessionId::new(0, [1; 16]);
    let user_id = UserIdClaim::Text(ada.id.to_string());
    let refresh = Refresh { sid, generation: 1, user: ada.id, user_id, issued_at: now, expires_at: now + 60 };
    let refresh = key.sign(&refresh, "https://shared.test").unwrap();
    assert_eq!(bearer(&scene, &refresh).await.expect(401).body, not_valid("Token has wrong type"));
}

#[tokio::test]
async fn a_revoked_key_signs_nobody_in() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let keys = format!("/api/tenant/tenants/{}/keys/", scene.tenant.id);
    let active = ada.get(&keys).await.expect(200).body["results"][0]["kid"].as_str().unwrap().to_owned();
    ada.call(Method::POST, &format!("{keys}{active}/revoke/"), None).await.expect(200);
    assert_eq!(ada.get(&keys).await.expect(401).body, not_valid("Token is invalid"));
    scene.acting_as(&scene.user(ada.id).await).await.get(&keys).await.expect(200);
}

#[tokio::test]
async fn a_refusal_of_permission_precedes_405_and_is_written_down() {
    let scene = Scene::new().await;
    let bob = scene.member("bob", "client").await;
    let staff = scene.member("sue", "staff").await;
    let put = |token| async move { call(scene.api, Method::PUT, "/api/user/users/", token, None).await };
    assert_eq!(put(None).await.status, 401);
    let by_bob = format!("Bearer {}", bob.token);
    let refused = put(Some(by_bob.as_str())).await.expect(403);
    assert_eq!(refused.body, json!({"detail": "You do not have permission to perform this action."}));
    let by_staff = format!("Bearer {}", staff.token);
    let answer = put(Some(by_staff.as_str())).await.expect(405);
    assert_eq!(answer.body, json!({"detail": "Method \"PUT\" not allowed."}));
    assert_eq!(scene.logged().await.last().unwrap(), "permission.refused");
}

#[tokio::test]
async fn paths_options_and_final_slashes() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    for path in ["/api/user/me//", "/api/user/users//", "/api/user/users/%20/", "/api/user/users/a%2Fb/"] {
        for method in [Method::GET, Method::PATCH, Method::OPTIONS] {
            let refused = scene.anonymous(method, path, None).await.expect(404);
            assert_eq!(refused.body, json!({"detail": "Not found."}), "{path}");
        }
    }
    let options = scene.anonymous(Method::OPTIONS, "/api/user/users/", None).await.expect(200);
    assert_eq!(
        (options.body, options.headers["allow"].to_str().unwrap()),
        (json!({}), "GET, POST, HEAD, OPTIONS")
    );
    for path in ["/", "/api/", "/api/user/", "/api/user/users//", "/api/nothing/", "/nothing"] {
        let answer = scene.anonymous(Method::GET, path, None).await.expect(404);
        assert_eq!(answer.body, json!({"detail": "Not found."}), "{path}");
    }
    for path in ["/api/user/me", "/api/user/me/"] {
        assert_eq!(ada.get(path).await.expect(200).body["username"], "ada");
    }
    let head = ada.call(Method::HEAD, "/api/user/me/", None).await.expect(200);
    assert_eq!(head.body, Value::Null);
}

#[tokio::test]
async fn bodies_of_the_wrong_kind_size_and_shape() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let send = |media: Option<&'static str>, body: Vec<u8>| {
        let mut request = reqwest::Client::new()
            .post(format!("http://{}/api/user/users/", scene.api))
            .bearer_auth(&ada.token)
            .body(body);
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        async { Answer::to(request).await }
    };
    let json_type = Some("application/json");
    for (media, body, status, detail) in [
        (None, b"{}".to_vec(), 415, "Unsupported media type \"\" in request."),
        (Some("text/plain"), b"{}".to_vec(), 415, "Unsupported media type \"text/plain\" in request."),
        (json_type, b"{".to_vec(), 400, "JSON parse error - "),
        (json_type, br#"{"username":"a","username":"b"}"#.to_vec(), 400, "JSON parse error - duplicate key"),
        (json_type, [vec![b'['; 100], vec![b']'; 100]].concat(), 400, "JSON parse error - nested too deeply"),
        (json_type, vec![b' '; 1024 * 1024 + 1], 413, "Request body is too large."),
    ] {
        let answer = send(media, body).await.expect(status);
        assert!(answer.body["detail"].as_str().unwrap().starts_with(detail), "{}", answer.body);
    }
    let list = send(json_type, b"[]".to_vec()).await.expect(400);
    assert_eq!(
        list.body,
        json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]})
    );
    let empty = send(json_type, b"{}".to_vec()).await.expect(400);
    assert_eq!(empty.body, json!({"username": ["This field is required."]}));
    let form = Some("application/x-www-form-urlencoded");
    send(form, b"username=form&email=form%40acme.test".to_vec()).await.expect(201);
    let parts = |names: &str| {
        let part = format!("--x\r\nContent-Disposition: form-data; {names}\r\n\r\nmultipart\r\n--x--");
        part.into_bytes()
    };
    let multipart = Some("multipart/form-data; boundary=x");
    send(multipart, parts("name=\"username\"")).await.expect(201);
    let file = send(multipart, parts("name=\"username\"; filename=\"a.txt\"")).await.expect(400);
    assert_eq!(file.body, json!({"username": ["Not a valid string."]}));
    let unbounded = send(Some("multipart/form-data"), parts("name=\"username\"")).await.expect(400);
    let detail = "Multipart form parse error - multipart boundary not found in Content-Type";
    assert_eq!(unbounded.body, json!({"detail": detail}));
}

/// For every caller the body is read before the caller is looked up, so that no transaction waits for a body.
#[tokio::test]
async fn every_path_bounds_its_bodies() {
    let scene = Scene::new().await;
    for route in ROUTES
        .iter()
        .filter(|route| matches!(route.kind, RouteKind::Protected | RouteKind::Open | RouteKind::Anonymous))
    {
        let path = route.path.replace('*', "x");
        for method in route.allow.split(", ").filter(|method| *method != "OPTIONS") {
            let request = reqwest::Client::new()
                .request(method.parse().unwrap(), format!("http://{}/{path}", scene.api))
                .body(vec![b' '; 1024 * 1024 + 1]);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 413, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_database_is_a_quick_503() {
    let scene = Scene::new().await;
    let mut settings = scene.control.settings.clone();
    let gone = scene.database.role_url("app").replace(&format!(":{}", port(&scene)), ":1");
    settings.database.app_url = control::settings::DatabaseUrl::new(gone);
    let cut_off = control::control::new(settings).unwrap();
    let api = crate::scene::serve(&cut_off).await;
    let answer = call(api, Method::GET, "/api/user/me/", Some("Bearer abc"), None).await.expect(503);
    assert_eq!(answer.body["code"], "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    call(api, Method::GET, "/readyz", None, None).await.expect(503);
    call(api, Method::GET, "/healthz", None, None).await.expect(200);
}

fn port(scene: &Scene) -> u16 {
    reqwest::Url::parse(&scene.database.admin_url()).unwrap().port().unwrap_or(5432)
}
