//! Wrong passwords by account, network and tenant: who waits, how long, and who does not.

use futures::executor::block_on;
use futures::future::join_all;
use serde_json::json;
use shared::contract::limits::{
    ACCOUNT_ATTEMPTS, ACCOUNT_ATTEMPTS_MAX, ACCOUNT_WINDOW_SECS, KNOWN_NETWORK_SECS, KNOWN_NETWORKS,
    NETWORK_ATTEMPTS, PAIR_ATTEMPTS, TENANT_ATTEMPTS,
};
use shared::user::UserStatus;
use shared::wire::facts::DrainIn;
use shared::wire::push::{Command, Push};
use shared::wire::signature::Tag;

use super::fixture::{Actor, Answered, PASSWORD, Request, World, message};
use crate::serve::handle;

const HOME: &str = "203.0.113.7";

/// The address of an attacker; each is a network of its own.
fn stranger(at: u64) -> String {
    format!("198.51.{}.{}", at / 250, at % 250)
}

fn request(acme: &Actor, from: &str, name: &str, password: &str) -> Request {
    let body = json!({"username": name, "password": password});
    Request { client: from.into(), ..acme.request("POST", "/api/token/").json(&body) }
}

fn attempt(acme: &Actor, from: &str, name: &str, password: &str) -> Answered {
    acme.world.send(request(acme, from, name, password))
}

/// Wrong tries, each from another network, each when it is admitted. Says how long they took.
fn hammer(acme: &Actor, name: &str, tries: u64) -> u64 {
    let mut waited = 0;
    for at in 0..tries {
        let refused = attempt(acme, &stranger(at), name, "wrong");
        if refused.status == 429 {
            let secs: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            waited += secs;
            acme.world.advance(secs * 1000);
            attempt(acme, &stranger(at), name, "wrong").expect(401);
        } else {
            refused.expect(401);
        }
    }
    waited
}

fn facts(world: &World, kind: &str) -> Vec<serde_json::Value> {
    let drain = DrainIn { shard: 0, acknowledge: None, limit: 500 };
    let drained = world.signed("/internal/v1/drain", Tag::Drain, &drain).expect(200).json();
    let facts = drained["facts"].as_array().unwrap().iter();
    facts.filter(|fact| fact["kind"] == kind).cloned().collect()
}

fn count(world: &World, text: &str) -> i64 {
    world.memory().db.borrow().query_row(text, [], |row| row.get(0)).unwrap()
}

#[test]
fn the_wait_of_a_network_doubles_and_is_the_same_for_a_name_that_is_nobodys() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    let mut told = Vec::new();
    for name in ["ada", "nobody"] {
        for _ in 0..PAIR_ATTEMPTS {
            attempt(&acme, HOME, name, "wrong").expect(401);
        }
        let mut waits = Vec::new();
        for _ in 0..7 {
            let refused = attempt(&acme, HOME, name, PASSWORD).expect(429);
            waits.push(refused.header("retry-after").unwrap().to_owned());
            told.push(refused.visible());
            world.advance(waits.last().unwrap().parse::<u64>().unwrap() * 1000);
            attempt(&acme, HOME, name, "wrong").expect(401);
        }
        assert_eq!(waits, ["30", "60", "120", "240", "480", "900", "900"], "{name}");
        world.advance(3_600_000);
    }
    let (known, unknown) = told.split_at(7);
    assert_eq!(known, unknown);
}

/// Every spelling of an account, and the user name beside the address, is one account.
#[test]
fn every_name_of_an_account_is_counted_as_one() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    let identifiers = vec![acme.identifier_row("ada@acme.example", Some(ada))];
    world.push(&Push { identifiers, ..message(acme.id()) }).expect(200);
    let names = ["ada", " ADA ", "ada@acme.example", "Ada@ACME.example"];
    for at in 0..PAIR_ATTEMPTS {
        attempt(&acme, HOME, names[usize::try_from(at).unwrap() % names.len()], "wrong").expect(401);
    }
    for name in names {
        attempt(&acme, HOME, name, PASSWORD).expect(429);
    }
    attempt(&acme, HOME, "bob", "wrong").expect(401);
}

#[test]
fn ipv6_is_counted_by_64_bits() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    for at in 0..PAIR_ATTEMPTS {
        attempt(&acme, &format!("2001:db8:1:2::{at:x}"), "ada", "wrong").expect(401);
    }
    attempt(&acme, "2001:db8:1:2:ffff::1", "ada", PASSWORD).expect(429);
    attempt(&acme, "2001:db8:1:3::1", "ada", PASSWORD).expect(200);
}

