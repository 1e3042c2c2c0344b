//! CORS: which pages may read an answer, and that preflights are answered here.

use serde_json::json;
use shared::contract::routes::{ROUTES, RouteKind};
use shared::tenant::header_name::HeaderName;
use shared::tenant::origin::Origin;
use shared::tenant::settings::Cookies;

use super::browser::{PAGE, acme, own_request, set_cookies};
use super::entry::handle_now;
use super::fixture::{Answered, Request};

/// The CORS headers of an answer: the origin, whether credentials are allowed, and whether it varies.
fn said(answer: &Answered) -> (Option<&str>, Option<&str>, bool) {
    let count =
        |name: &str| answer.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count();
    for once in ["access-control-allow-origin", "access-control-allow-credentials"] {
        assert!(count(once) <= 1, "{:?}", answer.headers);
    }
    let varies = answer.header("vary").is_some_and(|vary| vary.to_ascii_lowercase().contains("origin"));
    (answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials"), varies)
}

#[test]
fn listed_pages_read_every_answer_and_others_none() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let tries = std::cell::Cell::new(0);
    let at = |own: bool, method: &str, path: &str| {
        if own { own_request(&acme, method, path) } else { acme.request(method, path) }
    };
    let answers = |own: bool, origin: Option<&str>| {
        let with = |request: Request| match origin {
            Some(origin) => world.send(request.header("origin", origin)),
            None => world.send(request),
        };
        let get = || at(own, "GET", "/api/user/users/");
        let post = |path: &str| at(own, "POST", path);
        world.memory().control_down.set(true);
        let down = with(get().bearer(&tokens.access)).expect(503);
        world.memory().control_down.set(false);
        world.memory().store_down.set(true);
        let blind = with(post("/api/token/refresh/").json(&json!({"refresh": tokens.refresh}))).expect(503);
        world.memory().store_down.set(false);
        tries.set(tries.get() + 1);
        let name = format!("nobody{}", tries.get());
        vec![
            down,
            blind,
            with(get().bearer(&tokens.access)).expect(200),
            with(get()).expect(401),
            with(get().header("authorization", "Bearer")).expect(401),
            with(post("/api/token/").json(&json!({"username": name, "password": "x"}))).expect(401),
            with(post("/api/token/").json(&json!({}))).expect(400),
            with(post("/api/login/").header("content-type", "text/plain")).expect(400),
            with(at(own, "GET", "/api/login/")).expect(405),
            with(post("/api/logout/").bearer("x")).expect(401),
            with(at(own, "OPTIONS", "/api/user/users/")).expect(200),
        ]
    };
    for answer in answers(true, Some(PAGE)) {
        assert_eq!(said(&answer), (Some(PAGE), Some("true"), true), "{}", answer.text);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for name in ["Retry-After", "X-Request-Id", "ETag", "Wardgate-State-Age"] {
            assert!(exposed.contains(name), "{exposed}");
        }
    }
    // Cookies are not read on shared hosts, so none is asked for there.
    for answer in answers(false, Some(PAGE)) {
        assert_eq!(said(&answer), (Some(PAGE), None, true), "{}", answer.text);
    }
    for origin in
        [None, Some("https://evil.example"), Some("null"), Some("https://app.acme.example.evil.example")]
    {
        for answer in answers(true, origin).into_iter().chain(answers(false, origin)) {
            assert_eq!(said(&answer), (None, None, true), "{origin:?}: {}", answer.text);
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("Access-Control-")));
        }
    }
    acme.edit(|tenant| tenant.settings.cookies = Cookies::Off);
    world.new_isolate();
    for answer in answers(true, Some(PAGE)) {
        assert_eq!(said(&answer), (Some(PAGE), None, true), "{}", answer.text);
    }
    // Pages of a suspended tenant also read the answer; an unknown tenant has no origins.
    acme.edit(|tenant| tenant.status = shared::tenant::Status::Suspended);
    world.new_isolate();
    let suspended = at(true, "GET", "/api/user/me/").header("origin", PAGE);
    assert_eq!(said(&world.send(suspended).expect(403)).0, Some(PAGE));
    let nobody = Request::new("GET", "https://nobody.example/api/user/me/").header("origin", PAGE);
    assert_eq!(said(&world.send(nobody).expect(404)).0, None);
}

