//! A password that is changed in a session ends all others: the push that raises the epochs lifts that one.

use serde_json::json;
use shared::ids::SessionId;
use shared::wire::push::{KeptSession, Push, UserRow};

use super::fixture::{Actor, PASSWORD, Tokens, World, claims, message};

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.user("bob");
    (world, acme)
}

fn sid(tokens: &Tokens) -> SessionId {
    SessionId::parse(claims(&tokens.access)["sid"].as_str().unwrap()).unwrap()
}

/// The row after a change of the password in the session `sid`, which was born under the epoch `from` at least.
fn changed(epoch: i64, kept: Option<(SessionId, i64)>) -> impl FnOnce(&mut UserRow) {
    move |row| {
        (row.access_epoch, row.session_epoch, row.password_epoch) = (epoch, epoch, epoch);
        row.kept_session = kept.map(|(sid, from)| KeptSession { sid, from });
    }
}

#[test]
fn the_named_session_goes_on_and_every_other_ends() {
    let (world, acme) = acme();
    let (kept, other, bobs) = (acme.sign_in("ada"), acme.sign_in("ada"), acme.sign_in("bob"));
    acme.change("ada", changed(1, Some((sid(&kept), 0))));
    world.advance(4000);
    assert_eq!(acme.validate(&kept.access).expect(401).json()["detail"], "Token is blacklisted");
    acme.refresh(&other.refresh).expect(401);
    let next = acme.refreshed(&kept.refresh);
    acme.validate(&next.access).expect(200);
    assert_eq!(claims(&next.access)["epoch"], 1);
    acme.refresh(&bobs.refresh).expect(200);
    let sessions = world.signed(
        "/internal/v1/command",
        shared::wire::signature::Tag::Command,
        &json!({"command": "sessions", "tenant": acme.id(), "user": acme.user_id("ada")}),
    );
    assert_eq!(sessions.json()["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn order_repeats_and_replay_are_harmless() {
    let (world, acme) = acme();
    let kept = acme.sign_in("ada");
    let row = |epoch, kept| {
        let mut row = acme.user_row("ada");
        changed(epoch, kept)(&mut row);
        Push { users: vec![row.into()], ..message(acme.id()) }
    };
    let first = row(1, Some((sid(&kept), 0)));
    // All sessions ended after it.
    let ended = row(2, None);
    world.push(&first).expect(200);
    world.push(&first).expect(200);
    let next = acme.refreshed(&kept.refresh);
    world.push(&ended).expect(200);
    acme.refresh(&next.refresh).expect(401);
    world.push(&first).expect(200);
    acme.refresh(&next.refresh).expect(401);
    // And where the later row overtakes the one that keeps.
    let (world, acme) = self::acme();
    let kept = acme.sign_in("ada");
    let row = |epoch, kept| {
        let mut row = acme.user_row("ada");
        changed(epoch, kept)(&mut row);
        Push { users: vec![row.into()], ..message(acme.id()) }
    };
    let (first, ended) = (row(1, Some((sid(&kept), 0))), row(2, None));
    world.push(&ended).expect(200);
    world.push(&first).expect(200);
    acme.refresh(&kept.refresh).expect(401);
}

#[test]
fn a_session_that_is_kept_twice_is_lifted_by_the_last_row_alone() {
    let (_, acme) = acme();
    let kept = acme.sign_in("ada");
    acme.change("ada", changed(2, Some((sid(&kept), 0))));
    acme.refresh(&kept.refresh).expect(200);
}

#[test]
fn a_session_that_has_ended_is_not_brought_back() {
    // By its owner.
    let (_, acme) = acme();
    let kept = acme.sign_in("ada");
    acme.post("/api/token/blacklist/", &json!({"refresh": kept.refresh})).expect(200);
    acme.change("ada", changed(1, Some((sid(&kept), 0))));
    acme.refresh(&kept.refresh).expect(401);
    // With all others, by an epoch that the lift does not reach down to.
    let (_, acme) = self::acme();
    let kept = acme.sign_in("ada");
    acme.change("ada", changed(1, None));
    acme.change("ada", changed(2, Some((sid(&kept), 1))));
    acme.refresh(&kept.refresh).expect(401);
    // By a reseed: a session that began under the former floor stays there.
    let (_, acme) = self::acme();
    let kept = acme.sign_in("ada");
    acme.reseed();
    acme.restored("ada", changed(1, Some((sid(&kept), 0))));
    acme.refresh(&kept.refresh).expect(401);
}

#[test]
fn only_a_session_of_the_user_and_tenant_is_lifted() {
    let (world, acme) = acme();
    let bobs = acme.sign_in("bob");
    acme.change("bob", |row| (row.access_epoch, row.session_epoch) = (1, 1));
    acme.change("ada", changed(1, Some((sid(&bobs), 0))));
    acme.refresh(&bobs.refresh).expect(401);
    let other = world.tenant("other");
    other.user("ada");
    let theirs = other.sign_in("ada");
    other.change("ada", |row| (row.access_epoch, row.session_epoch) = (1, 1));
    acme.change("ada", changed(2, Some((sid(&theirs), 0))));
    other.refresh(&theirs.refresh).expect(401);
    acme.try_sign_in("ada", PASSWORD).expect(200);
}
