//! The keys that control and the edge share, while one replaces another: the key-encryption key, and control's
//! service key.

use serde_json::json;
use shared::wire::push::Push;
use shared::wire::seal::EdgeKey;
use shared::wire::signature::{ServiceKey, Tag};

use super::fixture::{
    Actor, Answered, Request, World, control_key, edge_key, edge_keys, message, reseal, second_control_key,
    second_edge_key, settings,
};
use crate::settings::Settings;

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

fn with_keys(edge_keys: &[EdgeKey]) -> Settings {
    Settings { edge_keys: edge_keys.to_vec(), ..settings() }
}

/// The tenant's actor in the world after a deployment.
fn redeploy(world: World, acme: Actor, settings: Settings) -> (World, Actor) {
    let Actor { tenant, rev, world: same } = acme;
    drop(same);
    let world = world.redeployed(settings);
    (world.clone(), Actor { world, tenant, rev })
}

#[test]
fn what_is_sealed_under_a_key_that_the_edge_lacks_replaces_nothing() {
    let (world, acme) = acme();
    let ada = acme.sign_in("ada");
    let kept = acme.tenant.borrow().clone();
    let other_bytes = EdgeKey::parse("kek-a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    for key in [second_edge_key(), other_bytes] {
        let push = reseal(&acme, &key);
        assert_eq!(world.push(&push).expect(422).json()["code"], "edge_key_unknown");
        // One half is as bad as the whole.
        if key.id() != edge_key().id() {
            let (document, users) = (push.document.clone(), push.users.clone());
            world.push(&Push { document, ..message(acme.id()) }).expect(422);
            world.push(&Push { users, ..message(acme.id()) }).expect(422);
        }
        *acme.tenant.borrow_mut() = kept.clone();
    }
    world.new_isolate();
    acme.refresh(&ada.refresh).expect(200);
    acme.sign_in("ada");
}

#[test]
fn a_new_key_takes_over_while_people_sign_in() {
    let (world, acme) = acme();
    let ada = acme.sign_in("ada");
    // The Worker gets the new key beside the old one, then control seals under it.
    let (world, acme) = redeploy(world, acme, with_keys(&edge_keys()));
    let ada = acme.refreshed(&ada.refresh);
    let push = reseal(&acme, &second_edge_key());
    let users = push.users.clone();
    world.push(&Push { users: vec![], ..push }).expect(200);
    // The document is under the new key, the user's row under the old one.
    acme.sign_in("ada");
    world.push(&Push { users, ..message(acme.id()) }).expect(200);
    acme.sign_in("ada");
    // Then the old one goes. The order of the two settings says nothing.
    let (world, acme) = redeploy(world, acme, with_keys(&[second_edge_key(), edge_key()]));
    let ada = acme.refreshed(&ada.refresh);
    let (_world, acme) = redeploy(world, acme, with_keys(&[second_edge_key()]));
    acme.refresh(&ada.refresh).expect(200);
    acme.sign_in("ada");
}

#[test]
fn an_edge_that_lost_the_key_too_early_answers_503_and_signs_nobody_out() {
    let (world, acme) = acme();
    let ada = acme.sign_in("ada");
    let (world, acme) = redeploy(world, acme, with_keys(&[second_edge_key()]));
    acme.refresh(&ada.refresh).expect(503);
    let (_world, acme) = redeploy(world, acme, with_keys(&edge_keys()));
    acme.refresh(&ada.refresh).expect(200);
}

#[test]
fn either_service_key_of_control_is_good_while_one_replaces_the_other() {
    let (mut world, mut acme) = acme();
    let stranger = ServiceKey::parse("control-2:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let (old, new) = (control_key(), second_control_key());
    let push = |world: &World, acme: &Actor, key: &ServiceKey| -> Answered {
        let request = Request::new("POST", "https://edge.example/internal/v1/push").json(&message(acme.id()));
        world.send(request.sign(key, Tag::Push, "edge.example", world.memory().now_ms.get() / 1000))
    };
    for (known, statuses) in [
        (vec![old.peer()], [200, 401]),
        (vec![old.peer(), new.peer()], [200, 200]),
        (vec![new.peer()], [401, 200]),
    ] {
        (world, acme) = redeploy(world, acme, Settings { control_keys: known, ..settings() });
        let answers = [&old, &new].map(|key| push(&world, &acme, key).status);
        assert_eq!(answers, statuses);
        assert_eq!(push(&world, &acme, &stranger).expect(401).json()["code"], json!("signature_invalid"));
    }
}
