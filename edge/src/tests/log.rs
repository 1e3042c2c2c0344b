//! The log: every failure, a sample of other requests, and no data of a client.

use serde_json::{Value, json};
use shared::contract::limits::{
    NAME_PER_MINUTE, NETWORK_PER_MINUTE, NETWORK_TOTAL_PER_MINUTE, SESSION_PER_MINUTE,
    TENANT_SESSIONS_PER_MINUTE,
};

use super::fixture::{Actor, PASSWORD, Request, World};
use crate::log::EVERY;

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

fn lines(world: &World) -> Vec<Value> {
    let lines = world.memory().logged.take();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_failure_is_logged_with_its_request_and_route() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    lines(&world);
    world.memory().store_down.set(true);
    let body = json!({"refresh": tokens.refresh});
    for at in 0..250 {
        let request = acme
            .request("POST", "/api/token/refresh/")
            .json(&body)
            .header("x-request-id", &format!("r-{at}"));
        world.send(request).expect(503);
        // A session has so many turns in a minute.
        world.advance(1000);
    }
    world.memory().store_down.set(false);
    let failures: Vec<_> = lines(&world).into_iter().filter(|line| line["level"] == "error").collect();
    assert_eq!(failures.len(), 250);
    assert_eq!(
        failures[249],
        json!({
            "level": "error",
            "message": "answered",
            "method": "POST",
            "route": "api/token/refresh",
            "status": 503,
            "tenant": acme.id(),
            "request_id": "r-249",
        })
    );
    world.memory().control_down.set(true);
    let user = format!("/api/user/users/{}/", acme.user_id("ada"));
    world.send(acme.request("GET", &user).bearer(&tokens.access)).expect(503);
    assert_eq!(lines(&world).last().unwrap()["route"], "api/user/users/*");
}

#[test]
fn of_what_went_well_some_is_logged_on_either_way() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    lines(&world);
    for _ in 0..3 * EVERY {
        acme.validate(&tokens.access).expect(200);
    }
    let logged = lines(&world);
    assert_eq!(logged.len(), 3);
    assert!(logged.iter().all(|line| line["level"] == "info" && line["route"] == "api/token/validate"));
    for _ in 0..3 * EVERY {
        let request = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
        crate::tests::entry::handle_now(&world.app, &request).unwrap();
    }
    let logged = lines(&world);
    assert_eq!(logged.len(), 3);
    assert!(logged.iter().all(|line| line["status"] == 200 && line["tenant"] == json!(acme.id())));
    // Also where the entry gives an answer again.
    for _ in 0..3 * EVERY {
        crate::serve::again(&world.app, crate::tests::entry::NUMBER).unwrap();
    }
    let mut again = lines(&world);
    assert_eq!(again.len(), 3);
    let id = again[0]["request_id"].as_str().map(str::len);
    assert_eq!((id, again[0].as_object_mut().unwrap().remove("request_id").is_some()), (Some(32), true));
    let mut first = logged[0].clone();
    first.as_object_mut().unwrap().remove("request_id");
    assert_eq!(again[0], first);
    let keys = || acme.request("GET", "/.well-known/jwks.json");
    let tag = world.send(keys()).expect(200).header("etag").unwrap().to_owned();
    let reply = crate::tests::entry::handle_now(&world.app, &keys().header("if-none-match", &tag)).unwrap();
    assert!(reply.response.status == 304 && reply.after.keep);
    lines(&world);
    for _ in 0..EVERY {
        crate::serve::again(&world.app, crate::tests::entry::NUMBER).unwrap();
    }
    assert_eq!(lines(&world)[0]["status"], 304);
}

#[test]
fn nothing_that_a_client_sent_is_in_the_log() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let sent = ["secret-word", "203.0.113.9", "ada@example.com", "correct horse", "eyJ"];
    lines(&world);
    for _ in 0..EVERY {
        let url = acme.url("/api/user/users/?search=secret-word&email=ada@example.com");
        let mut request = Request::new("GET", &url).bearer(&tokens.access).header("cookie", "a=secret-word");
        request.client = "203.0.113.9".into();
        world.send(request).expect(200);
        world.send(Request::new("secret-word", "https://secret-word.example/secret-word/")).expect(404);
        world.memory().store_down.set(true);
        acme.post("/api/token/", &json!({"username": "ada@example.com", "password": PASSWORD})).expect(503);
        world.memory().store_down.set(false);
    }
    let logged = lines(&world);
    assert!(logged.len() > EVERY as usize, "{}", logged.len());
    for line in logged.iter().map(Value::to_string) {
        assert!(sent.iter().all(|sent| !line.contains(sent)), "{line}");
    }
}

/// The bindings' limits are numbers of the contract.
#[test]
fn the_deployments_limits_are_the_contracts() {
    let deployment = include_str!("../../../wrangler.toml");
    for (name, most) in [
        ("LIMIT_NETWORK_TOTAL", NETWORK_TOTAL_PER_MINUTE),
        ("LIMIT_NETWORK", NETWORK_PER_MINUTE),
        ("LIMIT_NAME", NAME_PER_MINUTE),
        ("LIMIT_SESSION", SESSION_PER_MINUTE),
        ("LIMIT_TENANT_SESSIONS", TENANT_SESSIONS_PER_MINUTE),
    ] {
        let (_, rest) = deployment.split_once(&format!("name = \"{name}\"\n")).unwrap();
        let (binding, _) = rest.split_once("\n\n").unwrap_or((rest, ""));
        assert!(
            binding.contains(&format!("simple = {{ limit = {most}, period = 60 }}")),
            "{name}: {binding}"
        );
    }
}
