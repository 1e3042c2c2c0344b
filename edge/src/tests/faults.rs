//! What fails on purpose: D1, KV, control. Never a guess, never a wrong answer, nothing lost.

use serde_json::json;
use shared::tenant::{KeyState, Status};

use super::fixture::{Actor, OLD_KEY, PASSWORD, Request, World, claims, forge, signing_key};
use crate::inside::sweep::clean;

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

#[test]
fn without_the_database_nothing_is_guessed() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    world.memory().store_down.set(true);
    for (path, body) in [
        ("/api/token/", json!({"username": "ada", "password": PASSWORD})),
        ("/api/login/", json!({"username": "ada", "password": PASSWORD})),
        ("/api/token/refresh/", json!({"refresh": tokens.refresh})),
        ("/api/token/blacklist/", json!({"refresh": tokens.refresh})),
        ("/api/token/verify/", json!({"token": tokens.refresh})),
        ("/api/logout/", json!({"refresh": tokens.refresh})),
    ] {
        let refused = acme.post(path, &body).expect(503);
        assert_eq!(refused.text("code"), "unavailable", "{path}");
        assert!(refused.header("retry-after").is_some());
    }
    world.advance(1000);
    world.send(super::fixture::Request::new("GET", "https://auth.example/readyz")).expect(503);
    world.send(super::fixture::Request::new("GET", "https://auth.example/healthz")).expect(200);
    world.memory().store_down.set(false);
    acme.refresh(&tokens.refresh).expect(200);
}

#[test]
fn readiness_costs_a_read_once_a_second() {
    let (world, _) = acme();
    let ready = || super::fixture::Request::new("GET", "https://auth.example/readyz");
    world.advance(1000);
    assert_eq!(world.counted(ready()).1, 1);
    world.advance(999);
    let (answer, batches) = world.counted(ready());
    assert_eq!((answer.status, batches), (200, 0));
    assert_eq!(answer.json(), json!({"status": "ready", "state_age_secs": 0.9}));
    world.advance(1);
    assert_eq!(world.counted(ready()).1, 1);
}

#[test]
fn known_tenants_validate_up_to_their_staleness_limit() {
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.settings.access_ttl_secs = 900);
    acme.edit(|tenant| tenant.settings.staleness_limit_secs = 600);
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    world.memory().store_down.set(true);
    world.advance(599_000);
    let served = acme.validate(&tokens.access).expect(200);
    assert_eq!(served.header("wardgate-state-age"), Some("599.0"));
    world.advance(2000);
    acme.validate(&tokens.access).expect(503);
    world.new_isolate();
    acme.validate(&tokens.access).expect(503);
    world.memory().store_down.set(false);
    acme.validate(&tokens.access).expect(200);
}

#[test]
fn kv_decides_nothing() {
    for fault in ["emptied", "frozen", "down"] {
        let (world, acme) = acme();
        let tokens = acme.sign_in("ada");
        match fault {
            "emptied" => world.memory().kv.borrow_mut().clear(),
            "frozen" => world.memory().kv_frozen.set(true),
            _ => world.memory().kv_down.set(true),
        }
        acme.edit(|tenant| tenant.settings.access_ttl_secs = 60);
        world.new_isolate();
        acme.sign_in("ada");
        acme.validate(&tokens.access).expect(200);
        acme.edit(|tenant| tenant.status = Status::Suspended);
        world.new_isolate();
        assert_eq!(acme.validate(&tokens.access).expect(401).text("detail"), "Token is invalid", "{fault}");
        world.new_isolate();
        acme.try_sign_in("ada", PASSWORD).expect(403);
    }
}

/// A copy of a tenant in KV, changed by an attacker who can write to KV but not to D1.
fn forge_copy(world: &World, acme: &Actor, change: impl FnOnce(&mut shared::tenant::Tenant)) {
    let key = crate::tenants::find::document_key(acme.id());
    let mut kv = world.memory().kv.borrow_mut();
    let mut copy: shared::tenant::Tenant = serde_json::from_str(&kv[&key]).unwrap();
    change(&mut copy);
    kv.insert(key, serde_json::to_string(&copy).unwrap());
}

#[test]
fn a_forged_copy_of_the_right_revision_is_not_believed() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let stranger = signing_key(acme.id(), OLD_KEY, KeyState::Active, None);
    let kid = stranger.kid.clone();
    forge_copy(&world, &acme, |copy| copy.keys.push(stranger));
    let forged = forge(OLD_KEY, &claims(&tokens.access));
    world.new_isolate();
    let refused = acme.validate(&forged).expect(401);
    assert_eq!(
        refused.json(),
        json!({"valid": false, "detail": "Token is invalid", "code": "token_not_valid"})
    );
    let jwks = world.send(acme.request("GET", "/api/.well-known/jwks.json")).expect(200).text;
    assert!(!jwks.contains(kid.as_str()), "{jwks}");
    acme.validate(&tokens.access).expect(200);
    acme.sign_in("ada");
}

