//! Every route against whatever may arrive: methods, media types, encodings, sizes, shapes.

use serde_json::json;
use shared::contract::routes::{ROUTES, RouteKind};

use super::fixture::{Actor, Request, World};

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

/// Routes of the edge that read a body.
const WITH_BODY: [&str; 8] = [
    "/api/token/",
    "/api/login/",
    "/api/verify-otp/",
    "/api/step-up/",
    "/api/token/refresh/",
    "/api/token/verify/",
    "/api/token/blacklist/",
    "/api/logout/",
];

#[test]
fn every_edge_route_refuses_other_methods_with_allow() {
    let (world, acme) = acme();
    for route in
        ROUTES.iter().filter(|route| matches!(route.kind, RouteKind::Edge | RouteKind::EdgeWithoutAllow))
    {
        for path in [format!("/{}", route.path), format!("/{}/", route.path)] {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
                if route.allows(method) {
                    continue;
                }
                let refused = world.send(acme.request(method, &path)).expect(405);
                assert_eq!(refused.json(), json!({"detail": format!("Method \"{method}\" not allowed.")}));
                assert_eq!(refused.header("allow"), Some(route.allow), "{path}");
            }
            let options = world.send(acme.request("OPTIONS", &path)).expect(200);
            assert_eq!((options.text.as_str(), options.header("allow")), ("{}", Some(route.allow)), "{path}");
        }
    }
}

#[test]
fn every_body_that_is_not_one_is_a_4xx_in_the_contracts_words() {
    let (world, acme) = acme();
    let send = |path: &str, content_type: Option<&str>, encoding: Option<&str>, body: &[u8]| {
        let mut request = acme.request("POST", path);
        for (name, value) in [("content-type", content_type), ("content-encoding", encoding)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.body = body.to_vec();
        world.send(request)
    };
    let json_type = Some("application/json");
    let deep = [vec![b'['; 5000], vec![b']'; 5000]].concat();
    for path in WITH_BODY.into_iter().chain(["/api/token/validate/"]) {
        send(path, None, None, b"{}").expect(415);
        send(path, Some("text/plain"), None, b"{}").expect(415);
        let form = Some("multipart/form-data; boundary=x");
        send(path, form, Some("gzip"), b"--x--").expect(415);
        send(path, Some("multipart/mixed; boundary=x"), None, b"--x--").expect(415);
        let broken: [(Option<&str>, &[u8]); 7] = [
            (form, b"--x"),
            (form, b"--y--"),
            (form, b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1"),
            (form, b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"),
            (form, b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xff\r\n--x--"),
            (Some("multipart/form-data"), b"--x--"),
            (Some("multipart/form-data; boundary="), b"--x--"),
        ];
        for (content_type, broken) in broken {
            let refused = send(path, content_type, None, broken).expect(400);
            assert!(refused.text("detail").starts_with("Multipart form parse error - "), "{}", refused.text);
        }
        send(path, form, None, &vec![b' '; 1024 * 1024 + 1]).expect(413);
        send(path, json_type, Some("gzip"), b"{}").expect(415);
        let parse = send(path, json_type, None, b"{bad").expect(400);
        assert!(parse.text("detail").starts_with("JSON parse error - "), "{path}");
        send(path, json_type, None, b"{\"a\":1,\"a\":2}").expect(400);
        send(path, json_type, None, &deep).expect(400);
        send(path, json_type, None, b"\xff\xfe").expect(400);
        let list = send(path, json_type, None, b"[]").expect(400);
        assert_eq!(
            list.json(),
            json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]})
        );
        let large = send(path, json_type, None, &vec![b' '; 1024 * 1024 + 1]).expect(413);
        assert_eq!(large.json(), json!({"detail": "Request body is too large.", "code": "too_large"}));
        assert_eq!(large.header("cache-control"), Some("no-store"));
        assert!(large.header("x-request-id").is_some());
    }
}

#[test]
fn missing_blank_and_mistyped_fields_have_the_recorded_messages() {
    let (_, acme) = acme();
    let required = json!(["This field is required."]);
    assert_eq!(acme.post("/api/token/refresh/", &json!({})).expect(400).json(), json!({"refresh": required}));
    assert_eq!(acme.post("/api/token/verify/", &json!({})).expect(400).json(), json!({"token": required}));
    let blank = acme.post("/api/token/", &json!({"username": "", "password": ""})).expect(400);
    let message = json!(["This field may not be blank."]);
    assert_eq!(blank.json(), json!({"username": message, "password": message}));
    let null = acme.post("/api/token/refresh/", &json!({"refresh": null})).expect(400);
    assert_eq!(null.json(), json!({"refresh": ["This field may not be null."]}));
    let object = acme.post("/api/token/refresh/", &json!({"refresh": {}})).expect(400);
    assert_eq!(object.json(), json!({"refresh": ["Not a valid string."]}));
    acme.post("/api/logout/", &json!({"everywhere": "perhaps"})).expect(400);
}

#[test]
fn unknown_paths_and_the_inside_are_the_same_404_to_a_tenants_caller() {
    let (world, acme) = acme();
    let unknown = world.send(acme.request("GET", "/api/nowhere/")).expect(404).visible();
    for path in
        ["/", "/api/", "/api/token/x/", "/api/user/users/a%2fb/x/", "/internal/v1/push", "/api//token/"]
    {
        assert_eq!(world.send(acme.request("GET", path)).visible(), unknown, "{path}");
    }
}

#[test]
fn a_path_is_one_route_or_none_for_every_method() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let long = format!("/api/user/users/{}/", "x".repeat(129));
    for path in [
        "/api/user/me//",
        "/api/user/users//",
        "/api/user/users/a b/",
        "/api/user/users/a%20b/",
        "/api/user/users/\u{e4}/",
        "/api/user/users/../",
        "/api/user/users/./",
        "/api/token//",
        "/api/public-key//",
        "/.well-known/jwks.json//",
        "/healthz//",
        &long,
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = world.send(acme.request(method, path).bearer(&tokens.access));
            assert_eq!((answer.status, answer.header("allow")), (404, None), "{method} {path}");
        }
    }
    assert_eq!(world.memory().forwarded.borrow().len(), 0);
}

