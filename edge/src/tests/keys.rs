//! The public keys: which representation a request gets, and its validator.

use serde_json::json;

use super::entry::handle_now;
use super::fixture::{Actor, Answered, Request, START_MS, World};
use crate::http::{Body, Response};

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    (world, acme)
}

/// The representations of the public keys: path and `Accept`.
const REPRESENTATIONS: [(&str, &str); 4] = [
    ("/.well-known/jwks.json", "*/*"),
    ("/api/public-key/", "application/json"),
    ("/api/public-key/", "application/x-pem-file"),
    ("/api/public-key/", "text/plain"),
];

fn keys(tenant: &Actor, (path, accept): (&str, &str)) -> Request {
    tenant.request("GET", path).header("accept", accept)
}

/// On the ordinary way, which has to agree with the synchronous one. That leaves refusals to it.
fn on_both_ways(world: &World, request: Request) -> Answered {
    let slow = world.send(request.clone());
    let Some(reply) = handle_now(&world.app, &request) else {
        assert!(slow.status >= 400, "{}", slow.text);
        return slow;
    };
    let Response { status, headers, body } = reply.response;
    let body = match body {
        Body::Empty => Body::Empty,
        Body::Text(text) => Body::Text(text),
        Body::Stream(never) => match never {},
    };
    let fast = Answered::from(Response { status, headers, body });
    let but_the_id = |answer: &Answered| {
        let headers = answer.headers.iter().filter(|(name, _)| name != "X-Request-Id").cloned();
        (answer.status, answer.text.clone(), headers.collect::<Vec<_>>())
    };
    assert_eq!(but_the_id(&fast), but_the_id(&slow));
    slow
}

#[test]
fn a_validator_names_one_representation_of_one_tenant() {
    let (world, acme) = acme();
    let beta = world.tenant("beta");
    let mut seen = Vec::new();
    for tenant in [&acme, &beta] {
        for representation in REPRESENTATIONS {
            let answer = on_both_ways(&world, keys(tenant, representation)).expect(200);
            let tag = answer.header("etag").unwrap().to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
            assert!(!seen.contains(&tag), "{tag} twice");
            let fresh = |header: &str, value: &str| {
                on_both_ways(&world, keys(tenant, representation).header(header, value))
            };
            for list in [
                tag.clone(),
                format!("W/{tag}"),
                format!("\"x\", W/{tag}"),
                format!("\"a,b\",,{tag} , \"y\""),
                String::from("*"),
            ] {
                let same = fresh("if-none-match", &list).expect(304);
                assert_eq!((same.text.as_str(), same.header("content-type")), ("", None));
                // RFC 9110, section 15.4.5: what the 200 would have said.
                for name in ["etag", "cache-control", "vary", "access-control-allow-origin"] {
                    assert_eq!(same.header(name), answer.header(name), "{name}");
                }
            }
            for list in ["\"x\"", "", "x", tag.trim_matches('"'), "w/\"x\"", "\"*\""] {
                assert_eq!(fresh("if-none-match", list).expect(200).text, answer.text, "{list}");
            }
            for other in &seen {
                fresh("if-none-match", other).expect(200);
            }
            fresh("if-match", &tag).expect(200);
            fresh("if-match", "*").expect(200);
            assert_eq!(fresh("if-match", "\"x\"").expect(412).text("code"), "precondition_failed");
            let head = Request { method: "HEAD".into(), ..keys(tenant, representation) };
            world.send(head.header("if-none-match", &tag)).expect(304);
            seen.push(tag);
        }
    }
}

#[test]
fn a_validator_changes_with_the_document_and_with_the_key_that_signs() {
    let (world, acme) = acme();
    let tags =
        || REPRESENTATIONS.map(|each| world.send(keys(&acme, each)).header("etag").unwrap().to_owned());
    let first = tags();
    acme.edit(|tenant| tenant.keys[1].sign_from = Some(START_MS / 1000 + 100));
    world.advance(3001);
    let second = tags();
    assert!(first.iter().zip(&second).all(|(before, after)| before != after));
    // The next key signs from its time, without another push: the set is the same, the key is another.
    world.advance(100_000);
    let third = tags();
    let same: Vec<_> = second.iter().zip(&third).map(|(before, after)| before == after).collect();
    assert_eq!(same, [true, false, false, false]);
}

#[test]
fn the_public_key_comes_in_the_form_that_is_asked_for_most() {
    let (world, acme) = acme();
    let get = |accept: Option<&str>| {
        let request = acme.request("GET", "/api/public-key/");
        on_both_ways(
            &world,
            accept.into_iter().fold(request, |request, value| request.header("accept", value)),
        )
    };
    let (json, pem, text) = ("application/json", "application/x-pem-file", "text/plain; charset=utf-8");
    for (accept, expected) in [
        (None, json),
        (Some(""), json),
        (Some("*/*"), json),
        (Some("application/json, text/plain, */*"), json),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), json),
        // The `Accept` of java.net.HttpURLConnection.
        (Some("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"), json),
        (Some("text/plain;q=0, */*"), json),
        (Some("application/*"), json),
        (Some("Application/JSON"), json),
        (Some("application/json; indent=4"), json),
        (Some("application/json;charset=utf-8"), json),
        (Some("application/json;q=0.5, application/x-pem-file"), pem),
        (Some("application/x-pem-file"), pem),
        (Some("application/json;q=0, application/*"), pem),
        (Some("text/plain"), text),
        (Some("TEXT/Plain;charset=UTF-8"), text),
        (Some("text/*"), text),
        (Some("text/*, */*;q=0.1"), text),
        (Some("text/plain, */*"), text),
        (Some("application/json;q=0.2, text/plain;q=0.8, application/x-pem-file;q=0.5"), text),
        (Some("text/plain;x=\"a,application/json;q=0\";q=0.1"), text),
        (Some("text/html, text/*;q=0.5, */*;q=0.1"), text),
    ] {
        let answer = get(accept).expect(200);
        assert_eq!(answer.header("content-type"), Some(expected), "{accept:?}");
        assert_eq!(answer.header("vary"), Some("Accept"));
        assert_eq!(answer.text.starts_with("-----BEGIN PUBLIC KEY-----\n"), expected != json);
    }
    for accept in ["text/html", "image/*", "*/*;q=0", "text/plain;q=0", "application/json;q=0.000"] {
        let refused = get(Some(accept)).expect(406);
        let expected = json!({"detail": "Could not satisfy the request Accept header."});
        assert_eq!(refused.json(), expected, "{accept}");
    }
    let by_header = Request::new("GET", "https://auth.example/api/public-key/").header("x-tenant", "acme");
    let answer = world.send(by_header).expect(200);
    let varies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "Vary").map(|(_, by)| by).collect();
    assert_eq!(varies, ["Accept", "X-Tenant"]);
}