/// Must hold: attackers on many networks try passwords of the name, many at once, and the user still signs in from a
/// known network.
#[test]
fn an_owner_signs_in_on_the_own_network_while_strangers_hammer_the_name() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
    world.memory().yields.set(true);
    let (mut guessed, mut refused) = (0, 0);
    for round in 0..20 {
        world.advance(70_000);
        let strangers = (0..32).map(|at| request(&acme, &stranger(round * 32 + at), "ada", "wrong"));
        let owner = [request(&acme, HOME, "ada", PASSWORD), request(&acme, HOME, "ada", PASSWORD)];
        let all = strangers.chain(owner).map(|request| handle(&world.app, request));
        let statuses: Vec<_> = block_on(join_all(all)).iter().map(|reply| reply.response.status).collect();
        let (strangers, owner) = statuses.split_at(32);
        assert_eq!(owner, [200, 200], "round {round}");
        guessed += strangers.iter().filter(|status| **status == 401).count();
        refused += strangers.iter().filter(|status| **status == 429).count();
    }
    world.memory().yields.set(false);
    assert_eq!(guessed + refused, 20 * 32);
    // The count before the hash is exact, also for concurrent attempts.
    let counted = count(&world, "select max(count) from attempts where account <> '' and network = ''");
    assert_eq!(usize::try_from(counted).unwrap(), guessed);
    assert_eq!(
        guessed,
        usize::try_from(ACCOUNT_ATTEMPTS).unwrap() + 19,
        "one a round, once they have to wait"
    );
    assert_eq!(usize::try_from(world.app.hashes.get()).unwrap(), guessed + 41, "no hash for a refused try");
    attempt(&acme, "203.0.113.8", "ada", PASSWORD).expect(429);
}

/// One network cannot be shut out by another, but waits for its own wrong passwords.
#[test]
fn a_known_network_has_a_count_of_its_own() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
    for _ in 0..PAIR_ATTEMPTS {
        attempt(&acme, HOME, "ada", "wrong").expect(401);
    }
    attempt(&acme, HOME, "ada", PASSWORD).expect(429);
    assert_eq!(count(&world, "select sum(count) from attempts where account = '' or network = ''"), 0);
    attempt(&acme, &stranger(1), "ada", PASSWORD).expect(200);
    // It is known for a month after the last sign-in.
    world.advance(KNOWN_NETWORK_SECS * 1000);
    attempt(&acme, HOME, "ada", "wrong").expect(401);
    assert_eq!(count(&world, "select sum(count) from attempts where account = '' and network = ''"), 1);
}

#[test]
fn after_a_hundred_wrong_passwords_unknown_networks_wait_for_a_day_and_one_fact_tells_it() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
    let mut told = Vec::new();
    for name in ["ada", "nobody"] {
        let waited = hammer(&acme, name, ACCOUNT_ATTEMPTS_MAX);
        assert!(waited > 60 * (ACCOUNT_ATTEMPTS_MAX - ACCOUNT_ATTEMPTS - 8), "{waited}");
        let refused = attempt(&acme, &stranger(1), name, PASSWORD).expect(429);
        assert_eq!(refused.header("retry-after"), Some((ACCOUNT_WINDOW_SECS - waited).to_string().as_str()));
        told.push(refused.text("detail").replace(char::is_numeric, ""));
    }
    assert_eq!(told[0], told[1]);
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
    let facts = facts(&world, "networks_refused");
    assert_eq!(facts.len(), 2);
    assert_eq!((&facts[0]["user"], &facts[0]["name_hash"]), (&json!(ada), &json!(null)));
    assert_eq!(facts[1]["user"], json!(null));
    assert!(facts[1]["name_hash"].is_string());
    world.advance(ACCOUNT_WINDOW_SECS * 1000);
    attempt(&acme, &stranger(1), "ada", PASSWORD).expect(200);
}

#[test]
fn the_last_try_may_be_right_and_tells_nothing() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    hammer(&acme, "ada", ACCOUNT_ATTEMPTS_MAX - 1);
    world.advance(60_000);
    attempt(&acme, &stranger(400), "ada", PASSWORD).expect(200);
    assert_eq!(facts(&world, "networks_refused").len(), 0);
    attempt(&acme, &stranger(401), "ada", "wrong").expect(401);
    assert_eq!(facts(&world, "networks_refused").len(), 1);
}

