//! What a push does to second factors: control says which there are, and the edge which codes were used.

use serde_json::json;
use shared::wire::push::{Push, Snapshot, SnapshotStep};
use shared::wire::seal::{Context, EdgeKey, Sealed};
use shared::wire::signature::Tag;
use zeroize::Zeroizing;

use super::super::fixture::{edge_key, message};
use super::*;

/// Authenticators as (id, last step), and recovery codes as (hash, used).
type Kept = (Vec<(String, i64)>, Vec<(String, bool)>);

fn kept(world: &World) -> Kept {
    let db = world.memory().db.borrow();
    let mut read = db.prepare("select id, last_step from authenticators order by id").unwrap();
    let authenticators = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let authenticators = authenticators.map(Result::unwrap).collect();
    let mut read = db.prepare("select hash, used_at is not null from recovery_codes order by hash").unwrap();
    let codes = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    (authenticators, codes.map(Result::unwrap).collect())
}

fn row(acme: &Actor, authenticators: &[u8], codes: &[u8]) -> UserRow {
    let mut row = acme.user_row("ada");
    with_factors(acme.id(), authenticators, codes)(&mut row);
    row
}

fn push(acme: &Actor, row: UserRow) {
    acme.world.push(&Push { users: vec![row.into()], ..message(acme.id()) }).expect(200);
}

#[test]
fn a_push_names_all_there_are_and_takes_no_use_back() {
    let (world, acme) = acme();
    sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(200);
    sign_in_with(&acme, &json!({"recovery_code": recovery_code(1)})).expect(200);
    let step = i64::try_from(world.memory().now_ms.get() / STEP_MS).unwrap();
    let of = |number: u8, last_step: i64| (authenticator(acme.id(), number).id.to_string(), last_step);
    // Control does not know of either yet.
    push(&acme, row(&acme, &[1, 2], &[1, 2, 3]));
    let (authenticators, codes) = kept(&world);
    assert_eq!(authenticators, [of(1, step), of(2, 0)]);
    assert_eq!(codes.iter().filter(|(_, used)| *used).count(), 1);
    invalid(sign_in_with(&acme, &json!({"otp": code(&world, 1)})));
    invalid(sign_in_with(&acme, &json!({"recovery_code": recovery_code(1)})));
    // Control knows of later ones: a fact, an enrolment, a restored edge.
    let mut known = row(&acme, &[1, 2], &[1, 2, 3]);
    known.authenticators[1].last_step = step + 1;
    known.recovery.as_mut().unwrap().codes[1].used_at = Some(5);
    push(&acme, known.clone());
    assert_eq!(kept(&world).0, [of(1, step), of(2, step + 1)]);
    invalid(sign_in_with(&acme, &json!({"otp": code(&world, 2)})));
    invalid(sign_in_with(&acme, &json!({"recovery_code": recovery_code(2)})));
    sign_in_with(&acme, &json!({"recovery_code": recovery_code(3)})).expect(200);
    // The same message again, and an older one, change nothing.
    let before = kept(&world);
    push(&acme, known.clone());
    assert_eq!(kept(&world), before);
    push(&acme, UserRow { rev: known.rev - 1, authenticators: vec![], recovery: None, ..known.clone() });
    push(&acme, UserRow { rev: known.rev - 1, ..row(&acme, &[7], &[7]) });
    assert_eq!(kept(&world), before);
    // Sealed again, a seed is another ciphertext, and used steps stay used.
    let mut sealed_anew = row(&acme, &[1, 2], &[1, 2, 3]);
    let seed = &mut sealed_anew.authenticators[0];
    let context =
        Context { edge: "edge-1", tenant: acme.id(), kind: Kind::TotpSeed, subject: &seed.id.to_string() };
    seed.seed = Sealed::seal(&edge_key(), &context, [6; 12], super::seed(1).expose()).unwrap().to_string();
    push(&acme, sealed_anew);
    assert_eq!(kept(&world), before);
    invalid(sign_in_with(&acme, &json!({"otp": code(&world, 1)})));
    // One authenticator goes, and the set of codes is a new one.
    push(&acme, row(&acme, &[2], &[8, 9]));
    let (authenticators, codes) = kept(&world);
    assert_eq!(authenticators, [of(2, step + 1)]);
    assert_eq!((codes.len(), codes.iter().filter(|(_, used)| *used).count()), (2, 0));
    world.advance(2 * STEP_MS);
    invalid(sign_in_with(&acme, &json!({"otp": code(&world, 1)})));
    sign_in_with(&acme, &json!({"otp": code(&world, 2)})).expect(200);
    sign_in_with(&acme, &json!({"recovery_code": recovery_code(8)})).expect(200);
    // None is left, and the password alone is enough.
    acme.change("ada", |_| {});
    assert_eq!(kept(&world), (vec![], vec![]));
    assert_eq!(count(&world, "select count(*) from users where recovery_key is not null"), 0);
    acme.sign_in("ada");
}

