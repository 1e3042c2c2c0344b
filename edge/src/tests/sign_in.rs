//! Sign-in: one work and one answer whatever happens, counted tries, families.

use serde_json::json;
use shared::user::UserStatus;

use super::fixture::{PASSWORD, World, claims};
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
        assert_eq!(refused.header("retry-after"), Some("299"));
        assert_eq!(refused.text("detail"), "Request was throttled. Expected available in 299 seconds.");
        acme.try_sign_in(name, "wrong").expect(429);
        world.advance(299_000);
    }
    acme.sign_in("ada");
}

#[test]
fn nobody_waits_longer_than_the_window() {
    let world = World::new();
    let acme = world.tenant("acme");
    for _ in 0..10 {
        acme.try_sign_in("ada", "wrong").expect(401);
    }
    // Of two tries at once, the one that is counted first may have arrived last.
    let later = "update attempts set window_start = window_start + 5";
    world.memory().db.borrow().execute_batch(later).unwrap();
    assert_eq!(acme.try_sign_in("ada", "wrong").expect(429).header("retry-after"), Some("300"));
}

#[test]
fn a_try_that_holds_its_body_back_counts_when_it_arrives() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let wrong = json!({"username": "ada", "password": "wrong"});
    let held = acme.request("POST", "/api/token/").json(&wrong).before_body({
        let world = world.clone();
        move || world.advance(300_000)
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
    for limit in [Limit::Network, Limit::Name] {
        world.memory().limited.set(Some(limit));
        let (batches, hashes) = (world.memory().batches.get(), world.app.hashes.get());
        acme.try_sign_in("ada", PASSWORD).expect(429);
        assert_eq!((world.memory().batches.get(), world.app.hashes.get()), (batches, hashes));
    }
}

#[test]
fn invented_tenants_cost_storage_only_within_the_networks_limit() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.sign_in("ada");
    world.memory().limited.set(Some(Limit::Network));
    let batches = world.memory().batches.get();
    for slug in ["nobody", "nobody-else"] {
        let url = format!("https://auth.example/t/{slug}/.well-known/jwks.json");
        world.send(super::fixture::Request::new("GET", &url)).expect(429);
    }
    world.send(acme.request("GET", "/.well-known/jwks.json")).expect(200);
    assert_eq!(world.memory().batches.get(), batches);
}

#[test]
fn what_changes_while_the_hash_runs_wins() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
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
        let living =
            sql::LIVING_FAMILIES.bind([acme.id().to_string().into(), ada.to_string().into(), 0.into()]);
        assert_eq!(world.memory().run(&living).len(), 1, "only the first sign-in's family: {change}");
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
