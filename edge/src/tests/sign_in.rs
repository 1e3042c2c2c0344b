//! Sign-in: one work and one answer whatever happens, counted tries, families.

use serde_json::json;
use shared::contract::limits::{NAME_PER_MINUTE, SHARD_REFUSALS, TENANT_REFUSALS};
use shared::user::UserStatus;
use shared::wire::facts::DrainIn;
use shared::wire::signature::Tag;

use super::fixture::{Actor, PASSWORD, Request, World, claims};
use crate::platform::Limit;
use crate::sql;

#[test]
fn a_user_signs_in_by_every_spelling_and_gets_the_claims_of_the_contract() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada@bücher.example");
    for name in ["ada@bücher.example", " ADA@xn--bcher-kva.EXAMPLE "] {
        acme.try_sign_in(name, PASSWORD).expect(200);
    }
    acme.post("/api/token/", &json!({"email": "ada@bücher.example", "password": PASSWORD})).expect(200);
    let tokens = acme.sign_in("ada@bücher.example");
    let access = claims(&tokens.access);
    assert_eq!(access["sub"], ada.to_string());
    assert_eq!(access["user_id"], ada.to_string());
    assert_eq!(access["iss"], "https://auth.example/t/acme");
    assert_eq!(access["roles"], json!(["staff"]));
    assert_eq!(access["amr"], json!(["pwd"]));
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 300);
    assert!(access.get("aud").is_none() && access.get("nbf").is_none());
    assert!(tokens.access.len() < 1500);
    let login = acme
        .post("/api/login/", &json!({"username": "ada@bücher.example", "password": PASSWORD}))
        .expect(200);
    assert_eq!(login.json()["user"], json!({"id": ada, "roles": ["staff"], "tenant": acme.id()}));
}

#[test]
fn a_form_signs_in_too() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let mut request =
        acme.request("POST", "/api/token/").header("content-type", "application/x-www-form-urlencoded");
    request.body = b"username=ada&password=correct+horse+battery".to_vec();
    world.send(request).expect(200);
}

#[test]
fn every_reason_looks_and_costs_the_same() {
    let world = World::new();
    let acme = world.tenant("acme");
    for name in ["wrong", "suspended", "bare", "pending", "deleted"] {
        acme.user(name);
    }
    acme.change("suspended", |row| row.status = UserStatus::Suspended);
    acme.change("pending", |row| row.status = UserStatus::Pending);
    acme.change("deleted", |row| row.status = UserStatus::Deleted);
    acme.change("bare", |row| row.verifier = None);
    acme.sign_in("wrong");
    let long = "x".repeat(2000);
    let attempt = |name: &str, password: &str| {
        let (hashes, batches) = (world.app.hashes.get(), world.memory().batches.get());
        let answer = acme.try_sign_in(name, password);
        (answer.visible(), world.app.hashes.get() - hashes, world.memory().batches.get() - batches)
    };
    let expected = attempt("wrong", "not the password");
    assert_eq!(expected.0.0, 401);
    assert_eq!(expected.0.1, r#"{"detail":"No active account found with the given credentials"}"#);
    assert_eq!((expected.1, expected.2), (1, 2));
    for (name, password) in [
        ("nobody", PASSWORD),
        ("suspended", PASSWORD),
        ("pending", PASSWORD),
        ("deleted", PASSWORD),
        ("bare", PASSWORD),
        ("wrong", long.as_str()),
        (long.as_str(), PASSWORD),
        ("a name with blanks", PASSWORD),
        ("a@b@\u{0}", PASSWORD),
    ] {
        assert_eq!(attempt(name, password), expected, "{name:.20} {password:.20}");
    }
}

#[test]
fn ten_wrong_tries_and_then_right_ones_wait_too() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    for name in ["ada", "nobody"] {
        for _ in 0..10 {
            acme.try_sign_in(name, "wrong").expect(401);
        }
        world.advance(1000);
        let refused = acme.try_sign_in(name, PASSWORD).expect(429);
        assert_eq!(refused.header("retry-after"), Some("29"));
        assert_eq!(refused.text("detail"), "Request was throttled. Expected available in 29 seconds.");
        acme.try_sign_in(name, "wrong").expect(429);
        world.advance(29_000);
    }
    acme.sign_in("ada");
}

