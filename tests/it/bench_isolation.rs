//! `./wardgate bench isolation`: how long a tenant's sign-ins take while another tenant is under attack, with the budget of hashes
//! and without it. No test: it measures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use shared::contract::limits::HASHES_PER_SEC;
use tokio::time::sleep;
use wardgate_tests::actors::{Tenant, User};
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;

const ROUNDS: usize = 40;
const ATTACKERS: usize = 8;
/// What is promised: with the budget on, no sign-in elsewhere takes more than so many times its quiet time, by medians.
const PROMISED: f64 = 2.0;

#[allow(clippy::disallowed_methods, reason = "durations are what is printed")]
fn now() -> Instant {
    Instant::now()
}

/// Sign-ins one after the other, within the own budget; the median in milliseconds.
async fn median(user: &User<'_>) -> f64 {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = now();
        let _ = user.sign_in().await;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        sleep(Duration::from_millis(120)).await;
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The same while eight others sign in elsewhere without a pause, each time from another network. How many of them got in,
/// and how many were refused.
async fn under_attack(victim: &User<'_>, target: &Tenant<'_>, attacked: &User<'_>) -> (f64, u64, u64) {
    let (over, granted, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let body = json!({"username": attacked.username, "password": attacked.password});
    let attack = async || {
        while !over.load(Ordering::SeqCst) {
            let at = granted.load(Ordering::SeqCst) + refused.load(Ordering::SeqCst);
            let from = format!("198.51.{}.{}", at / 250 % 250, at % 250);
            let request = target.http.request(Method::POST, "/api/token/").header("cf-connecting-ip", from);
            let reply = Reply::to(request.json(&body)).await;
            match reply.status {
                200 => granted.fetch_add(1, Ordering::SeqCst),
                429 => refused.fetch_add(1, Ordering::SeqCst),
                other => panic!("{other}: {}", reply.text),
            };
            if reply.status == 429 {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let attackers = join_all((0..ATTACKERS).map(|_| attack()));
    let measured = async {
        sleep(Duration::from_secs(1)).await;
        let measured = median(victim).await;
        over.store(true, Ordering::SeqCst);
        measured
    };
    let (_, measured) = futures::future::join(attackers, measured).await;
    (measured, granted.into_inner(), refused.into_inner())
}

#[tokio::test]
#[ignore = "measures, and wants a quiet machine: ./wardgate bench isolation"]
async fn bench_isolation() {
    let stack = Stack::own("bench-isolation").await;
    // On a machine that is slower than an isolate of the runtime, or busy, a hash takes longer: then a smaller budget shows the
    // same share of the thread.
    let budget = std::env::var("WARDGATE_BENCH_HASHES_PER_SEC").ok().and_then(|text| text.parse().ok());
    let budget: u64 = budget.unwrap_or(HASHES_PER_SEC);
    let with_budget = json!({"settings": {"hashes_per_sec": budget}});
    // What the victim's own budget would be is no matter here.
    let quiet = Tenant::create(&stack).await;
    let attacked = Tenant::create_with(&stack, with_budget).await;
    let (victim, target) = (quiet.user("ada").await, attacked.user("eve").await);
    let _ = (victim.sign_in().await, target.sign_in().await);
    sleep(Duration::from_secs(1)).await;
    let alone = median(&victim).await;
    let (with, granted, refused) = under_attack(&victim, &attacked, &target).await;
    attacked.change(&json!({"settings": {"hashes_per_sec": 0}})).await;
    attacked.settle().await;
    sleep(Duration::from_secs(4)).await;
    let (without, granted_without, _) = under_attack(&victim, &attacked, &target).await;
    eprintln!("a budget of {budget} hashes a second;");
    eprintln!(
        "sign-ins of a tenant, median of {ROUNDS}, while {ATTACKERS} sign in at another without a pause:"
    );
    eprintln!("  quiet                 {alone:8.1} ms");
    eprintln!(
        "  with the budget       {with:8.1} ms  x{:.2}  ({granted} got in there, {refused} were refused)",
        with / alone
    );
    eprintln!(
        "  without the budget    {without:8.1} ms  x{:.2}  ({granted_without} got in there)",
        without / alone
    );
    assert!(with <= PROMISED * alone, "more than {PROMISED} times the quiet time");
}
