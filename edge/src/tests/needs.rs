//! Rows and documents of a later release: unknown members are kept, and grant nothing.

use serde_json::json;
use shared::wire::needs::Needs;
use shared::wire::push::Push;
use shared::wire::signature::Tag;

use super::browser::{self, Browser};
use super::fixture::{Actor, PASSWORD, World, message};

const MINUTE: u64 = 60_000;

/// A word that this release does not understand.
fn later() -> Needs {
    Needs::of(&["a word of a later release"])
}

fn column(world: &World, sql: &str) -> Option<String> {
    world.memory().db.borrow().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// No token is issued, and the presented credentials stay valid.
fn nobody_is_let_in(acme: &Actor, refresh: &str) {
    for path in ["/api/token/", "/api/login/"] {
        let answer = acme.post(path, &json!({"username": "ada", "password": PASSWORD})).expect(503);
        assert_eq!(answer.json()["code"], "unavailable");
    }
    for _ in 0..3 {
        acme.refresh(refresh).expect(503);
    }
}

#[test]
fn a_user_whose_row_needs_an_unknown_word_gets_no_tokens_and_loses_no_session() {
    let (world, acme) = browser::acme();
    acme.user("bob");
    let tokens = acme.sign_in("ada");
    acme.change("ada", |row| row.needs = later());
    nobody_is_let_in(&acme, &tokens.refresh);
    // A wrong password gets the usual answer, and other users are not affected.
    acme.try_sign_in("ada", "not the password").expect(401);
    acme.sign_in("bob");
    acme.validate(&tokens.access).expect(200);
    world.advance(60 * MINUTE);
    acme.change("ada", |row| row.needs = Needs::default());
    acme.refresh(&tokens.refresh).expect(200);
    acme.sign_in("ada");
}

#[test]
fn a_tenant_whose_document_needs_an_unknown_word_lets_nobody_in() {
    let (world, acme) = browser::acme();
    let tokens = acme.sign_in("ada");
    acme.edit(|tenant| tenant.needs = later());
    nobody_is_let_in(&acme, &tokens.refresh);
    acme.try_sign_in("ada", "not the password").expect(503);
    acme.validate(&tokens.access).expect(200);
    world.send(acme.request("GET", "/.well-known/jwks.json")).expect(200);
    world.advance(60 * MINUTE);
    acme.edit(|tenant| tenant.needs = Needs::default());
    acme.refresh(&tokens.refresh).expect(200);
    acme.sign_in("ada");
}

#[test]
fn a_word_that_is_not_known_renews_no_cookie() {
    for of_tenant in [false, true] {
        let (world, acme) = browser::acme();
        let mut browser = Browser::signed_in(&acme, "ada");
        world.advance(6 * MINUTE);
        let deadlines = "select group_concat(idle_deadline) from families";
        let before = column(&world, deadlines);
        match of_tenant {
            false => acme.change("ada", |row| row.needs = later()),
            true => acme.edit(|tenant| tenant.needs = later()),
        }
        world.advance(20 * 60 * MINUTE);
        let answer = browser.send(browser.request("GET", "/api/user/me/")).expect(503);
        assert!(answer.header("set-cookie").is_none());
        assert_eq!(column(&world, deadlines), before);
    }
}

#[test]
fn fields_that_are_not_known_are_kept_with_row_and_document() {
    let (world, acme) = browser::acme();
    let mut push =
        serde_json::to_value(Push { users: vec![acme.user_row("ada").into()], ..message(acme.id()) })
            .unwrap();
    (push["users"][0]["totp"], push["users"][0]["needs"]) = (json!(["sealed"]), json!(["totp"]));
    world.signed("/internal/v1/push", Tag::Push, &push).expect(200);
    let row = |name: &str| column(&world, &format!("select {name} from users"));
    assert_eq!(row("more").as_deref(), Some(r#"{"totp":["sealed"]}"#));
    assert_eq!(row("needs").as_deref(), Some(r#"["totp"]"#));
    acme.change("ada", |_| {});
    assert_eq!((row("more"), row("needs")), (None, None));

    let mut push = serde_json::to_value(acme.document_push()).unwrap();
    push["document"]["document"]["settings"]["second_factor"] = json!("required");
    push["a_later_kind_of_row"] = json!([{"rev": 1}]);
    world.signed("/internal/v1/push", Tag::Push, &push).expect(200);
    let setting = column(&world, "select document ->> '$.settings.second_factor' from tenants");
    assert_eq!(setting.as_deref(), Some("required"));
    acme.sign_in("ada");
}

#[test]
fn a_fact_of_a_later_worker_is_passed_on() {
    let (world, acme) = browser::acme();
    let fact = "insert into outbox (id, tenant, at, kind) values ('0190a0b0-c0d0-7000-8000-000000000001', ?1, 1, 'factor_used')";
    world.memory().db.borrow().execute(fact, [acme.id().to_string()]).unwrap();
    let drained =
        world.signed("/internal/v1/drain", Tag::Drain, &json!({"shard": 0, "limit": 1})).expect(200);
    assert_eq!(drained.json()["facts"][0]["kind"], "factor_used");
}

#[test]
fn a_user_of_a_later_status_is_not_active() {
    let (world, acme) = browser::acme();
    let tokens = acme.sign_in("ada");
    let mut push =
        serde_json::to_value(Push { users: vec![acme.user_row("ada").into()], ..message(acme.id()) })
            .unwrap();
    push["users"][0]["status"] = json!("locked");
    world.signed("/internal/v1/push", Tag::Push, &push).expect(200);
    assert_eq!(column(&world, "select status from users").as_deref(), Some("locked"));
    acme.try_sign_in("ada", PASSWORD).expect(401);
    acme.refresh(&tokens.refresh).expect(401);
    world.advance(4000);
    assert_eq!(acme.validate(&tokens.access).expect(401).json()["detail"], "Token is blacklisted");
}