#[test]
fn a_try_that_holds_its_body_back_counts_when_it_arrives() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let wrong = json!({"username": "ada", "password": "wrong"});
    let held = acme.request("POST", "/api/token/").json(&wrong).before_body({
        let world = world.clone();
        move || world.advance(3_600_000)
    });
    world.send(held).expect(401);
    // The window began with the try, not with the connection, so that the cron cannot sweep it early.
    futures::executor::block_on(crate::inside::sweep::clean(&world.app)).unwrap();
    world.advance(1);
    futures::executor::block_on(crate::inside::sweep::clean(&world.app)).unwrap();
    for _ in 0..9 {
        acme.try_sign_in("ada", "wrong").expect(401);
    }
    acme.try_sign_in("ada", "wrong").expect(429);
}

#[test]
fn a_right_password_gives_its_own_try_back() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    for _ in 0..9 {
        acme.try_sign_in("ada", "wrong").expect(401);
    }
    for _ in 0..20 {
        acme.sign_in("ada");
    }
    acme.try_sign_in("ada", "wrong").expect(401);
    acme.try_sign_in("ada", PASSWORD).expect(429);
}

#[test]
fn the_binding_stands_in_front_of_storage_and_hash() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.sign_in("ada");
    for limit in [Limit::NetworkTotal, Limit::Network, Limit::Name] {
        world.memory().limited.set(Some(limit));
        let (batches, hashes) = (world.memory().batches.get(), world.app.hashes.get());
        acme.try_sign_in("ada", PASSWORD).expect(429);
        assert_eq!((world.memory().batches.get(), world.app.hashes.get()), (batches, hashes));
    }
}

#[test]
fn the_limits_by_network_stand_in_front_of_step_ups_as_well() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    let step_up = acme.request("POST", "/api/step-up/").json(&json!({"password": PASSWORD}));
    let step_up = step_up.bearer(&tokens.access);
    let (batches, hashes) = (world.memory().batches.get(), world.app.hashes.get());
    for limit in [Limit::NetworkTotal, Limit::Network] {
        world.memory().limited.set(Some(limit));
        world.send(step_up.clone()).expect(429);
        assert_eq!((world.memory().batches.get(), world.app.hashes.get()), (batches, hashes));
    }
    world.memory().limited.set(None);
    world.send(step_up).expect(200);
}

#[test]
fn one_network_does_not_use_up_what_others_may_try_of_a_name() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    for _ in 0..NAME_PER_MINUTE {
        acme.try_sign_in("ada", "wrong");
    }
    let batches = world.memory().batches.get();
    let refused = acme.try_sign_in("ada", PASSWORD).expect(429);
    assert_eq!((refused.header("retry-after"), world.memory().batches.get()), (Some("60"), batches));
    let body = json!({"username": "ada", "password": PASSWORD});
    let elsewhere = acme.request("POST", "/api/token/").json(&body);
    world.send(Request { client: "192.0.2.2".into(), ..elsewhere }).expect(200);
}

/// Refused tries of one name cost no hash once its window is full.
fn guess(world: &World, tenants: &[Actor], tries: usize) {
    for at in 0..tries {
        let tenant = &tenants[at % tenants.len()];
        let refused = tenant.try_sign_in("nobody", "wrong").status;
        assert!(matches!(refused, 401 | 429), "{refused}");
    }
    assert!(world.app.hashes.get() <= 10 * u32::try_from(tenants.len()).unwrap() + 1);
}

#[test]
fn a_network_has_one_limit_over_all_tenants() {
    let world = World::new();
    let tenants = ["acme", "globex", "initech"].map(|slug| world.tenant(slug));
    tenants[2].user("ada");
    guess(&world, &tenants, 1999);
    tenants[2].sign_in("ada");
    let (batches, hashes) = (world.memory().batches.get(), world.app.hashes.get());
    let refused = tenants[2].try_sign_in("ada", PASSWORD).expect(429);
    assert_eq!(refused.json(), json!({"detail": "Request was throttled. Expected available in 60 seconds."}));
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!((world.memory().batches.get(), world.app.hashes.get()), (batches, hashes));
    let body = json!({"username": "ada", "password": PASSWORD});
    let elsewhere = tenants[2].request("POST", "/api/token/").json(&body);
    world.send(Request { client: "192.0.2.2".into(), ..elsewhere }).expect(200);
}

#[test]
fn invented_tenants_are_charged_too_and_cost_nothing_over_the_limit() {
    let world = World::new();
    world.memory().limited.set(Some(Limit::NetworkTotal));
    let batches = world.memory().batches.get();
    let url = "https://auth.example/t/invented/api/token/";
    let body = json!({"username": "ada", "password": PASSWORD});
    world.send(Request::new("POST", url).json(&body)).expect(429);
    assert_eq!(world.memory().batches.get(), batches);
}

