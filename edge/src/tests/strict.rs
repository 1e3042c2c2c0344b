//! A strict tenant: each validation reads the user and the session, past everything that is known.

use super::fixture::{Actor, Tokens, World};

fn acme() -> (World, Actor, Tokens) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.edit(|tenant| tenant.settings.strict = true);
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    (world, acme, tokens)
}

fn run(world: &World, text: &str) {
    world.memory().db.borrow().execute_batch(text).unwrap();
}

#[test]
fn every_validation_is_one_read_busy_or_after_silence() {
    let (world, acme, tokens) = acme();
    for silence in [0, 1, 5000, 120_000] {
        world.advance(silence);
        let request = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
        let (answer, trips) = world.counted(request);
        assert_eq!((answer.status, trips), (200, 1), "after {silence} ms: {}", answer.text);
        assert_eq!(answer.header("wardgate-state-age"), Some("0.0"));
    }
    let gateway = acme.request("GET", "/api/token/validate/").bearer(&tokens.access);
    assert_eq!(world.counted(gateway).1, 1);
    world.advance(300_000);
    let expired = acme.request("POST", "/api/token/validate/").bearer(&tokens.access);
    let (answer, trips) = world.counted(expired);
    assert_eq!((answer.status, trips), (401, 0), "an expired token costs none");
}

/// The feed is not read: a change that it does not hold, or not yet, is seen.
#[test]
fn what_is_revoked_is_refused_by_the_next_validation() {
    for (change, words) in [
        ("update users set status = 'suspended'", "Token is blacklisted"),
        ("update users set access_epoch = access_epoch + 1", "Token is blacklisted"),
        ("update users set status = 'deleted'", "Token is blacklisted"),
        ("update families set ended_at = 1", "Token is blacklisted"),
        ("update tenants set status = 'suspended'", "Token is invalid"),
    ] {
        let (world, acme, tokens) = acme();
        run(&world, change);
        run(&world, "delete from feed");
        let refused = acme.validate(&tokens.access).expect(401);
        assert_eq!(refused.text("detail"), words, "{change}");
    }
}

#[test]
fn what_control_pushed_is_in_force_at_once() {
    let (_, acme, tokens) = acme();
    acme.change("ada", |row| row.access_epoch = 1);
    acme.validate(&tokens.access).expect(401);
    let again = acme.refreshed(&tokens.refresh);
    acme.validate(&again.access).expect(200);
    acme.edit(|tenant| tenant.settings.second_factor_roles = vec!["staff".into()]);
    acme.validate(&again.access).expect(401);
    acme.edit(|tenant| tenant.settings.second_factor_roles.clear());
    acme.validate(&again.access).expect(200);
    acme.edit(|tenant| tenant.keys[0].state = shared::tenant::KeyState::Revoked);
    acme.validate(&again.access).expect(401);
}

#[test]
fn without_the_database_nothing_is_valid_and_nothing_is_invalid() {
    let (world, acme, tokens) = acme();
    world.memory().store_down.set(true);
    let refused = acme.validate(&tokens.access).expect(503);
    assert_eq!(refused.text("code"), "unavailable");
    let gateway = acme.request("GET", "/api/token/validate/").bearer(&tokens.access);
    world.send(gateway).expect(503);
    let forwarded = acme.request("GET", "/api/user/me/").bearer(&tokens.access);
    world.send(forwarded).expect(503);
    world.memory().store_down.set(false);
    acme.validate(&tokens.access).expect(200);
}

#[test]
fn another_tenant_is_validated_without_a_read() {
    let (world, _, _) = acme();
    let globex = world.tenant("globex");
    globex.user("ada");
    let tokens = globex.sign_in("ada");
    globex.validate(&tokens.access).expect(200);
    let request = globex.request("POST", "/api/token/validate/").bearer(&tokens.access);
    assert_eq!(world.counted(request).1, 0);
}

/// A tenant that becomes strict is so within the seconds that any other change takes.
#[test]
fn the_setting_takes_effect_as_every_other() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let tokens = acme.sign_in("ada");
    acme.validate(&tokens.access).expect(200);
    acme.edit(|tenant| tenant.settings.strict = true);
    world.advance(3001);
    acme.validate(&tokens.access).expect(200);
    run(&world, "update users set status = 'suspended'; delete from feed;");
    acme.validate(&tokens.access).expect(401);
}
