//! The budget of hashes of a tenant: requests above it are refused before the hash, and other tenants are not
//! affected.

use futures::executor::block_on;
use futures::future::join_all;
use serde_json::json;
use shared::contract::limits::{HASHES_AT_ONCE, HASHES_FOR_KNOWN_NETWORKS, HASHES_PER_SEC};

use super::fixture::{Actor, PASSWORD, Request, World};
use crate::serve::handle;

fn request(acme: &Actor, from: &str, name: &str, password: &str) -> Request {
    let body = json!({"username": name, "password": password});
    Request { client: from.into(), ..acme.request("POST", "/api/token/").json(&body) }
}

fn acme(world: &World) -> Actor {
    let acme = world.tenant("acme");
    acme.edit(|tenant| tenant.settings.hashes_per_sec = HASHES_PER_SEC);
    acme.user("ada");
    acme
}

#[test]
fn beyond_the_budget_no_password_is_hashed_and_no_try_is_counted() {
    let world = World::new();
    let acme = acme(&world);
    let globex = world.tenant("globex");
    globex.edit(|tenant| tenant.settings.hashes_per_sec = HASHES_PER_SEC);
    globex.user("ada");
    let strangers = HASHES_AT_ONCE - HASHES_FOR_KNOWN_NETWORKS;
    world.memory().yields.set(true);
    let all = (0..32).map(|at| request(&acme, &format!("198.51.100.{at}"), &format!("user-{at}"), "wrong"));
    let all = block_on(join_all(all.map(|request| handle(&world.app, request))));
    world.memory().yields.set(false);
    let hashed = all.iter().filter(|reply| reply.response.status == 401).count();
    let refused = all.iter().filter(|reply| reply.response.status == 429).count();
    assert_eq!((hashed as u64, refused as u64), (strangers, 32 - strangers));
    assert_eq!(u64::from(world.app.hashes.get()), strangers);
    let counted = "select count from attempts where account = '' and network = ''";
    let counted: i64 = world.memory().db.borrow().query_row(counted, [], |row| row.get(0)).unwrap();
    assert_eq!(u64::try_from(counted).unwrap(), strangers, "the others were given back");
    let mut answers = Vec::new();
    for name in ["ada", "nobody"] {
        let refused = world.send(request(&acme, "203.0.113.9", name, PASSWORD)).expect(429);
        assert_eq!(refused.header("retry-after"), Some("1"));
        answers.push(refused.visible());
    }
    assert_eq!(answers[0], answers[1]);
    globex.sign_in("ada");
    world.advance(1000 / HASHES_PER_SEC);
    acme.sign_in("ada");
}

#[test]
fn strangers_do_not_use_up_what_a_known_network_needs() {
    let world = World::new();
    let acme = acme(&world);
    acme.sign_in("ada");
    world.advance(10_000);
    for at in 0..20 {
        world.send(request(&acme, "203.0.113.9", &format!("user-{at}"), "wrong"));
    }
    for _ in 0..HASHES_FOR_KNOWN_NETWORKS {
        acme.sign_in("ada");
    }
    let batches = world.memory().batches.get();
    acme.try_sign_in("ada", PASSWORD).expect(429);
    assert_eq!(
        world.memory().batches.get(),
        batches,
        "nothing is left for anyone: not even storage is asked"
    );
    world.advance(1000 / HASHES_PER_SEC);
    acme.sign_in("ada");
}

#[test]
fn a_step_up_by_password_is_within_the_budget() {
    let world = World::new();
    let acme = acme(&world);
    let tokens = acme.sign_in("ada");
    let step_up = || {
        let request = acme.request("POST", "/api/step-up/").json(&json!({"password": PASSWORD}));
        world.send(request.bearer(&tokens.access))
    };
    for _ in 1..HASHES_AT_ONCE {
        step_up().expect(200);
    }
    assert_eq!(step_up().expect(429).header("retry-after"), Some("1"));
    world.advance(1000 / HASHES_PER_SEC);
    step_up().expect(200);
}