fn invented(at: usize) -> Request {
    Request::new("GET", &format!("https://auth.example/t/invented-{at}/.well-known/jwks.json"))
}

#[test]
fn a_gateway_meets_any_number_of_tenants_at_validate() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    for _ in 0..1001 {
        world.new_isolate();
        acme.validate(&tokens.access).expect(200);
    }
}

#[test]
fn a_stranger_with_invented_names_shuts_no_tenant_out() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    world.new_isolate();
    for at in 0..1001 {
        world.send(invented(at)).expect(404);
    }
    let batches = world.memory().batches.get();
    for at in 1001..1101 {
        let refused = world.send(invented(at)).expect(429);
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(world.memory().batches.get(), batches, "no storage for more of them");
    acme.validate(&tokens.access).expect(200);
    acme.sign_in("ada");
    world.memory().kv.borrow_mut().clear();
    world.app.shard_cache.take();
    let refused = acme.validate(&tokens.access).expect(503);
    assert_eq!(refused.text("code"), "unavailable");
    world.advance(1000);
    acme.validate(&tokens.access).expect(200);
}

fn facts(world: &World) -> Vec<serde_json::Value> {
    let drain = DrainIn { shard: 0, acknowledge: None, limit: 500 };
    let drained = world.signed("/internal/v1/drain", Tag::Drain, &drain).expect(200).json();
    drained["facts"].as_array().unwrap().clone()
}

/// Writes rows of refused invented names, up to the limit of a tenant.
fn fill(world: &World, tenant: &str, rows: u32) {
    let minute = world.memory().now_ms.get() / 60_000 * 60_000;
    let text = format!(
        "insert into refusals (tenant, name_hash, network, minute, id, count)
         with recursive n (n) as (select 1 union all select n + 1 from n where n < {rows})
         select '{tenant}', n, '198.51.100.1', {minute}, '{tenant}' || n, 1 from n"
    );
    world.memory().db.borrow().execute_batch(&text).unwrap();
}

fn rows(world: &World, text: &str) -> i64 {
    world.memory().db.borrow().query_row(text, [], |row| row.get(0)).unwrap()
}

#[test]
fn names_that_are_invented_at_other_tenants_hide_no_guessing() {
    let world = World::new();
    let acme = world.tenant("acme");
    for at in 0..10 {
        fill(&world, &format!("t{at}"), TENANT_REFUSALS);
    }
    acme.try_sign_in("ada", "wrong").expect(401);
    assert_eq!(rows(&world, &format!("select count from refusals where tenant = '{}'", acme.id())), 1);
}

#[test]
fn a_full_table_counts_what_it_has_on_and_what_it_drops() {
    for full in ["the tenant's share", "the shard's"] {
        let world = World::new();
        let acme = world.tenant("acme");
        acme.try_sign_in("ada", "wrong").expect(401);
        match full {
            "the shard's" => fill(&world, "t", SHARD_REFUSALS),
            _ => fill(&world, &acme.id().to_string(), TENANT_REFUSALS),
        }
        for name in ["ada", "ada", "bob", "eve", "bob"] {
            acme.try_sign_in(name, "wrong").expect(401);
        }
        world.memory().db.borrow().execute_batch("delete from refusals where network like '198%'").unwrap();
        world.advance(60_000);
        let facts = facts(&world);
        let told: Vec<_> = facts.iter().map(|fact| (&fact["kind"], &fact["count"])).collect();
        assert_eq!(
            told,
            [(&json!("sign_in_refused"), &json!(3)), (&json!("refusals_dropped"), &json!(3))],
            "{full}"
        );
        assert_eq!(facts[1]["tenant"], acme.id().to_string());
        assert_eq!(facts[1]["name_hash"], json!(null));
        assert_eq!(rows(&world, "select count(*) from refusals_dropped"), 0);
    }
}

#[test]
fn what_is_drained_makes_room() {
    let world = World::new();
    let acme = world.tenant("acme");
    let tenant = acme.id().to_string();
    fill(&world, &tenant, TENANT_REFUSALS);
    assert_eq!(rows(&world, "select max(count) from refusals_waiting"), 1000);
    world.memory().db.borrow().execute_batch("delete from refusals").unwrap();
    assert_eq!(rows(&world, "select sum(count) from refusals_waiting"), 0);
    acme.try_sign_in("ada", "wrong").expect(401);
    assert_eq!(rows(&world, "select count(*) from refusals_dropped"), 0);
}

