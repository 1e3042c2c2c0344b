//! Forwarding: the request is authenticated, then replaced by a new, signed one that has only the listed headers of
//! the client.

use serde_json::json;
use shared::wire::signature::{FORWARD_HEADERS, Message, Tag, verify};

use super::fixture::{Actor, World, edge_service_peer};

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

#[test]
fn what_arrives_at_control_is_ours_and_signed() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let request = acme
        .request("POST", "/api/user/users/?page=2")
        .bearer(&tokens.access)
        .json(&json!({"username": "x"}));
    let request = [
        ("cookie", "access_token=x"),
        ("x-forwarded-for", "203.0.113.9"),
        ("wardgate-tenant", "evil"),
        ("wardgate-caller", "evil"),
        ("wardgate-ticket", "purpose=password_change; user=evil; password_epoch=0; access_epoch=0"),
        ("connection", "x-secret"),
        ("accept-language", "de"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "rojo=00f067aa0ba902b7"),
        ("baggage", "userId=alice"),
        ("sentry-trace", "x"),
        ("x-datadog-trace-id", "1"),
        ("x-request-id", "abc-1"),
        ("content-length", "16"),
    ]
    .into_iter()
    .fold(request, |request, (name, value)| request.header(name, value));
    let answer = world.send(request).expect(200);
    assert_eq!(answer.header("connection"), None);
    assert_eq!(answer.header("wardgate-inside"), None);
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    let (outgoing, body) = world.memory().forwarded.borrow_mut().pop().unwrap();
    assert_eq!(body, br#"{"username":"x"}"#);
    assert_eq!(outgoing.url, "http://control.example/api/user/users/?page=2");
    let header = |name: &str| {
        outgoing.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(header("wardgate-tenant"), Some(acme.id().to_string().as_str()));
    assert_eq!(header("wardgate-caller"), Some(acme.user_id("ada").to_string().as_str()));
    assert_eq!(header("wardgate-client"), Some("192.0.2.1"));
    assert_eq!(header("wardgate-base"), Some("https://auth.example/t/acme"));
    assert_eq!(header("accept-language"), Some("de"));
    assert_eq!(header("traceparent"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_eq!(header("tracestate"), Some("rojo=00f067aa0ba902b7"));
    assert_eq!(header("baggage"), Some("userId=alice"));
    for absent in
        ["cookie", "wardgate-ticket", "x-forwarded-for", "connection", "sentry-trace", "x-datadog-trace-id"]
    {
        assert_eq!(header(absent), None);
    }
    let covered: Vec<_> = FORWARD_HEADERS.iter().filter_map(|name| Some((*name, header(name)?))).collect();
    assert_eq!(covered.len() + 1, FORWARD_HEADERS.len(), "all but that of tickets");
    let message = Message {
        method: "POST",
        authority: "control.example",
        path: "/api/user/users/",
        query: "page=2",
        content_digest: None,
        headers: &covered,
    };
    let (input, signature) = (header("signature-input").unwrap(), header("signature").unwrap());
    let now = world.memory().now_ms.get() / 1000;
    assert!(verify(&[edge_service_peer()], Tag::Forward, &message, input, signature, now).is_ok());
}

#[test]
fn what_is_signed_is_what_arrives_however_a_client_spells_it() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let sent = |method: &str, path: &str| {
        let request = acme.request(method, path).bearer(&tokens.access).header("content-length", "02");
        let mut request = request.header("content-type", "text/plain").header("accept", "text/\u{e4}");
        request.body = b"{}".to_vec();
        world.send(request).expect(200);
        world.memory().forwarded.borrow_mut().pop().unwrap()
    };
    let has = |headers: &[(&str, String)], name: &str, value: &str| {
        headers.iter().any(|(known, sent)| *known == name && sent == value)
    };
    let (post, body) = sent("POST", "/api/user/users/?q=O'Brien&r=\"<\u{e4}>%27+");
    assert_eq!(post.url, "http://control.example/api/user/users/?q=O%27Brien&r=%22%3C%C3%A4%3E%27+");
    assert!(has(&post.headers, "content-length", "2") && has(&post.headers, "content-type", "text/plain"));
    assert_eq!(
        (post.headers.iter().any(|(name, _)| *name == "accept"), body.as_slice()),
        (false, &b"{}"[..])
    );
    for method in ["GET", "HEAD"] {
        let (bodiless, body) = sent(method, "/api/user/users/");
        assert!(!bodiless.headers.iter().any(|(name, _)| name.starts_with("content-")), "{method}");
        assert_eq!(body, b"");
    }
}

#[test]
fn bad_credentials_never_reach_control() {
    let (world, acme) = acme();
    let users = || acme.request("GET", "/api/user/users/");
    let none = world.send(users()).expect(401);
    assert_eq!(none.json(), json!({"detail": "Authentication credentials were not provided."}));
    assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"api\""));
    assert_eq!(none.header("allow"), Some("GET, POST, HEAD, OPTIONS"));
    let malformed = world.send(users().header("authorization", "bearer  a b")).expect(401);
    assert_eq!(malformed.text("code"), "bad_authorization_header");
    world.send(users().header("authorization", "Basic abc")).expect(401);
    let garbage = world.send(users().header("authorization", "BEARER \t abc")).expect(401);
    assert_eq!(garbage.json()["messages"][0]["message"], "Token is invalid");
    world.send(acme.request("POST", "/api/user/setup/").bearer("abc")).expect(401);
    world.send(acme.request("DELETE", "/api/user/users/")).expect(401);
    assert!(world.memory().forwarded.borrow().is_empty());
    world.send(acme.request("POST", "/api/user/setup/")).expect(200);
    let forwarded = world.memory().forwarded.borrow();
    let caller = forwarded[0].0.headers.iter().find(|(name, _)| *name == "wardgate-caller");
    assert_eq!(caller.map(|(_, value)| value.as_str()), Some("anonymous"));
}

#[test]
fn strangers_reach_control_only_within_their_networks_limit() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let setup = || acme.request("POST", "/api/user/setup/").json(&json!({"token": "wgs_x"}));
    world.send(setup()).expect(200);
    world.memory().limited.set(Some(crate::platform::Limit::Network));
    assert_eq!(world.send(setup()).expect(429).header("retry-after"), Some("60"));
    world.send(setup().bearer(&tokens.access)).expect(200);
    assert_eq!(world.memory().forwarded.borrow().len(), 2);
}

#[test]
fn another_scheme_is_not_passed_on() {
    let (world, acme) = acme();
    world.send(acme.request("POST", "/api/user/setup/").header("authorization", "Basic abc")).expect(200);
    let forwarded = world.memory().forwarded.borrow();
    assert!(forwarded[0].0.headers.iter().all(|(name, _)| *name != "authorization"));
}

#[test]
fn a_body_in_an_encoding_is_not_passed_on_as_if_it_were_plain() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let request = || acme.request("POST", "/api/user/users/").bearer(&tokens.access);
    world.send(request().header("content-encoding", "gzip")).expect(415);
    world.send(request().header("content-encoding", "identity")).expect(200);
    assert_eq!(world.memory().forwarded.borrow().len(), 1);
}

#[test]
fn control_down_is_a_quick_503() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    world.memory().control_down.set(true);
    let refused = world.send(acme.request("GET", "/api/user/users/").bearer(&tokens.access)).expect(503);
    assert_eq!(refused.text("code"), "unavailable");
    acme.refresh(&tokens.refresh).expect(200);
}