#[test]
fn one_network_guesses_at_a_hundred_accounts_and_then_waits() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    for at in 0..NETWORK_ATTEMPTS {
        attempt(&acme, HOME, &format!("user-{at}"), "wrong").expect(401);
    }
    let refused = attempt(&acme, HOME, "ada", PASSWORD).expect(429);
    assert_eq!(refused.header("retry-after"), Some("300"));
    attempt(&acme, "203.0.113.8", "ada", PASSWORD).expect(200);
    let globex = world.tenant("globex");
    globex.user("ada");
    attempt(&globex, HOME, "ada", PASSWORD).expect(200);
    world.advance(300_000);
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
}

#[test]
fn a_tenant_under_attack_serves_known_networks() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
    let full =
        format!("update attempts set count = {} where account = '' and network = ''", TENANT_ATTEMPTS - 1);
    world.memory().db.borrow().execute_batch(&full).unwrap();
    attempt(&acme, &stranger(1), "bob", "wrong").expect(401);
    let refused = attempt(&acme, &stranger(2), "ada", PASSWORD).expect(429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
    world.advance(60_000);
    attempt(&acme, &stranger(2), "ada", PASSWORD).expect(200);
}

/// The rows that attackers and users cause are bounded, and are deleted.
#[test]
fn invented_names_fill_few_rows_and_the_cron_takes_them_away() {
    let world = World::new();
    let acme = world.tenant("acme");
    for at in 0..40 {
        attempt(&acme, &stranger(at), &format!("invented-{at}"), "wrong").expect(401);
    }
    let longest = "select max(length(account)) from attempts";
    assert_eq!(count(&world, longest), 3);
    acme.user("ada");
    for at in 0..u64::from(KNOWN_NETWORKS) + 10 {
        attempt(&acme, &stranger(at), "ada", PASSWORD).expect(200);
        world.advance(1);
    }
    assert_eq!(count(&world, "select count(*) from networks"), i64::from(KNOWN_NETWORKS));
    let oldest = format!("select count(*) from networks where network = '{}'", stranger(9));
    assert_eq!(count(&world, &oldest), 0, "the ones that were used longest ago went");
    world.advance(ACCOUNT_WINDOW_SECS * 1000 + 1);
    block_on(crate::inside::sweep::clean(&world.app)).unwrap();
    assert_eq!(count(&world, "select count(*) from attempts"), 0);
    world.advance(KNOWN_NETWORK_SECS * 1000);
    block_on(crate::inside::sweep::clean(&world.app)).unwrap();
    assert_eq!(count(&world, "select count(*) from networks"), 0);
}

#[test]
fn of_a_user_who_is_gone_nothing_is_kept() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
    let of_ada = format!(
        "select (select count(*) from attempts where account = '{ada}')
              + (select count(*) from networks where user = '{ada}')"
    );
    assert!(count(&world, &of_ada) > 1);
    acme.change("ada", |row| row.status = UserStatus::Deleted);
    assert_eq!(count(&world, &of_ada), 0);
}

#[test]
fn a_confirmed_network_is_known_for_its_time_and_a_lifted_count_is_gone() {
    let world = World::new();
    let acme = world.tenant("acme");
    let ada = acme.user("ada");
    hammer(&acme, "ada", ACCOUNT_ATTEMPTS_MAX);
    attempt(&acme, HOME, "ada", PASSWORD).expect(429);
    let order = |command: &Command| world.signed("/internal/v1/command", Tag::Command, command);
    let until_ms = i64::try_from(world.memory().now_ms.get()).unwrap() + 3_600_000;
    let confirm = |user| Command::ConfirmNetwork { tenant: acme.id(), user, network: HOME.into(), until_ms };
    assert_eq!(order(&confirm(acme.user_id("nobody"))).expect(200).json()["confirmed"], false);
    assert_eq!(order(&confirm(ada)).expect(200).json()["confirmed"], true);
    attempt(&acme, HOME, "ada", "wrong").expect(401);
    attempt(&acme, "203.0.113.8", "ada", PASSWORD).expect(429);
    world.advance(3_600_000);
    attempt(&acme, HOME, "ada", PASSWORD).expect(429);
    let lift = Command::LiftAttempts { tenant: acme.id(), user: ada };
    assert!(order(&lift).expect(200).json()["lifted"].as_u64().unwrap() > 1);
    assert_eq!(order(&lift).expect(200).json()["lifted"], 0);
    attempt(&acme, HOME, "ada", PASSWORD).expect(200);
}
