//! The synchronous way as `entry/index.mjs` goes it: a request as one text, and a signature checked between two calls.

use std::convert::Infallible;

use futures::executor::block_on;
use serde_json::json;
use shared::tenant::{KeyState, Status};

use super::fixture::{Actor, Answered, Memory, Request, Tokens, World, claims, forge};
use crate::after::Reply;
use crate::app::App;
use crate::http::{Body, Incoming, Response};
use crate::platform::Rs256 as _;
use crate::request_text::{FIELDS, POSTED, RequestText};
use crate::serve;
use crate::tokens::access::Unproven;

/// A request as the entry writes it.
fn asked(request: &Request) -> String {
    let brought = if request.method == "POST" { POSTED } else { FIELDS.len() };
    let line = |name: &&str| request.header(name).map_or(String::new(), |value| format!("={value}"));
    let fields: Vec<String> = FIELDS.iter().take(brought).map(line).collect();
    format!("{}\n{}\n{}", request.method, request.url, fields.join("\n"))
}

/// The synchronous way, as the entry goes it.
pub fn handle_now(app: &App<Memory>, request: &Request) -> Option<Reply<Infallible>> {
    let text = asked(request);
    let asked = RequestText::read(&text).unwrap();
    let reply = serve::handle_now(app, &asked);
    assert!(!asked.was_lacking(), "more was asked than {text}");
    reply
}

fn begin(world: &World, request: &Request) -> Option<Unproven> {
    let text = asked(request);
    let asked = RequestText::read(&text).unwrap();
    let begun = serve::begin_now(&world.app, &asked);
    assert!(!asked.was_lacking(), "more was asked than {text}");
    begun
}

/// Whether the signature holds, and what is answered then.
fn finish(world: &World, request: &Request, unproven: Unproven) -> (bool, Option<Answered>) {
    let (key, input, signature) = unproven.parts().unwrap();
    let holds = block_on(world.memory().verify(key, input, signature)).unwrap();
    let text = asked(request);
    let asked = RequestText::read(&text).unwrap();
    let reply = serve::handle_checked(&world.app, &asked, unproven, holds);
    assert!(!asked.was_lacking(), "more was asked than {text}");
    (holds, reply.map(answered))
}

fn answered(reply: Reply<Infallible>) -> Answered {
    let Response { status, headers, body } = reply.response;
    let body = match body {
        Body::Empty => Body::Empty,
        Body::Text(text) => Body::Text(text),
        Body::Stream(never) => match never {},
    };
    Answered::from(Response { status, headers, body })
}

fn acme() -> (World, Actor, Tokens) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    // The tenant is known, the token is not.
    acme.validate("abc").expect(401);
    (world, acme, tokens)
}

fn validate(acme: &Actor, token: &str) -> Request {
    acme.request("POST", "/api/token/validate/").bearer(token).header("x-request-id", "a")
}

fn whole(answer: &Answered) -> (u16, String, Vec<(String, String)>) {
    let mut headers = answer.headers.clone();
    headers.sort();
    (answer.status, answer.text.clone(), headers)
}

#[test]
fn a_signature_is_checked_between_two_calls_without_storage() {
    let (world, acme, tokens) = acme();
    let good = validate(&acme, &tokens.access);
    let [header, payload, _] = tokens.access.split('.').collect::<Vec<_>>().try_into().unwrap();
    let forged = forge(1, &claims(&tokens.access));
    let foreign = forged.rsplit('.').next().unwrap();
    let bad = validate(&acme, &format!("{header}.{payload}.{foreign}"));
    for (request, held, status) in [(good, true, 200), (bad, false, 401)] {
        assert!(handle_now(&world.app, &request).is_none(), "the signature has not been checked yet");
        let batches = world.memory().batches.get();
        let unproven = begin(&world, &request).unwrap();
        let (holds, answer) = finish(&world, &request, unproven);
        let answer = answer.unwrap().expect(status);
        assert_eq!((holds, world.memory().batches.get()), (held, batches));
        assert_eq!(handle_now(&world.app, &request).is_some(), held, "it is remembered if it holds");
        assert_eq!(whole(&answer), whole(&world.send(request)));
    }
}

#[test]
fn what_lacks_more_than_a_signature_goes_the_ordinary_way() {
    let (world, acme, tokens) = acme();
    let beta = world.tenant("beta");
    beta.user("ada");
    let theirs = beta.sign_in("ada");
    let good = claims(&tokens.access);
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        forge(0, &claims)
    };
    for token in [
        "abc",
        "a.b.c",
        &tokens.refresh,
        &theirs.access,
        &forge(2, &good),
        &with("exp", json!(1)),
        &with("token_type", json!("refresh")),
        &with("iss", json!("https://evil.example")),
    ] {
        assert!(begin(&world, &validate(&acme, token)).is_none(), "{token}");
    }
    let good = validate(&acme, &tokens.access);
    assert!(begin(&world, &good).is_some());
    assert!(begin(&world, &acme.request("PUT", "/api/token/validate/").bearer(&tokens.access)).is_none());
    assert!(begin(&world, &acme.request("GET", "/api/user/users/").bearer(&tokens.access)).is_none());
    assert!(begin(&world, &acme.request("POST", "/api/token/validate/")).is_none());
    world.advance(3001);
    assert!(begin(&world, &good).is_none(), "a read is needed first");
    for change in [(|tenant| tenant.settings.strict = true) as fn(&mut shared::tenant::Tenant), |tenant| {
        (tenant.settings.strict, tenant.status) = (false, Status::Suspended)
    }] {
        acme.edit(change);
        world.advance(3001);
        acme.validate("abc").expect(401);
        assert!(begin(&world, &good).is_none());
    }
}

/// What an isolate learns while a signature is checked, counts.
#[test]
fn what_changes_meanwhile_is_in_force() {
    let denied = |world: &World, acme: &Actor, tokens: &Tokens, meanwhile: &dyn Fn()| {
        let request = validate(acme, &tokens.access);
        let unproven = begin(world, &request).unwrap();
        meanwhile();
        let (holds, answer) = finish(world, &request, unproven);
        assert!(holds);
        answer
    };
    let (world, acme, tokens) = acme();
    let end = || drop(acme.post("/api/token/blacklist/", &json!({"refresh": tokens.refresh})).expect(200));
    let ended = denied(&world, &acme, &tokens, &end).unwrap().expect(401);
    assert_eq!(ended.text("detail"), "Token is blacklisted");
    let tokens = acme.sign_in("ada");
    assert!(denied(&world, &acme, &tokens, &|| drop(world.app.shard_cache.take())).is_none(), "forgotten");
    let tokens = acme.sign_in("ada");
    acme.validate("abc").expect(401);
    let revoke = || {
        acme.edit(|tenant| tenant.keys[0].state = KeyState::Revoked);
        world.advance(1001);
        acme.validate("abc").expect(401);
    };
    assert!(denied(&world, &acme, &tokens, &revoke).is_none(), "a newer document");
    acme.validate(&tokens.access).expect(401);
}
