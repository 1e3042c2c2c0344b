//! Every refusal that the published document lists for the edge's own routes, made to happen
//! ([`shared::contract::openapi::edge_refusals`]). The answers are kept, and a run of all tests holds the
//! document against them: what is listed there and never answered fails it as well.

use serde_json::json;
use shared::tenant::Status;

use super::browser::{Browser, acme as acme_with_pages, own_request};
use super::fixture::{Actor, Request, World};
use crate::platform::Limit;

/// Routes that read a body.
const POSTS: [&str; 9] = [
    "/api/token/",
    "/api/login/",
    "/api/verify-otp/",
    "/api/step-up/",
    "/api/token/refresh/",
    "/api/token/validate/",
    "/api/token/verify/",
    "/api/token/blacklist/",
    "/api/logout/",
];
const KEYS: [&str; 3] = ["/api/public-key/", "/api/.well-known/jwks.json", "/.well-known/jwks.json"];

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

/// A request of each route, as it should be, with a token that was good once.
fn requests(acme: &Actor, access: &str, refresh: &str) -> Vec<Request> {
    let credentials = json!({"username": "ada", "password": super::fixture::PASSWORD});
    let bodies = [
        credentials.clone(),
        credentials,
        json!({"mfa_token": "wgc_x", "otp": "123456"}),
        json!({"password": super::fixture::PASSWORD}),
        json!({"refresh": refresh}),
        json!({"token": access}),
        json!({"token": access}),
        json!({"refresh": refresh}),
        json!({"refresh": refresh}),
    ];
    let posts = POSTS.iter().zip(bodies).map(|(path, body)| {
        let post = acme.request("POST", path).json(&body);
        if *path == "/api/step-up/" { post.bearer(access) } else { post }
    });
    let gets = KEYS.into_iter().map(|path| acme.request("GET", path));
    let gateway = acme.request("GET", "/api/token/validate/").bearer(access);
    posts.chain(gets).chain([gateway]).collect()
}

fn path(request: &Request) -> &str {
    request.url.split_once("/t/acme").map_or("", |(_, path)| path)
}

#[test]
fn an_unknown_tenant_is_404_everywhere() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    for request in requests(&acme, &tokens.access, &tokens.refresh) {
        let url = request.url.replace("/t/acme/", "/t/nobody/");
        world.send(Request { url, ..request }).expect(404);
    }
}

#[test]
fn a_network_that_guesses_tenants_is_throttled_everywhere_but_at_validate() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let requests = requests(&acme, &tokens.access, &tokens.refresh);
    world.memory().limited.set(Some(Limit::Network));
    world.send(Request::new("GET", "https://auth.example/t/nobody/api/public-key/"));
    for (at, request) in requests.into_iter().enumerate() {
        let unknown = format!("/t/unknown-{at}/");
        let url = request.url.replace("/t/acme/", &unknown);
        let is_validate = path(&request) == "/api/token/validate/";
        world.send(Request { url, ..request }).expect(if is_validate { 503 } else { 429 });
    }
}

#[test]
fn storage_that_is_away_is_503_everywhere() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    world.new_isolate();
    world.memory().store_down.set(true);
    for request in requests(&acme, &tokens.access, &tokens.refresh) {
        world.send(request).expect(503);
    }
    world.send(Request::new("GET", "https://auth.example/readyz")).expect(503);
    world.send(Request::new("GET", "https://auth.example/healthz")).expect(200);
}

#[test]
fn a_suspended_tenant_is_403_where_the_contract_says_so() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.edit(|tenant| tenant.status = Status::Suspended);
    world.advance(3001);
    for request in requests(&acme, &tokens.access, &tokens.refresh) {
        let expected = match path(&request) {
            "/api/token/validate/" | "/api/token/verify/" => 401,
            path if KEYS.contains(&path) => 200,
            _ => 403,
        };
        world.send(request).expect(expected);
    }
}

#[test]
fn a_cookie_without_its_proof_is_403_at_validate() {
    let (world, acme) = acme_with_pages();
    let browser = Browser::signed_in(&acme, "ada");
    let ask = own_request(&acme, "POST", "/api/token/validate/").json(&json!({}));
    world.send(browser.with_cookies(ask).header("origin", "https://evil.example")).expect(403);
}

#[test]
fn bodies_that_are_none_are_refused_by_every_route_that_reads_one() {
    let (world, acme) = acme();
    for path in POSTS {
        let post = || acme.request("POST", path);
        world.send(post().json(&json!([]))).expect(400);
        world
            .send(Request { body: b"{}".to_vec(), ..post().header("content-type", "text/plain") })
            .expect(415);
        let large = vec![b' '; 1024 * 1024 + 1];
        world.send(Request { body: large, ..post().header("content-type", "application/json") }).expect(413);
    }
}

#[test]
fn sign_in_refuses_bad_credentials_and_tokens_are_refused_by_every_route_that_reads_one() {
    let (world, acme) = acme();
    for path in ["/api/token/", "/api/login/"] {
        world
            .send(acme.request("POST", path).json(&json!({"username": "ada", "password": "wrong"})))
            .expect(401);
    }
    for request in requests(&acme, "abc", "abc") {
        let refused = match path(&request) {
            "/api/token/" | "/api/login/" => continue,
            path if KEYS.contains(&path) => 200,
            _ => 401,
        };
        world.send(request).expect(refused);
    }
}

#[test]
fn keys_judge_the_conditions_of_a_request() {
    let (world, acme) = acme();
    for path in KEYS {
        let get = || acme.request("GET", path);
        world.send(get().header("if-none-match", "*")).expect(304);
        world.send(get().header("if-match", "\"another\"")).expect(412);
        world.send(get().header("if-match", "no tag")).expect(400);
    }
    world.send(acme.request("GET", KEYS[0]).header("accept", "image/png")).expect(406);
    for accept in ["application/x-pem-file", "text/plain", "application/json"] {
        world.send(acme.request("GET", KEYS[0]).header("accept", accept)).expect(200);
    }
}