#[test]
fn a_forged_copy_brings_no_tenant_back_and_changes_no_rule() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.edit(|tenant| tenant.status = Status::Suspended);
    forge_copy(&world, &acme, |copy| copy.status = Status::Active);
    world.new_isolate();
    acme.validate(&tokens.access).expect(401);
    acme.edit(|tenant| tenant.status = Status::Active);
    forge_copy(&world, &acme, |copy| copy.settings.access_ttl_secs = 900);
    world.new_isolate();
    let issued = claims(&acme.sign_in("ada").access);
    assert_eq!(issued["exp"].as_i64().unwrap() - issued["iat"].as_i64().unwrap(), 300);
}

#[test]
fn a_forged_name_leads_to_no_other_tenant() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    let globex = world.tenant("globex");
    for name in ["slug:acme", "host:acme.example", "slug:invented"] {
        let key = crate::tenants::find::name_key(name);
        world.memory().kv.borrow_mut().insert(key, globex.id().to_string());
    }
    world.new_isolate();
    assert_eq!(acme.validate(&tokens.access).expect(200).text("tenant"), acme.id().to_string());
    acme.sign_in("ada");
    let invented = Request::new("GET", "https://auth.example/t/invented/api/public-key/");
    world.send(invented).expect(404);
}

#[test]
fn a_true_copy_saves_the_document_its_way() {
    let (world, acme) = acme();
    world.new_isolate();
    world.memory().db.borrow().execute_batch("update tenants set document = 'not read'").unwrap();
    acme.sign_in("ada");
}

#[test]
fn a_copy_in_kv_that_failed_is_put_again_by_the_cron() {
    let (world, acme) = acme();
    world.memory().kv_down.set(true);
    acme.edit(|tenant| tenant.settings.access_ttl_secs = 60);
    world.memory().kv_down.set(false);
    let key = format!("tenant/{}", acme.id());
    let copied = || {
        serde_json::from_str::<serde_json::Value>(&world.memory().kv.borrow()[&key]).unwrap()["doc_rev"]
            .clone()
    };
    assert_ne!(copied(), acme.rev.get());
    futures::executor::block_on(clean(&world.app)).unwrap();
    assert_eq!(copied(), acme.rev.get());
}

#[test]
fn a_restored_database_is_noticed() {
    let (world, acme) = acme();
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    let change = "update shard set incarnation = 'another'; update tenants set status = 'suspended'";
    world.memory().db.borrow().execute_batch(change).unwrap();
    world.memory().db.borrow().execute_batch("delete from feed").unwrap();
    acme.edit(|tenant| tenant.status = Status::Suspended);
    world.advance(3001);
    acme.validate(&tokens.access).expect(401);
}

#[test]
fn one_run_of_the_cron_sweeps_more_than_a_chunk() {
    let (world, _) = acme();
    let invented = "insert into attempts (tenant, account, network, ends, count, open_at, counted_by)
        with recursive n (n) as (select 1 union all select n + 1 from n where n < 2500)
        select 't', n, '', 0, 1, 0, '' from n";
    world.memory().db.borrow().execute_batch(invented).unwrap();
    futures::executor::block_on(clean(&world.app)).unwrap();
    let left = "select count(*) from attempts";
    let left: i64 = world.memory().db.borrow().query_row(left, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn the_cron_sweeps_what_is_over_and_nothing_else() {
    let (world, acme) = acme();
    let idle = acme.sign_in("ada");
    let ended = acme.sign_in("ada");
    acme.try_sign_in("nobody", PASSWORD).expect(401);
    acme.post("/api/token/blacklist/", &json!({"refresh": ended.refresh})).expect(200);
    world.advance(100_000_000);
    let living = acme.sign_in("ada");
    let count = |table: &str| -> i64 {
        let text = format!("select count(*) from {table}");
        world.memory().db.borrow().query_row(&text, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("families"), 3);
    for _ in 0..3 {
        futures::executor::block_on(clean(&world.app)).unwrap();
    }
    assert_eq!(count("families"), 2, "the ended one; the idle one has a day of grace");
    let own = "attempts where account <> '' and network <> ''";
    assert_eq!((count("attempts"), count(own), count("networks")), (1, 1, 1));
    world.advance(86_400_000 / 2);
    let living = acme.refreshed(&living.refresh);
    world.advance(86_400_000 / 2);
    for _ in 0..3 {
        futures::executor::block_on(clean(&world.app)).unwrap();
    }
    assert_eq!(count("families"), 1);
    acme.refresh(&idle.refresh).expect(401);
    acme.refresh(&living.refresh).expect(200);
}
