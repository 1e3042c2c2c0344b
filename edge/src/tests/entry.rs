//! The synchronous way as `entry/index.mjs` goes it: a request as one text, and a signature checked between two calls.

use std::convert::Infallible;

use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::json;
use shared::ids::Slug;
use shared::tenant::origin::Origin;
use shared::tenant::{KeyState, Status};
use shared::user::UserStatus;

use super::fixture::{Actor, Answered, Memory, Request, Tokens, World, claims, forge};
use crate::after::{After, Reply};
use crate::app::App;
use crate::http::{Body, Incoming, Response};
use crate::platform::Rs256 as _;
use crate::request_text::{FIELDS, POSTED, RequestText};
use crate::serve;
use crate::tokens::access::Unproven;

/// The number of every request of [`handle_now`].
pub const NUMBER: u32 = 0;

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
    let reply = serve::handle_now(app, &asked, NUMBER);
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

fn whole(answer: &Answered) -> Whole {
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

/// What the entry keeps of an answer, and gives again.
pub struct Kept {
    number: u32,
    answer: Answered,
}

/// Answers as the entry does, and keeps what it may.
pub fn keep(world: &World, request: &Request, number: u32) -> Option<Kept> {
    let text = asked(request);
    let reply = serve::handle_now(&world.app, &RequestText::read(&text).unwrap(), number)?;
    block_on(serve::run_after(&world.app, reply.after));
    reply.after.keep.then(|| Kept { number, answer: answered(reply) })
}

/// Status, body and headers.
type Whole = (u16, String, Vec<(String, String)>);

/// An answer without its age, and the age.
fn aged(answer: &Answered) -> (Whole, String) {
    let age = answer.header("wardgate-state-age").unwrap_or_default().to_owned();
    let (status, text, mut headers) = whole(answer);
    headers.retain(|(name, _)| !["Wardgate-State-Age", "X-Request-Id"].contains(&name.as_str()));
    ((status, text, headers), age)
}

/// A change that may decide an answer.
#[derive(Clone, Copy, Debug)]
enum Event {
    Time(u64),
    UserSuspended,
    RolesChanged,
    SessionEnded,
    Renamed,
    TenantSuspended,
    Strict,
    KeyRevoked,
    OriginAllowed,
    FactorDemanded,
    Forgotten,
    Nothing,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..4000u64).prop_map(Event::Time),
        1 => Just(Event::Time(900_000)),
        1 => Just(Event::UserSuspended),
        1 => Just(Event::RolesChanged),
        1 => Just(Event::SessionEnded),
        1 => Just(Event::Renamed),
        1 => Just(Event::TenantSuspended),
        1 => Just(Event::Strict),
        1 => Just(Event::KeyRevoked),
        1 => Just(Event::OriginAllowed),
        1 => Just(Event::FactorDemanded),
        1 => Just(Event::Forgotten),
        4 => Just(Event::Nothing),
    ]
}