#[test]
fn what_changes_while_the_hash_runs_wins() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.sign_in("ada");
    for change in [
        "update users set status = 'suspended', session_epoch = 1, rev = 90",
        "update users set status = 'active', session_epoch = 2, rev = 91",
        "update users set status = 'deleted', session_epoch = 3, rev = 92",
        r#"update users set needs = '["a word of a later release"]', rev = 93"#,
    ] {
        world
            .memory()
            .db
            .borrow()
            .execute_batch("update users set status = 'active', verifier = verifier")
            .unwrap();
        // The first batch reads the user as before; the change commits just before the second.
        let armed = world.clone();
        *world.memory().meanwhile.borrow_mut() = Some(Box::new(move |_| {
            *armed.memory().meanwhile.borrow_mut() =
                Some(Box::new(move |db| db.execute_batch(change).unwrap()));
        }));
        acme.try_sign_in("ada", PASSWORD).expect(401);
        let born = "select count(*) from families";
        let born: i64 = world.memory().db.borrow().query_row(born, [], |row| row.get(0)).unwrap();
        assert_eq!(born, 1, "only the first sign-in's family: {change}");
    }
}

#[test]
fn a_tenant_that_is_suspended_while_the_hash_runs_opens_no_session() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    let armed = world.clone();
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    *world.memory().meanwhile.borrow_mut() = Some(Box::new(move |_| {
        let change = "update tenants set status = 'suspended', rev = 90";
        *armed.memory().meanwhile.borrow_mut() = Some(Box::new(move |db| db.execute_batch(change).unwrap()));
    }));
    let refused = acme.try_sign_in("ada", PASSWORD).expect(403);
    assert_eq!(refused.text("code"), "tenant_suspended");
    let living = sql::LIVING_FAMILIES.bind([acme.id().to_string().into(), ada.to_string().into(), 0.into()]);
    assert_eq!(world.memory().run(&living).len(), 0);
}

#[test]
fn the_hundred_and_first_family_ends_the_least_recently_rotated_one() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    let first = acme.sign_in("ada");
    world.advance(1000);
    let second = acme.sign_in("ada");
    world.advance(1000);
    let first = acme.refreshed(&first.refresh);
    for _ in 0..98 {
        world.advance(1);
        acme.sign_in("ada");
    }
    let living = sql::LIVING_FAMILIES.bind([acme.id().to_string().into(), ada.to_string().into(), 0.into()]);
    assert_eq!(world.memory().run(&living).len(), 100);
    world.advance(1);
    acme.sign_in("ada");
    assert_eq!(world.memory().run(&living).len(), 100);
    acme.refresh(&second.refresh).expect(401);
    acme.refresh(&first.refresh).expect(200);
    let facts = world.memory().run(&sql::OUTBOX.bind([1000.into()]));
    let evicted: Vec<_> = facts.iter().filter(|fact| fact["kind"] == "session_evicted").collect();
    assert_eq!(evicted.len(), 1);
    assert_eq!(evicted[0]["sid"], claims(&second.refresh)["sid"]);
}

#[test]
fn a_newer_document_is_read_and_the_batch_done_again_only_where_names_hash_anew() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.sign_in("ada");
    acme.edit(|tenant| tenant.settings.access_ttl_secs = 60);
    let body = json!({"username": "ada", "password": PASSWORD});
    let (answer, batches) = world.counted(acme.request("POST", "/api/token/").json(&body));
    let access = claims(&answer.expect(200).text("access"));
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 60);
    assert_eq!(batches, 3, "a newer document costs one more");
}

/// Control may be a release ahead, or the edge rolled back by one.
#[test]
fn a_status_that_a_later_release_adds_is_not_active() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    let run = |text: &str| world.memory().db.borrow().execute_batch(text).unwrap();
    run("update users set status = 'hibernating', access_epoch = 1");
    acme.try_sign_in("ada", PASSWORD).expect(401);
    acme.refresh(&tokens.refresh).expect(401);
    world.advance(3_001);
    acme.validate(&tokens.access).expect(401);
    run("update users set status = 'active'");
    acme.refresh(&tokens.refresh).expect(200);
    run("update tenants set status = 'hibernating'");
    acme.try_sign_in("ada", PASSWORD).expect(403);
    acme.refresh(&tokens.refresh).expect(403);
}