#[test]
fn a_push_of_a_later_history_is_taken_and_one_of_another_user_changes_nothing() {
    let (world, acme) = acme();
    acme.change("bob", with_factors(acme.id(), &[2], &[5]));
    let of =
        |user: &str| count(&world, &format!("select count(*) from authenticators where user = '{user}'"));
    let (ada, bob) = (acme.user_id("ada").to_string(), acme.user_id("bob").to_string());
    acme.change("ada", |_| {});
    assert_eq!((of(&ada), of(&bob)), (0, 1));
    let users = vec![row(&acme, &[1, 3], &[]).into(), acme.user_row("bob").into()];
    world.push(&Push { users, ..message(acme.id()) }).expect(200);
    assert_eq!((of(&ada), of(&bob)), (2, 0));
    assert_eq!(count(&world, "select count(*) from recovery_codes"), 0);
    assert_eq!(count(&world, "select count(*) from users where more is not null"), 0, "every field is known");
}

#[test]
fn of_a_user_who_is_gone_nothing_is_left() {
    for sweep in [false, true] {
        let (world, acme) = acme();
        invalid(verify_otp(&acme, &mfa_token(&acme), &wrong_code(&world)));
        if sweep {
            let snapshot = Some(Snapshot { id: "02".into(), to: acme.next_rev(), step: SnapshotStep::Sweep });
            world.push(&Push { snapshot, ..message(acme.id()) }).expect(200);
        } else {
            let mut gone = row(&acme, &[1], &[1]);
            gone.status = shared::user::UserStatus::Deleted;
            push(&acme, gone);
        }
        for table in ["authenticators", "recovery_codes", "code_tries", "challenges"] {
            assert_eq!(count(&world, &format!("select count(*) from {table}")), 0, "{table} {sweep}");
        }
    }
}

#[test]
fn a_factor_that_is_enrolled_after_a_reset_has_tries_of_its_own() {
    let (world, acme) = acme();
    for _ in 0..30 {
        invalid(sign_in_with(&acme, &json!({"otp": wrong_code(&world)})));
    }
    // Another authenticator beside it is no reset.
    acme.change("ada", with_factors(acme.id(), &[2], &[]));
    acme.change("ada", with_factors(acme.id(), &[2, 3], &[]));
    acme.change("ada", with_factors(acme.id(), &[3], &[]));
    sign_in_with(&acme, &json!({"otp": code(&world, 3)})).expect(429);
    acme.change("ada", |_| {});
    acme.change("ada", with_factors(acme.id(), &[4], &[]));
    sign_in_with(&acme, &json!({"otp": code(&world, 4)})).expect(200);
}

#[test]
fn a_seed_that_this_edge_cannot_open_replaces_nothing() {
    let (world, acme) = acme();
    let before = kept(&world);
    let other = EdgeKey::parse("kek-a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let unknown = EdgeKey::parse("kek-x:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let sealed = |key: &EdgeKey, kind, subject: &str| {
        let context = Context { edge: "edge-1", tenant: acme.id(), kind, subject };
        Sealed::seal(key, &context, [5; 12], &Zeroizing::new([1; 32])[..]).unwrap().to_string()
    };
    for key in [&other, &unknown] {
        let mut seed = row(&acme, &[1, 2], &[1]);
        // The second one, of another key's name, is seen as well.
        let at = usize::from(key.id() == "kek-x");
        let id = seed.authenticators[at].id.to_string();
        seed.authenticators[at].seed = sealed(key, Kind::TotpSeed, &id);
        let mut codes = row(&acme, &[1, 2], &[1]);
        codes.recovery.as_mut().unwrap().key = sealed(key, Kind::RecoveryKey, &codes.id.to_string());
        for row in [seed, codes] {
            let refused = world.push(&Push { users: vec![row.into()], ..message(acme.id()) }).expect(422);
            assert_eq!(refused.text("code"), "edge_key_unknown");
        }
    }
    assert_eq!(kept(&world), before);
}

#[test]
fn a_drain_flattens_what_a_fact_says() {
    let (world, acme) = acme();
    sign_in_with(&acme, &json!({"recovery_code": recovery_code(1)})).expect(200);
    let drained =
        world.signed("/internal/v1/drain", Tag::Drain, &json!({"shard": 0, "limit": 10})).expect(200);
    let facts = &drained.json()["facts"];
    let hash = &recovery(acme.id(), acme.user_id("ada"), &[1]).codes[0].hash;
    assert_eq!((&facts[0]["kind"], &facts[0]["hash"]), (&json!("recovery_code_used"), &json!(hash)));
    assert_eq!((&facts[1]["kind"], &facts[1]["amr"]), (&json!("signed_in"), &json!(["pwd", "otp", "mfa"])));
    assert_eq!(facts[0]["sid"], facts[1]["sid"]);
    assert_eq!(facts[0]["network"], "192.0.2.1");
    assert!(facts[0].get("more").is_none());
}