#[test]
fn validate_says_it_on_both_ways() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let validate = |origin: Option<&str>| {
        let request = own_request(&acme, "POST", "/api/token/validate/").bearer(&tokens.access);
        match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        }
    };
    for (origin, expected) in [
        (Some(PAGE), (Some(PAGE), Some("true"), true)),
        (Some("null"), (None, None, true)),
        (None, (None, None, false)),
    ] {
        world.new_isolate();
        let slow = world.send(validate(origin)).expect(200);
        let fast = handle_now(&world.app, &validate(origin)).unwrap().response;
        assert_eq!(said(&slow), expected);
        let headers = fast.headers.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
        let fast = Answered { status: fast.status, headers, text: String::new() };
        assert_eq!(said(&fast), expected);
        assert_eq!(
            fast.header("access-control-expose-headers"),
            slow.header("access-control-expose-headers")
        );
    }
}

#[test]
fn preflights_are_answered_at_the_edge_for_every_route() {
    let (world, acme) = acme();
    let preflight = |url: String, origin: &str| {
        let request = Request::new("OPTIONS", &url).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        world.send(request.header("access-control-request-headers", "content-type,x-csrftoken")).expect(200)
    };
    for route in ROUTES {
        let path = format!("/{}/", route.path.replace('*', "abc"));
        let (own, shared) = (format!("https://acme.example{path}"), acme.url(&path));
        let keys = path.contains("jwks") || path.contains("public-key");
        if ["healthz", "readyz", "limits"].iter().any(|bare| path.contains(bare)) {
            assert_eq!(said(&preflight(own, PAGE)), (None, None, false), "{path}");
            continue;
        }
        for (url, credentials) in [(own, Some("true")), (shared, None)] {
            let good = preflight(url.clone(), PAGE);
            let expected = if keys { (Some("*"), None, false) } else { (Some(PAGE), credentials, true) };
            assert_eq!(said(&good), expected, "{path}");
            let header = |name: &str| good.header(&format!("access-control-{name}")).unwrap_or_default();
            assert_eq!(header("allow-methods"), route.allow, "{path}");
            for name in
                ["Authorization", "Content-Type", "X-CSRFToken", "X-Tenant", "If-Match", "Idempotency-Key"]
            {
                assert!(header("allow-headers").split(", ").any(|allowed| allowed == name), "{name}");
            }
            assert_eq!((header("max-age"), good.header("allow")), ("600", Some(route.allow)));
            let bad = preflight(url, "https://evil.example");
            if !keys {
                assert!(bad.headers.iter().all(|(name, _)| !name.starts_with("Access-Control-")), "{path}");
                assert_eq!(bad.header("vary"), Some("Origin"), "{path}");
            }
        }
        assert!(route.kind != RouteKind::Protected || world.memory().forwarded.borrow().is_empty());
    }
    let unknown = preflight_status(&world, "https://acme.example/api/nowhere/");
    let nobody = preflight_status(&world, "https://nobody.example/api/login/");
    assert_eq!((unknown, nobody), (404, 404));
}

/// Headers that the SDKs of tracing services, caches and HTTP libraries add to a page's requests.
const USUAL: [&str; 22] = [
    "accept",
    "authorization",
    "baggage",
    "b3",
    "cache-control",
    "content-type",
    "elastic-apm-traceparent",
    "newrelic",
    "pragma",
    "request-id",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-trace-id",
    "x-requested-with",
];

/// The headers that a preflight allows a page of `origin` to send.
fn allowed_headers(world: &super::fixture::World, url: &str, origin: &str) -> Option<Vec<String>> {
    let request = Request::new("OPTIONS", url).header("origin", origin);
    let answer = world.send(request.header("access-control-request-method", "POST")).expect(200);
    let list = answer.header("access-control-allow-headers")?;
    Some(list.split(", ").map(str::to_ascii_lowercase).collect())
}

#[test]
fn pages_may_send_what_tracing_and_libraries_add() {
    let (world, acme) = acme();
    for path in ["/api/token/", "/api/user/me/", "/api/token/validate/", "/.well-known/jwks.json"] {
        for url in [format!("https://acme.example{path}"), acme.url(path)] {
            let allowed = allowed_headers(&world, &url, PAGE).unwrap();
            for name in USUAL {
                assert!(allowed.iter().any(|known| known == name), "{name} at {url}");
            }
        }
    }
}

