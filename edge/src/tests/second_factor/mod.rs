//! Second factors: which users need one, which codes are accepted, once, and the cost of a wrong one.

mod challenges;
mod codes;
mod devices;
mod guesser;
mod policy;
mod pushed;
mod races;
mod step_up;
mod table;

use serde_json::{Value, json};
use shared::derive::Secret;
use shared::ids::{AuthenticatorId, TenantId, UserId};
use shared::second_factor::recovery::RecoveryCode;
use shared::second_factor::totp::{STEP_SECS, Seed, code_at};
use shared::wire::needs::{Needs, SECOND_FACTOR};
use shared::wire::push::{AuthenticatorRow, IdentifierRow, RecoveryCodeRow, RecoveryRow, UserRow};
use shared::wire::seal::Kind;

use super::fixture::{Actor, Answered, PASSWORD, World, seal};
use crate::sql;

const STEP_MS: u64 = STEP_SECS * 1000;
const DAY_MS: u64 = 86_400_000;

fn seed(number: u8) -> Seed {
    Seed::new([number; 20])
}

/// The row of an authenticator by number.
fn authenticator(tenant: TenantId, number: u8) -> AuthenticatorRow {
    let id = AuthenticatorId::new(9, [number; 10]);
    let seed = seal(tenant, Kind::TotpSeed, &id.to_string(), seed(number).expose());
    AuthenticatorRow { id, seed, last_step: 0 }
}

/// A recovery code by number, as its owner has it.
fn recovery_code(number: u8) -> String {
    RecoveryCode::new([number; 10]).to_text().to_string()
}

/// The set of these recovery codes, none used.
fn recovery(tenant: TenantId, user: UserId, numbers: &[u8]) -> RecoveryRow {
    let key = [0x77; 32];
    let hash = |number: &u8| {
        let hash = RecoveryCode::new([*number; 10]).hash(&Secret::new(key), tenant, user);
        RecoveryCodeRow { hash: IdentifierRow::encode_hash(&hash), used_at: None }
    };
    let sealed = seal(tenant, Kind::RecoveryKey, &user.to_string(), &key);
    RecoveryRow { key: sealed, codes: numbers.iter().map(hash).collect() }
}

/// The columns of a user with these authenticators and recovery codes.
fn with_factors(tenant: TenantId, authenticators: &[u8], codes: &[u8]) -> impl FnOnce(&mut UserRow) + use<> {
    let authenticators: Vec<_> = authenticators.iter().map(|number| authenticator(tenant, *number)).collect();
    let codes = codes.to_vec();
    move |row| {
        row.authenticators = authenticators;
        row.recovery = (!codes.is_empty()).then(|| recovery(tenant, row.id, &codes));
        row.needs = Needs::of(&[SECOND_FACTOR]);
    }
}

/// A tenant with ada, who has authenticator 1 and the recovery codes 1 to 3, and bob, who has neither.
fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.user("bob");
    acme.change("ada", with_factors(acme.id(), &[1], &[1, 2, 3]));
    // The isolate has met the tenant.
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    (world, acme)
}

/// The code of an authenticator, so many steps from now.
fn code_from_now(world: &World, number: u8, steps: i64) -> String {
    let now = world.memory().now_ms.get() / STEP_MS;
    code_at(&seed(number), now.checked_add_signed(steps).unwrap()).unwrap()
}

fn code(world: &World, number: u8) -> String {
    code_from_now(world, number, 0)
}

/// Six digits that are no code of authenticator 1 at any step near now.
fn wrong_code(world: &World) -> String {
    let good: Vec<_> = (-3..=3).map(|steps| code_from_now(world, 1, steps)).collect();
    (0..10).map(|number| format!("00000{number}")).find(|code| !good.contains(code)).unwrap()
}

/// A sign-in of ada's with the right password and these fields.
fn sign_in_with(acme: &Actor, more: &Value) -> Answered {
    let mut body = json!({"username": "ada", "password": PASSWORD});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    acme.post("/api/token/", &body)
}

/// The challenge that ada's right password gets.
fn mfa_token(acme: &Actor) -> String {
    sign_in_with(acme, &json!({})).expect(401).text("mfa_token")
}

fn verify_otp(acme: &Actor, token: &str, otp: &str) -> Answered {
    acme.post("/api/verify-otp/", &json!({"mfa_token": token, "otp": otp}))
}

fn invalid(answer: Answered) -> Answered {
    let answer = answer.expect(401);
    assert_eq!(answer.json(), json!({"detail": "Invalid or expired code.", "code": "otp_invalid"}));
    answer
}

fn count(world: &World, sql: &str) -> i64 {
    world.memory().db.borrow().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn run(world: &World, text: &str) {
    world.memory().db.borrow().execute_batch(text).unwrap();
}

/// The facts that wait: kind, and what else they say.
fn facts(world: &World) -> Vec<(String, Value)> {
    let facts = world.memory().run(&sql::OUTBOX.bind([1000.into()])).into_iter();
    let more = |fact: &Value| match fact["more"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => json!({}),
    };
    facts.map(|fact| (fact["kind"].as_str().unwrap().to_owned(), more(&fact))).collect()
}

fn kinds(world: &World) -> Vec<String> {
    facts(world).into_iter().map(|(kind, _)| kind).collect()
}

/// Lets `change` commit between the two batches of the next sign-in: while its hash runs.
fn while_hashing(world: &World, change: impl Into<String>) {
    let (armed, change) = (world.clone(), change.into());
    *world.memory().meanwhile.borrow_mut() = Some(Box::new(move |_| {
        *armed.memory().meanwhile.borrow_mut() = Some(Box::new(move |db| db.execute_batch(&change).unwrap()));
    }));
}
