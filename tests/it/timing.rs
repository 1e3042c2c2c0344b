//! How long a refusal takes tells nothing either, where passwords of another service are left: judged by
//! ranks over interleaved sign-ins, with control and without it.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::Django;
use wardgate_tests::environment::scaled;
use wardgate_tests::http::Reply;
use wardgate_tests::ranks::Sample;
use wardgate_tests::seed;
use wardgate_tests::stack::Stack;

/// Sign-ins of each kind at a time. A tenant takes 1,000 wrong passwords in a minute.
const LOT: usize = 60;
/// At most so many lots: a busy machine needs more of them to show a difference.
const LOTS: usize = 5;
const ROUNDS: usize = LOTS * LOT;
/// What a kind would take longer, as a part of the whole, is seen. A quarter more is less than one hash.
const SHARE: f64 = 0.25;
/// A name is tried less often than guessing is stopped.
const TRIES: usize = 9;
const NAMES: usize = ROUNDS.div_ceil(TRIES);
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

/// Refusals of every kind, which are all alike.
async fn refused(acme: &Tenant<'_>, status: u16) -> Sample {
    let mut rng = seed::rng("refusals");
    let mut sample = Sample::of(&KINDS);
    let ask = async |kind: &'static str, round: usize| {
        let client = Ipv4Addr::new(198, 51, 100, u8::try_from(round % 200).expect("a byte"));
        let name = format!("{kind}{}", round % NAMES);
        try_sign_in_from(client, acme, &name, password(kind)).await.expect(status)
    };
    for lot in 0..LOTS {
        sample
            .take(&mut rng, LOT, async |kind: &'static str, round| ask(kind, lot * LOT + round).await)
            .await;
        acme.stack().pass(Duration::from_secs(61)).await;
        if lot + 1 >= scaled(1, LOTS) && sample.would_show("foreign", SHARE) {
            break;
        }
    }
    sample
}

#[tokio::test]
async fn how_long_a_refusal_takes_tells_nothing() {
    let stack = Stack::own("timing").await;
    let acme = Tenant::create(&stack).await;
    users(&acme).await;
    refused(&acme, 401).await.judge("with control", "foreign", SHARE);
    // The attempts expire, and control is stopped.
    stack.pass(Duration::from_secs(301)).await;
    stack.kill_control().await;
    refused(&acme, 503).await.judge("without control", "foreign", SHARE);
}
