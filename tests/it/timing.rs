//! How long a refusal takes tells nothing either, where passwords of another service are left: judged by
//! ranks over interleaved sign-ins, with control and without it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::Django;
use wardgate_tests::http::Reply;
use wardgate_tests::ranks::mann_whitney;
use wardgate_tests::seed;
use wardgate_tests::stack::Stack;

/// Sign-ins of each kind.
const ROUNDS: usize = 300;
/// A name is tried less often than guessing is stopped.
const TRIES: usize = 9;
const NAMES: usize = ROUNDS.div_ceil(TRIES);
/// Chance alone gives more than this once in 15,000 comparisons.
const FAR: f64 = 4.0;
const PASSWORD: &str = "Corr3ct-horse";
const KINDS: [&str; 5] = ["unknown", "native", "foreign", "suspended", "bare"];

async fn try_sign_in(tenant: &Tenant<'_>, username: &str, password: &str) -> Reply {
    try_sign_in_from(Ipv4Addr::LOCALHOST, tenant, username, password).await
}

/// From many networks, of which none is stopped: a fast machine tries more often than one network may.
async fn try_sign_in_from(client: Ipv4Addr, tenant: &Tenant<'_>, username: &str, password: &str) -> Reply {
    let request = tenant.http.request(Method::POST, "/api/token/");
    let body = json!({"username": username, "password": password});
    Reply::to(request.header("cf-connecting-ip", client.to_string()).json(&body)).await
}

/// Wrong passwords, but for who is suspended: theirs is right.
fn password(kind: &str) -> &'static str {
    if kind == "suspended" { PASSWORD } else { "Corr3ct-horsf" }
}

/// Users of every kind but the unknown. Who is native has signed in once; half of the suspended have, too.
async fn users(acme: &Tenant<'_>) {
    let users: Vec<Value> = KINDS[1..]
        .iter()
        .flat_map(|kind| (0..NAMES).map(move |at| (kind, at)))
        .map(|(kind, at)| {
            let password = (*kind != "bare").then_some(PASSWORD);
            json!({"username": format!("{kind}{at}"), "password": password})
        })
        .collect();
    let django = Django::of(&json!(users)).await;
    acme.import_from(&django).await;
    for at in 0..NAMES {
        let _ = try_sign_in(acme, &format!("native{at}"), PASSWORD).await.expect(200);
        if at % 2 == 0 {
            let _ = try_sign_in(acme, &format!("suspended{at}"), PASSWORD).await.expect(200);
        }
        let found =
            acme.admin.get(&format!("/api/user/users/?username=suspended{at}")).await.expect(200).json();
        let id = found["results"][0]["id"].as_str().expect("a user");
        let change = json!({"status": "suspended"});
        let _ = acme.admin.patch(&format!("/api/user/users/{id}/"), &change).await.expect(200);
    }
    acme.settle().await;
}

/// Milliseconds of each kind, interleaved in an order of chance, and the one answer that they all got.
async fn measure(acme: &Tenant<'_>, status: u16) -> [Vec<f64>; 5] {
    let mut rng = seed::rng("refusals");
    let mut taken: [Vec<f64>; 5] = Default::default();
    let mut answer = None;
    let mut order = [0, 1, 2, 3, 4];
    for round in 0..ROUNDS {
        order.shuffle(&mut rng);
        let client = Ipv4Addr::new(198, 51, 100, u8::try_from(round % 200).expect("a byte"));
        for at in order {
            let name = format!("{}{}", KINDS[at], round % NAMES);
            #[allow(clippy::disallowed_methods, reason = "durations are what this is about")]
            let began = Instant::now();
            let reply = try_sign_in_from(client, acme, &name, password(KINDS[at])).await.expect(status);
            taken[at].push(began.elapsed().as_secs_f64() * 1000.0);
            let fingerprint = reply.fingerprint();
            assert_eq!(*answer.get_or_insert_with(|| fingerprint.clone()), fingerprint, "{name}");
        }
    }
    taken
}

/// No kind can be told from the unknown; and a difference of a quarter, less than one hash, would have been seen.
fn judge(what: &str, taken: &[Vec<f64>; 5]) {
    let median = |of: &[f64]| {
        let mut sorted = of.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let unknown = &taken[0];
    eprintln!("{what}: {} at {:.2} ms", KINDS[0], median(unknown));
    for (kind, durations) in KINDS.iter().zip(taken).skip(1) {
        let found = mann_whitney(durations, unknown);
        eprintln!("{what}: {kind} at {:.2} ms, z {:+.2}, p {:.3}", median(durations), found.z, found.p);
        assert!(found.z.abs() < FAR, "{what}: {kind} can be told: {found:?}");
    }
    let planted: Vec<f64> = taken[2].iter().map(|ms| ms + median(unknown) / 4.0).collect();
    let found = mann_whitney(&planted, unknown);
    eprintln!("{what}: a quarter more for {}, z {:+.2}, p {:.1e}", KINDS[2], found.z, found.p);
    assert!(found.z > FAR, "{what}: a quarter more would not be seen: {found:?}");
}

#[tokio::test]
async fn how_long_a_refusal_takes_tells_nothing() {
    let stack = Stack::own("timing").await;
    let acme = Tenant::create(&stack).await;
    users(&acme).await;
    let with_control = measure(&acme, 401).await;
    judge("with control", &with_control);
    // Wrong tries are forgotten, and nobody is left to ask.
    stack.pass(Duration::from_secs(301)).await;
    stack.kill_control().await;
    judge("without control", &measure(&acme, 503).await);
}
