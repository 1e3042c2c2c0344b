//! Every route asks for the permission that its description names, and for no other.

use control::api::openapi;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::permissions::Permission;
use shared::contract::routes::{Audience, ROUTES, Route, RouteKind};
use uuid::Uuid;

use crate::scene::{Answer, Member, Scene};

/// A request of control that needs a credential, with the permissions that its description names.
struct Asked {
    method: Method,
    route: &'static Route,
    needs: Vec<Permission>,
}

/// The description of a request in the OpenAPI document.
fn described(route: &Route, method: &str) -> String {
    let paths = openapi::document()["paths"].as_object().unwrap();
    let plain = |path: &str| {
        let segments = path.trim_matches('/').split('/');
        segments
            .map(|segment| if segment.starts_with('{') { "*" } else { segment })
            .collect::<Vec<_>>()
            .join("/")
    };
    let (_, item) = paths.iter().find(|(path, _)| plain(path) == route.path).expect(route.path);
    item[method.to_lowercase()]["description"].as_str().unwrap_or_default().to_owned()
}

/// All requests with a credential, those of the own account left out.
fn requests() -> Vec<Asked> {
    let mut requests = Vec::new();
    for route in ROUTES.iter().filter(|route| route.kind == RouteKind::Protected) {
        for method in route.allow.split(", ").filter(|method| !matches!(*method, "HEAD" | "OPTIONS")) {
            let text = described(route, method);
            let needs = text.split("Needs ").nth(1).unwrap_or_default();
            let needs: Vec<_> = needs.split('`').filter_map(Permission::parse).collect();
            let is_own = route.audience() == Audience::Users;
            assert_eq!(is_own, needs.is_empty(), "{method} {}: {text}", route.path);
            if !is_own {
                requests.push(Asked { method: method.parse().unwrap(), route, needs });
            }
        }
    }
    assert!(requests.len() > 45, "{}", requests.len());
    requests
}

/// Two users of a permission: with all others, and with that one alone.
struct Pair {
    permission: Permission,
    without: Member,
    only: Member,
}

impl Scene {
    async fn pairs(&self) -> Vec<Pair> {
        let here: Vec<_> = Permission::ALL
            .iter()
            .copied()
            .filter(|permission| permission.exists(self.tenant.is_platform))
            .collect();
        let mut pairs = Vec::new();
        for permission in &here {
            let others: Vec<_> =
                here.iter().filter(|other| *other != permission).map(|other| other.as_str()).collect();
            let name = permission.as_str().replace(['.', '_'], "-");
            let without = self.officer(&format!("no-{name}"), 99, &others).await;
            let only = self.officer(&format!("just-{name}"), 99, &[permission.as_str()]).await;
            pairs.push(Pair { permission: *permission, without, only });
        }
        pairs
    }
}

fn is_forbidden(answer: &Answer) -> bool {
    answer.status == 403
        && answer.body == json!({"detail": "You do not have permission to perform this action."})
}

/// Asks as both users. Nothing of what is named exists, so a request that passes the check changes nothing.
async fn checked(asked: &Asked, path: &str, pair: &Pair) {
    let Asked { method, .. } = asked;
    let body = (*method != Method::GET && *method != Method::DELETE).then(|| json!({}));
    let permission = pair.permission.as_str();
    let refused = pair.without.call(method.clone(), path, body.clone()).await;
    assert!(
        is_forbidden(&refused),
        "{method} {path} without {permission}: {} {}",
        refused.status,
        refused.body
    );
    let passed = pair.only.call(method.clone(), path, body).await;
    let is_past = !is_forbidden(&passed) && passed.status != 401;
    assert!(is_past, "{method} {path} with {permission}: {} {}", passed.status, passed.body);
}

fn path(asked: &Asked, first: Uuid) -> String {
    let with = asked.route.path.replacen('*', &first.to_string(), 1);
    format!("/{}/", with.replace('*', &Uuid::nil().to_string()))
}

#[tokio::test]
async fn every_route_of_a_tenant_asks_for_its_permission() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let pairs = scene.pairs().await;
        let mut walked = Vec::new();
        for asked in requests() {
            let id = if asked.route.path.starts_with("api/tenant/") {
                scene.tenant.id.uuid()
            } else {
                Uuid::nil()
            };
            let path = path(&asked, id);
            let own = asked.needs.iter().find(|permission| !permission.is_platform());
            let Some(own) = own else {
                // It exists at the platform alone: no permission of a tenant suffices.
                for pair in &pairs {
                    let refused = pair.without.call(asked.method.clone(), &path, Some(json!({}))).await;
                    assert!(is_forbidden(&refused), "{} {path}: {}", asked.method, refused.body);
                }
                continue;
            };
            let pair = pairs.iter().find(|pair| pair.permission == *own).unwrap();
            checked(&asked, &path, pair).await;
            walked.push(*own);
        }
        for pair in &pairs {
            assert!(walked.contains(&pair.permission), "no route asks for {}", pair.permission.as_str());
        }
    }
}

#[tokio::test]
async fn every_route_of_the_platform_asks_for_its_permission() {
    let scene = Scene::alone().await.platform().await;
    let pairs = scene.pairs().await;
    let mut walked = Vec::new();
    for asked in requests() {
        // A tenant that is not there is a 404 after the check.
        let path = path(&asked, Uuid::nil());
        for permission in asked.needs.iter().filter(|permission| permission.is_platform()) {
            // A user who reads their own tenant may list it, and the platform's administrators list all.
            if asked.needs.len() > 1 && asked.route.path == "api/tenant/tenants" {
                continue;
            }
            let pair = pairs.iter().find(|pair| pair.permission == *permission).unwrap();
            checked(&asked, &path, pair).await;
            walked.push(*permission);
        }
    }
    for pair in pairs.iter().filter(|pair| pair.permission.is_platform()) {
        assert!(walked.contains(&pair.permission), "no route asks for {}", pair.permission.as_str());
    }
}

/// What is asked for where the method does not exist is what the path's first method asks for.
#[tokio::test]
async fn a_user_without_roles_passes_no_check() {
    let scene = Scene::new().await;
    let nobody =
        scene.person(control::users::Profile { username: "nobody".into(), ..Default::default() }, &[]).await;
    let nobody = scene.acting_as(&nobody).await;
    assert_eq!(nobody.get("/api/user/me/").await.expect(200).body["permissions"], json!([]));
    for asked in requests() {
        let id =
            if asked.route.path.starts_with("api/tenant/") { scene.tenant.id.uuid() } else { Uuid::nil() };
        let path = path(&asked, id);
        let refused = nobody.call(asked.method.clone(), &path, Some(Value::Object(Default::default()))).await;
        assert!(is_forbidden(&refused), "{} {path}: {}", asked.method, refused.body);
    }
}
