//! The rotation of a tenant's lookup root: users are found and attempts are counted at every step of it.

use serde_json::json;
use shared::wire::push::{Push, Snapshot, SnapshotStep};

use super::fixture::{Actor, PASSWORD, START_MS, World, message, old_token};

const DAY: u64 = 86_400;

/// A sign-in with a name, at an isolate with the old document and at one without a document.
fn both_isolates(acme: &Actor, name: &str, status: u16) {
    acme.try_sign_in(name, PASSWORD).expect(status);
    acme.world.new_isolate();
    acme.try_sign_in(name, PASSWORD).expect(status);
}

#[test]
fn users_sign_in_at_every_step_of_a_rotation() {
    let world = World::new();
    let acme = world.tenant("acme");
    let (ada, bob) = (acme.user("ada"), acme.user("bob"));
    acme.sign_in("ada");
    acme.second_identifier("ada", Some(ada));
    both_isolates(&acme, "ada", 200);
    acme.switch_lookup_root();
    both_isolates(&acme, "ada", 200);
    // A user without an identifier under the new root.
    both_isolates(&acme, "bob", 200);
    both_isolates(&acme, "nobody", 401);
    acme.first_identifier("ada", None);
    both_isolates(&acme, "ada", 200);
    acme.edit(|tenant| tenant.needs = shared::wire::needs::Needs::default());
    both_isolates(&acme, "ada", 200);
    // The old root is gone, and with it what is under it alone.
    acme.edit(|tenant| tenant.former_lookup_root = None);
    both_isolates(&acme, "ada", 200);
    both_isolates(&acme, "bob", 401);
    acme.second_identifier("bob", Some(bob));
    both_isolates(&acme, "bob", 200);
}

#[test]
fn a_name_under_the_root_in_force_counts_before_one_of_before() {
    let world = World::new();
    let acme = world.tenant("acme");
    let bob = acme.user("bob");
    // The name was ada's, and is bob's by now: ada's old row is still on its way out.
    acme.user("ada");
    acme.second_identifier("ada", Some(bob));
    acme.switch_lookup_root();
    let login = acme.post("/api/login/", &json!({"username": "ada", "password": PASSWORD})).expect(200);
    assert_eq!(login.json()["user"]["id"], bob.to_string());
}

#[test]
fn a_window_of_attempts_goes_on_under_the_new_root() {
    for stale in [true, false] {
        let world = World::new();
        let acme = world.tenant("acme");
        let ada = acme.user("ada");
        acme.second_identifier("ada", Some(ada));
        for name in ["ada", "nobody"] {
            for _ in 0..6 {
                acme.try_sign_in(name, "wrong").expect(401);
            }
        }
        world.advance(500);
        acme.switch_lookup_root();
        for name in ["ada", "nobody"] {
            if !stale {
                world.new_isolate();
            }
            // At an isolate with the old document, the first of them also counts once.
            for _ in 0..4 {
                acme.try_sign_in(name, "wrong").expect(401);
            }
            let refused = acme.try_sign_in(name, PASSWORD).expect(429);
            assert_eq!(refused.header("retry-after"), Some("30"), "{name}: the window that was there");
        }
        world.advance(30_000);
        acme.sign_in("ada");
    }
}

#[test]
fn who_has_to_wait_waits_as_long_under_the_new_root() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    acme.second_identifier("ada", Some(ada));
    for name in ["ada", "nobody"] {
        for _ in 0..10 {
            acme.try_sign_in(name, "wrong").expect(401);
        }
    }
    world.advance(10_000);
    acme.switch_lookup_root();
    for _ in 0..2 {
        for name in ["ada", "nobody"] {
            let refused = acme.try_sign_in(name, PASSWORD).expect(429);
            assert_eq!(refused.header("retry-after"), Some("20"), "{name}");
        }
        world.new_isolate();
    }
    world.advance(20_000);
    acme.sign_in("ada");
    acme.try_sign_in("nobody", PASSWORD).expect(401);
}

