//! From the edge's outbox into the audit log: every fact arrives, and arrives once, however many
//! calls, answers and acknowledgements are lost or come twice, and whenever control is killed.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use rand::Rng as _;
use rand::rngs::StdRng;
use shared::contract::limits::FAMILIES;
use tokio::time::sleep;
use wardgate_tests::actors::{Tenant, User};
use wardgate_tests::seed;
use wardgate_tests::signed::edge_status;
use wardgate_tests::stack::Stack;
use wardgate_tests::tap::Tap;
use wardgate_tests::wait::until;

const ROUNDS: usize = 6;
const SIGN_INS: usize = 8;
/// A killed control may leave its turn at the edge taken, for the half minute of its lease.
const KILLED_EVERY: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fact_arrives_once_whatever_is_lost() {
    let stack = Stack::tapped("drain").await;
    let tap = stack.tap.as_ref().expect("a tapped stack");
    let acme = Tenant::create(&stack).await;
    let ada = acme.user("ada").await;
    assert!(ROUNDS * SIGN_INS < FAMILIES as usize, "more would end sessions and make facts of their own");
    let mut rng = seed::rng("drain");
    let mut sids = Vec::new();
    tap.lose_drains(true);
    for round in 0..ROUNDS {
        sids.extend(sign_ins(&ada).await);
        if round % KILLED_EVERY == 0 {
            kill_and_start(&stack, &mut rng).await;
        }
        after_a_drain(tap, &mut rng).await;
    }
    tap.lose_drains(false);

    until("the outbox to be empty", async || (edge_status(&stack, acme.id).await.outbox == 0).then_some(()))
        .await;
    let mut found: HashMap<String, u32> = HashMap::new();
    for entry in acme.admin.audit().await {
        if let (Some("edge.signed_in"), Some(sid)) =
            (entry["action"].as_str(), entry["details"]["sid"].as_str())
        {
            *found.entry(sid.to_owned()).or_default() += 1;
        }
    }
    for sid in &sids {
        assert_eq!(found.get(sid), Some(&1), "the sign-in of session {sid}");
    }
    let lost = tap.lost().await;
    eprintln!("{} sign-ins once each, with {lost:?}", sids.len());
    assert!(lost.requests + lost.answers + lost.repeated > 0, "nothing went wrong, so nothing was shown");
}

async fn sign_ins(ada: &User<'_>) -> Vec<String> {
    let sessions = join_all((0..SIGN_INS).map(|_| ada.sign_in())).await;
    sessions.iter().map(|session| session.claim("sid")).collect()
}

/// Kills control at some moment of its two-second round of drains.
async fn kill_and_start(stack: &Stack, rng: &mut StdRng) {
    sleep(Duration::from_millis(rng.random_range(0..2500))).await;
    stack.kill_control().await;
    stack.start_control().await;
}

/// Lets the next drain call come and, perhaps, go.
async fn after_a_drain(tap: &Tap, rng: &mut StdRng) {
    let before = tap.drains();
    until("another drain call", async || (tap.drains() > before).then_some(())).await;
    sleep(Duration::from_millis(rng.random_range(0..500))).await;
}