#[test]
fn a_tenants_own_headers_are_for_its_pages() {
    let (world, acme) = acme();
    let beta = world.tenant("beta");
    let names = |names: &[&str]| names.iter().map(|name| HeaderName::parse(name).unwrap()).collect();
    acme.edit(|tenant| tenant.settings.cors_headers = names(&["X-Acme-Trace", "x-cloud-trace-context"]));
    beta.edit(|tenant| tenant.settings.origins = vec![Origin::parse(PAGE).unwrap()]);
    world.new_isolate();
    let allows = |url: String, origin: &str, name: &str| {
        allowed_headers(&world, &url, origin).map(|allowed| allowed.iter().any(|known| known == name))
    };
    for path in ["/api/token/", "/api/user/me/"] {
        for name in ["x-acme-trace", "x-cloud-trace-context", "authorization"] {
            assert_eq!(allows(acme.url(path), PAGE, name), Some(true), "{name}");
        }
        assert_eq!(allows(acme.url(path), PAGE, "x-acme"), Some(false));
        assert_eq!(allows(acme.url(path), "https://evil.example", "x-acme-trace"), None);
        assert_eq!(allows(beta.url(path), PAGE, "x-acme-trace"), Some(false));
    }
    let keys = allows(acme.url("/api/public-key/"), "https://evil.example", "*");
    assert_eq!(keys, Some(true), "what is public may be asked for with any header");
    acme.edit(|tenant| tenant.settings.cors_headers.clear());
    world.advance(4000);
    assert_eq!(allows(acme.url("/api/token/"), PAGE, "x-acme-trace"), Some(false));
}

fn preflight_status(world: &super::fixture::World, url: &str) -> u16 {
    let request = Request::new("OPTIONS", url).header("origin", PAGE);
    world.send(request.header("access-control-request-method", "POST")).status
}

#[test]
fn keys_are_for_every_page_whatever_the_list_says() {
    let (world, acme) = acme();
    for path in ["/.well-known/jwks.json", "/api/public-key/"] {
        for origin in [PAGE, "https://evil.example"] {
            let request = own_request(&acme, "GET", path).header("origin", origin);
            assert_eq!(said(&world.send(request).expect(200)), (Some("*"), None, false));
        }
        let refused = own_request(&acme, "POST", path).header("origin", PAGE);
        assert_eq!(said(&world.send(refused).expect(405)), (Some("*"), None, false));
    }
}

#[test]
fn what_control_says_of_it_is_dropped_and_what_it_varies_by_is_kept() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    *world.memory().control_adds.borrow_mut() = vec![
        ("Access-Control-Allow-Origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("Set-Cookie", "access_token=evil"),
        ("Vary", "Accept-Language, origin"),
        ("Cache-Control", "private, max-age=60"),
    ];
    let send = |origin: &str| {
        let request = own_request(&acme, "GET", "/api/user/me/").bearer(&tokens.access);
        world.send(request.header("origin", origin)).expect(200)
    };
    let answer = send(PAGE);
    assert_eq!(said(&answer).0, Some(PAGE));
    let varies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "Vary").collect();
    assert_eq!(varies, [&("Vary".to_owned(), "Accept-Language, origin".to_owned())]);
    assert_eq!(set_cookies(&answer), []);
    assert_eq!(answer.header("cache-control"), Some("private, max-age=60"));
    assert_eq!(said(&send("https://evil.example")), (None, None, true));
    *world.memory().control_adds.borrow_mut() = vec![("Vary", "Accept-Language")];
    let answer = send(PAGE);
    let varies: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "Vary").map(|(_, value)| value.as_str()).collect();
    assert_eq!(varies, ["Accept-Language", "Origin"]);
}

#[test]
fn a_list_of_many_is_matched_whole() {
    let (world, acme) = acme();
    let origins = ["https://a.example", "https://b.example:8443", "http://localhost:3000"];
    acme.edit(|tenant| {
        tenant.settings.origins = origins.iter().map(|text| Origin::parse(text).unwrap()).collect();
    });
    world.new_isolate();
    let allowed = |origin: &str| {
        let request = own_request(&acme, "GET", "/api/user/me/").header("origin", origin);
        world.send(request).header("access-control-allow-origin").map(str::to_owned)
    };
    for origin in origins {
        assert_eq!(allowed(origin).as_deref(), Some(origin));
    }
    for near in [
        "https://b.example",
        "https://a.example:8443",
        "http://localhost",
        "https://localhost:3000",
        "https://a.example, https://a.example",
        "https://a.exampl",
        PAGE,
        "",
    ] {
        assert_eq!(allowed(near), None, "{near}");
    }
}

#[test]
fn a_page_reads_its_answer_although_the_tenant_is_forgotten_meanwhile() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let (app, name) = (world.app.clone(), format!("host:{}.example", acme.tenant.borrow().slug));
    let forget = move || app.shard_cache.borrow_mut().forget_name(&name);
    *world.memory().while_forwarding.borrow_mut() = Some(Box::new(forget));
    let request = own_request(&acme, "GET", "/api/user/users/").bearer(&tokens.access).header("origin", PAGE);
    let answer = world.send(request).expect(200);
    assert!(world.memory().while_forwarding.borrow().is_none(), "it was forwarded");
    assert_eq!(said(&answer), (Some(PAGE), Some("true"), true));
}