#[test]
fn a_right_password_gives_its_try_back_over_the_switch() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    acme.second_identifier("ada", Some(ada));
    for _ in 0..9 {
        acme.try_sign_in("ada", "wrong").expect(401);
    }
    acme.switch_lookup_root();
    for _ in 0..3 {
        acme.sign_in("ada");
    }
    acme.try_sign_in("ada", "wrong").expect(401);
    acme.try_sign_in("ada", PASSWORD).expect(429);
}

/// A refresh token of the old service at a tenant without a marker: the list alone vouches for it.
fn listed(jti: &str) -> String {
    let start = START_MS / 1000;
    old_token(
        &json!({"token_type": "refresh", "exp": start + 20 * DAY, "iat": start - 60, "jti": jti, "user_id": 1}),
    )
}

#[test]
fn outstanding_legacy_tokens_are_exchanged_after_the_switch() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.came_from(None, START_MS / 1000 + 30 * DAY);
    acme.edit(|tenant| tenant.legacy.as_mut().unwrap().listed = true);
    let ada = acme.old_user("ada", "1");
    for jti in ["stale", "new", "late"] {
        acme.outstanding(jti, ada);
    }
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    acme.second_old_user("1", ada);
    acme.switch_lookup_root();
    let first = acme.refreshed(&listed("stale"));
    assert_eq!(acme.refreshed(&listed("stale")).refresh, first.refresh, "once, whoever presents it");
    world.new_isolate();
    acme.first_old_user_gone("1");
    acme.refreshed(&listed("new"));
    acme.refresh(&listed("never listed")).expect(401);
    acme.edit(|tenant| tenant.former_lookup_root = None);
    acme.refresh(&listed("late")).expect(401);
    // Sessions are no matter of the lookup root.
    acme.refreshed(&acme.refreshed(&first.refresh).refresh);
}

#[test]
fn marked_legacy_access_tokens_are_good_at_every_step() {
    let world = World::new();
    let acme = world.tenant("acme");
    let marker = shared::tokens::legacy::Marker { claim: "realm".into(), value: json!("acme") };
    acme.came_from(Some(marker), START_MS / 1000 + 30 * DAY);
    let ada = acme.old_user("ada", "1");
    let start = START_MS / 1000;
    let token = old_token(&json!({"token_type": "access", "exp": start + DAY, "iat": start, "jti": "a",
        "user_id": 1, "realm": "acme"}));
    let good = || {
        acme.validate(&token).expect(200);
        world.new_isolate();
        acme.validate(&token).expect(200);
        world.advance(61_000);
    };
    good();
    acme.switch_lookup_root();
    good();
    acme.second_old_user("1", ada);
    acme.first_old_user_gone("1");
    good();
    acme.edit(|tenant| tenant.former_lookup_root = None);
    good();
}

/// After a restore of the edge's database a snapshot sends the document first: users are found by what is there until
/// their new identifiers come.
#[test]
fn a_snapshot_in_the_middle_keeps_users_signing_in() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    acme.switch_lookup_root();
    both_isolates(&acme, "ada", 200);
    acme.second_identifier("ada", Some(ada));
    both_isolates(&acme, "ada", 200);
    let to = acme.next_rev();
    let step = |step| Some(Snapshot { id: "01".into(), to, step });
    let page = Push {
        snapshot: step(SnapshotStep::Page),
        users: vec![acme.user_row("ada").into()],
        identifiers: vec![acme.second_identifier_row("ada", Some(ada))],
        ..message(acme.id())
    };
    world.push(&page).expect(200);
    both_isolates(&acme, "ada", 200);
    world.push(&Push { snapshot: step(SnapshotStep::Sweep), ..message(acme.id()) }).expect(200);
    both_isolates(&acme, "ada", 200);
    acme.edit(|tenant| tenant.former_lookup_root = None);
    both_isolates(&acme, "ada", 200);
}