#[test]
fn request_ids_are_taken_over_only_if_they_are_plain() {
    let (world, acme) = acme();
    let id = |sent: &str| {
        let answer = world.send(acme.request("POST", "/api/token/").header("x-request-id", sent));
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id("abc_D-9"), "abc_D-9");
    for bad in ["", "a b", "ä", "a\nb", &"x".repeat(65)] {
        assert_ne!(id(bad), bad);
        assert_eq!(id(bad).len(), 32);
    }
    // Where making one would cost as much as the answer, none is made.
    for path in ["/healthz", "/api/token/validate/", "/.well-known/jwks.json"] {
        let request = || acme.request("GET", path);
        assert_eq!(world.send(request()).header("x-request-id"), None, "{path}");
        assert_eq!(world.send(request().header("x-request-id", "mine")).header("x-request-id"), Some("mine"));
        let wrong = world.send(acme.request("PUT", path));
        assert_eq!((wrong.status, wrong.header("x-request-id").map(str::len)), (405, Some(32)), "{path}");
    }
}

#[test]
fn keys_may_be_cached_only_where_the_url_names_the_tenant() {
    let (world, acme) = acme();
    for path in ["/.well-known/jwks.json", "/api/.well-known/jwks.json", "/api/public-key/"] {
        for url in [acme.url(path), format!("https://acme.example{path}")] {
            let answer = world.send(Request::new("GET", &url)).expect(200);
            assert_eq!(
                answer.header("cache-control"),
                Some("public, max-age=300, stale-while-revalidate=600")
            );
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        }
        let by_header =
            Request::new("GET", &format!("https://auth.example{path}")).header("x-tenant", "acme");
        let answer = world.send(by_header).expect(200);
        let varies = answer.headers.iter().filter(|(name, _)| name == "Vary");
        let varies: Vec<_> = varies.map(|(_, by)| by.as_str()).collect();
        assert_eq!((answer.header("cache-control"), varies.contains(&"X-Tenant")), (Some("no-store"), true));
        let head = world.send(Request::new("HEAD", &acme.url(path))).expect(200);
        assert_eq!(head.text, "");
    }
    let first = world.send(acme.request("GET", "/.well-known/jwks.json")).expect(200);
    let etag = first.header("etag").unwrap().to_owned();
    world.send(acme.request("GET", "/.well-known/jwks.json").header("if-none-match", &etag)).expect(304);
    let pem = world
        .send(acme.request("GET", "/api/public-key/").header("accept", "application/x-pem-file"))
        .expect(200);
    assert!(pem.text.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    let key = &first.json()["keys"][0];
    assert_eq!(key.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "e", "kid", "kty", "n", "use"]);
}

#[test]
fn a_worker_without_its_settings_says_which_one_and_nothing_else() {
    let memory = World::new();
    let fault = crate::settings::SettingFault("EDGE_KEK_A");
    let platform = std::rc::Rc::try_unwrap(memory.app).ok().unwrap().platform;
    let world = World { app: std::rc::Rc::new(crate::app::App::new(platform, Err(fault))) };
    let ready = world.send(Request::new("GET", "https://auth.example/readyz")).expect(503);
    assert_eq!(ready.json(), json!({"status": "misconfigured", "setting": "EDGE_KEK_A"}));
    world.send(Request::new("GET", "https://auth.example/healthz")).expect(200);
    let refused = world.send(Request::new("POST", "https://auth.example/api/token/")).expect(503);
    assert_eq!(refused.text("code"), "unavailable");
}
