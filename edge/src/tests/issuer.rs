//! A change of issuer or audience: existing tokens stay valid until they expire, and no session ends.

use serde_json::{Value, json};
use shared::tokens::claims::FormerClaims;
use shared::tokens::jws::Jws;

use super::fixture::{Actor, Answered, World, claims, forge, forge_as};

const OLD: &str = "https://auth.example/t/acme";
const NEW: &str = "https://id.acme.example";

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

fn now_secs(world: &World) -> u64 {
    world.memory().now_ms.get() / 1000
}

/// Changes the issuer and the audience as control would: what they were is accepted for `secs`.
fn rename(acme: &Actor, issuer: &str, audience: Option<&str>, secs: u64) {
    let until = now_secs(&acme.world) + secs;
    acme.edit(|tenant| {
        let before = std::mem::replace(&mut tenant.issuer, issuer.into());
        let audience = std::mem::replace(&mut tenant.audience, audience.map(Into::into));
        tenant.former_claims.push(FormerClaims { issuer: before, audience, until });
    });
}

/// The answers to an access token: validate, verify, a forwarded request.
fn at_each_door(acme: &Actor, token: &str) -> [Answered; 3] {
    [
        acme.validate(token),
        acme.post("/api/token/verify/", &json!({"token": token})),
        acme.world.send(acme.request("GET", "/api/user/me/").bearer(token)),
    ]
}

fn statuses(acme: &Actor, token: &str) -> [u16; 3] {
    at_each_door(acme, token).map(|answer| answer.status)
}

#[test]
fn tokens_of_a_former_issuer_are_good_for_their_time_and_sessions_go_on() {
    let (world, acme) = acme();
    let before = acme.sign_in("ada");
    // One is remembered when the issuer changes, and one is met for the first time afterwards.
    let met_later = acme.sign_in("ada");
    acme.validate(&before.access).expect(200);
    rename(&acme, NEW, None, 100);
    world.advance(3001);
    for token in [&before.access, &met_later.access] {
        assert_eq!(statuses(&acme, token), [200; 3]);
        assert_eq!(acme.refresh(token).expect(401).text("detail"), "Token has wrong type");
    }
    let after = acme.refreshed(&before.refresh);
    assert_eq!((&claims(&before.access)["iss"], &claims(&after.access)["iss"]), (&json!(OLD), &json!(NEW)));
    assert_eq!(claims(&after.refresh)["iss"], NEW);
    assert_eq!(statuses(&acme, &after.access), [200; 3]);
    // The former refresh token is one generation behind, within its window.
    acme.refresh(&before.refresh).expect(200);

    // Nothing was pushed since: what the isolate remembers of a token ends with its issuer, not with its `exp`.
    world.advance(97_000);
    assert!(claims(&before.access)["exp"].as_u64().unwrap() > now_secs(&world));
    for token in [&before.access, &met_later.access] {
        let [validate, verify, forwarded] = at_each_door(&acme, token);
        assert_eq!(validate.expect(401).text("detail"), "Token is invalid");
        assert_eq!(verify.expect(401).text("detail"), "Token is invalid");
        assert_eq!(forwarded.expect(401).text("code"), "token_not_valid");
    }
    assert_eq!(statuses(&acme, &after.access), [200; 3]);
    acme.refresh(&met_later.refresh).expect(200);
    world.new_isolate();
    assert_eq!(statuses(&acme, &before.access), [401; 3]);
}

#[test]
fn tokens_of_a_former_audience_are_good_for_their_time() {
    for [old, new] in [[None, Some("api")], [Some("old-api"), Some("api")], [Some("old-api"), None]] {
        let (world, acme) = acme();
        acme.edit(|tenant| tenant.audience = old.map(Into::into));
        let before = acme.sign_in("ada");
        assert_eq!(claims(&before.access).get("aud"), old.map(Value::from).as_ref());
        acme.validate(&before.access).expect(200);
        rename(&acme, OLD, new, 100);
        world.advance(3001);
        assert_eq!(statuses(&acme, &before.access), [200; 3], "{old:?} {new:?}");
        let after = acme.refreshed(&before.refresh);
        assert_eq!(claims(&after.access).get("aud"), new.map(Value::from).as_ref());
        assert_eq!(statuses(&acme, &after.access), [200; 3], "{old:?} {new:?}");
        world.advance(97_000);
        // A tenant without an audience asks for none.
        let status = if new.is_none() { 200 } else { 401 };
        assert_eq!(statuses(&acme, &before.access), [status; 3], "{old:?} {new:?}");
    }
}

#[test]
fn an_isolate_that_has_yet_to_learn_of_an_issuer_asks_before_it_refuses() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    rename(&acme, NEW, Some("api"), 100);
    let mut newer = claims(&tokens.access);
    (newer["iss"], newer["aud"]) = (json!(NEW), json!("api"));
    let validate = |token: &str| world.counted(acme.request("POST", "/api/token/validate/").bearer(token));
    let (answer, batches) = validate(&forge(0, &newer));
    assert_eq!((answer.status, batches), (200, 2), "the feed and the document");
    // A token with an issuer that never existed does not cause repeated reads.
    newer["iss"] = json!("https://never.example");
    for (jti, asks) in [("1", 1), ("2", 0), ("3", 0)] {
        newer["jti"] = json!(jti.repeat(32));
        let (answer, batches) = validate(&forge(0, &newer));
        assert_eq!((answer.status, batches), (401, asks), "{jti}");
    }
    // And without the tenant's signature nothing is asked.
    world.advance(6000);
    acme.validate(&tokens.access).expect(200);
    let kid = Jws::split(&tokens.access).unwrap().access_key_id().unwrap();
    let forged = forge_as(&json!({"alg": "RS256", "typ": "JWT", "kid": kid}), 2, &newer);
    let (answer, batches) = validate(&forged);
    assert_eq!((answer.status, batches), (401, 0));
}