fn happen(world: &World, acme: &Actor, tokens: &Tokens, event: Event) {
    match event {
        Event::Time(ms) => world.advance(ms),
        Event::UserSuspended => acme.change("ada", |row| row.status = UserStatus::Suspended),
        Event::RolesChanged => acme.change("ada", |row| row.access_epoch += 1),
        Event::SessionEnded => {
            drop(acme.post("/api/token/blacklist/", &json!({"refresh": tokens.refresh})));
        }
        Event::Renamed => acme.edit(|tenant| tenant.slug = Slug::parse("renamed").unwrap()),
        Event::TenantSuspended => acme.edit(|tenant| tenant.status = Status::Suspended),
        Event::Strict => acme.edit(|tenant| tenant.settings.strict = true),
        Event::KeyRevoked => acme.edit(|tenant| tenant.keys[0].state = KeyState::Revoked),
        Event::OriginAllowed => acme.edit(|tenant| {
            tenant.settings.origins = vec![Origin::parse("https://app.example").unwrap()];
        }),
        Event::FactorDemanded => acme.edit(|tenant| {
            tenant.settings.second_factor_roles = vec!["staff".into()];
        }),
        Event::Forgotten => drop(world.app.shard_cache.take()),
        Event::Nothing => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens between two requests that are the same: an answer that is given again is the one that would be
    /// given anew, its age too.
    #[test]
    fn an_answer_is_given_again_only_while_it_is_the_answer(events in prop::collection::vec(event(), 1..8)) {
        let (world, acme, tokens) = acme();
        acme.validate(&tokens.access).expect(200);
        let request = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
        let request = request.header("origin", "https://app.example");
        let mut kept = keep(&world, &request, 1);
        prop_assert!(kept.is_some());
        for (at, event) in events.into_iter().enumerate() {
            happen(&world, &acme, &tokens, event);
            let again = kept.as_ref().and_then(|kept| serve::again(&world.app, kept.number));
            let before = world.memory().batches.get();
            let anew = keep(&world, &request, u32::try_from(at).unwrap() + 2);
            if let Some((again, kept)) = again.zip(kept.as_ref()) {
                let Some(anew) = &anew else {
                    panic!("{event:?}: the answer is not known without reading, and was given again");
                };
                prop_assert_eq!(aged(&kept.answer).0, aged(&anew.answer).0, "{:?}", event);
                let tenths = format!("{}.{}", again.age_ms / 1000, again.age_ms / 100 % 10);
                prop_assert_eq!(tenths, aged(&anew.answer).1);
                prop_assert!(world.memory().batches.get() == before, "the feed is read once a second");
                let after = After { read_feed: again.read_feed, ..After::NOTHING };
                block_on(serve::run_after(&world.app, after));
            }
            let ordinary = world.send(request.clone());
            if let (Some(again), Some(kept)) = (again, &kept) {
                // Within the age that the answer says.
                let is_told = aged(&ordinary).0 == aged(&kept.answer).0 || again.age_ms <= 3000;
                prop_assert!(is_told, "{event:?}");
            }
            kept = keep(&world, &request, 100 + u32::try_from(at).unwrap()).or(kept);
        }
    }
}

#[test]
fn a_good_answer_is_kept_and_given_again_without_storage() {
    let (world, acme, tokens) = acme();
    acme.validate(&tokens.access).expect(200);
    for method in ["POST", "GET"] {
        let request = acme.request(method, "/api/token/validate/").bearer(&tokens.access);
        let kept = keep(&world, &request, 7).unwrap();
        assert_eq!(kept.answer.header("x-request-id"), None, "none is made");
        let batches = world.memory().batches.get();
        let again = serve::again(&world.app, 7).unwrap();
        assert_eq!((again.read_feed, world.memory().batches.get()), (false, batches));
        world.advance(1500);
        let again = serve::again(&world.app, 7).unwrap();
        assert_eq!((again.read_feed, again.age_ms / 100), (true, 15));
        block_on(serve::run_after(&world.app, After { read_feed: true, ..After::NOTHING }));
        assert_eq!(serve::again(&world.app, 8), None, "of another number nothing is known");
    }
    // What is not the same for each of them is not kept.
    let validate = |token: &str| acme.request("POST", "/api/token/validate/").bearer(token);
    for request in [
        validate(&tokens.access).header("x-request-id", "a"),
        validate(&tokens.refresh),
        acme.request("HEAD", "/api/token/validate/").bearer(&tokens.access),
        acme.request("GET", "/healthz"),
        acme.request("GET", "/api/public-key/"),
    ] {
        assert!(keep(&world, &request, 9).is_none(), "{} {}", request.method, request.url);
    }
    acme.change("ada", |row| row.status = UserStatus::Suspended);
    world.advance(1001);
    acme.validate("abc").expect(401);
    assert_eq!(serve::again(&world.app, 7), None, "the user is suspended");
}

#[test]
fn public_keys_are_given_again_until_the_document_changes() {
    let (world, acme, _) = acme();
    let request = acme.request("GET", "/.well-known/jwks.json");
    let kept = keep(&world, &request, 1).unwrap();
    assert!(serve::again(&world.app, 1).is_some());
    assert_eq!(aged(&kept.answer), aged(&world.send(request.clone())));
    world.advance(3001);
    assert_eq!(serve::again(&world.app, 1), None, "a read is needed first");
    acme.validate("abc").expect(401);
    assert!(serve::again(&world.app, 1).is_some());
    acme.edit(|tenant| tenant.keys[0].state = KeyState::Revoked);
    world.advance(1001);
    acme.validate("abc").expect(401);
    assert_eq!(serve::again(&world.app, 1), None);
    let anew = world.send(request.clone()).expect(200);
    let kept = keep(&world, &request, 2).unwrap();
    assert_eq!(aged(&kept.answer), aged(&anew));
}
