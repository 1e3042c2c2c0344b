//! The table of routes against the router: whatever is described is served.

use reqwest::Method;
use serde_json::json;
use shared::contract::routes::{ROUTES, RouteKind};

use crate::scene::{Scene, call};

#[tokio::test]
async fn every_method_of_the_table_has_a_handler() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    let root = platform.member("root", "root-admin").await;
    for route in ROUTES
        .iter()
        .filter(|route| matches!(route.kind, RouteKind::Protected | RouteKind::Open | RouteKind::Anonymous))
    {
        let path = format!("/{}/", route.path.replace('*', "nothing"));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let body = Some(json!({}));
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            // One of them ends the caller's other sessions, and with them the token.
            let caller = platform.acting_as(&platform.user(root.id).await).await;
            let bearer = format!("Bearer {}", caller.token);
            let answer = call(scene.api, method.clone(), &path, Some(&bearer), body).await;
            if route.allows(method.as_str()) {
                assert_ne!(answer.status, 405, "{method} {path}");
            } else {
                // A tenant that is not there comes before a method that is not.
                assert!([404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
            }
            // An answer of 404 that no handler made has this text.
            let unseen = answer.body["detail"] == "Not found."
                && !["docs/*", "account/*", "account/files/*"].contains(&route.path);
            assert!(!unseen, "{method} {path}: {}", answer.body);
        }
        let open = call(scene.api, Method::GET, &path, None, None).await;
        assert_eq!(open.status == 401, route.kind == RouteKind::Protected, "{path}: {}", open.status);
    }
}

#[tokio::test]
async fn the_document_is_anybodys_and_says_where_it_is() {
    let scene = Scene::new().await;
    let served = scene.anonymous(Method::GET, "/api/schema/", None).await.expect(200);
    assert_eq!(served.body["servers"], json!([{"url": format!("http://{}", scene.api)}]));
    assert_eq!(served.header("content-type"), "application/json");
    let script = scene.anonymous(Method::GET, "/docs/reader.js", None).await.expect(200);
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(script.header("x-content-type-options"), "nosniff");
    for name in ["swagger-initializer.js", "reader.html", "oauth2-redirect.html"] {
        scene.anonymous(Method::GET, &format!("/docs/{name}"), None).await.expect(404);
    }
}
