//! Control and PostgreSQL are gone, killed. The edge goes on with all of its own work, and what it
//! recorded meanwhile arrives in the audit log when they are back, each fact once.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use wardgate_tests::actors::{Session, Tenant};
use wardgate_tests::database::Database;
use wardgate_tests::server::Server;
use wardgate_tests::stack::{Stack, free_port};
use wardgate_tests::{verifier, wait};

/// Facts by kind and session.
type Facts = HashMap<(String, Option<String>), u32>;

fn expect(facts: &mut Facts, kind: &str, session: &Session) {
    facts.insert((format!("edge.{kind}"), Some(session.claim("sid"))), 1);
}

/// What the audit log has of the sessions that were counted, by kind and session.
fn found(entries: &[Value], expected: &Facts) -> Facts {
    let mut found = Facts::new();
    for entry in entries {
        let action = entry["action"].as_str().unwrap_or_default().to_owned();
        let key = (action, entry["details"]["sid"].as_str().map(ToOwned::to_owned));
        if expected.contains_key(&key) {
            *found.entry(key).or_default() += 1;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_works_on_without_control_and_postgresql() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, port) = (folder.path().join("state"), free_port());
    let mut server = Server::start("outage", &state, port);
    let stack = Stack::over("outage", Database::create_on(&server.url).await).await;
    let acme = Tenant::create(&stack).await;
    let users = acme.users(4).await;
    let (ada, eve) = (&users[0], &users[1]);
    let before = ada.sign_in().await;
    let mut facts = Facts::new();
    expect(&mut facts, "signed_in", &before);

    stack.kill_control().await;
    server.kill().await;

    works_on(&acme, &before).await;
    for _ in 0..10 {
        let session = ada.sign_in().await;
        expect(&mut facts, "signed_in", &session);
        let session = session.refreshed().await;
        let _ = session.validate().await.expect(200);
        let _ = session.log_out().await.expect(204);
        expect(&mut facts, "signed_out", &session);
    }
    let stolen = eve.sign_in().await;
    expect(&mut facts, "signed_in", &stolen);
    let third = stolen.refreshed().await.refreshed().await;
    let _ = third.refreshed().await;
    let _ = stolen.try_refresh().await.expect(401);
    expect(&mut facts, "reuse_detected", &stolen);
    for guess in 0..3 {
        let _ = users[2].try_sign_in_with(&format!("wrong guess {guess}")).await.expect(401);
    }
    // Longer than what is known stays young, and long enough to close the minute of the guesses.
    stack.pass(Duration::from_secs(120)).await;
    let _ = before.validate().await.expect(200);

    server = Server::start("outage", &state, port);
    stack.start_control().await;

    arrived_once(&acme, &facts).await;
    drop(stack);
    drop(server);
}

/// Everything that is the edge's own, while nothing stands behind it.
async fn works_on(acme: &Tenant<'_>, session: &Session) {
    let _ = session.validate().await.expect(200);
    let _ = session.verify(&session.refresh).await.expect(200);
    let _ = session.verify(&session.access).await.expect(200);
    let keys = acme.keys().await;
    assert!(keys.verify(&session.access).is_ok());
    let pem = acme.http.get("/api/public-key/").await.expect(200).text_at("public_key");
    assert!(verifier::holds_under_pem(&session.access, &pem));
    let _ = acme.http.get("/readyz").await;
    let forwarded = session.me().await.expect(503);
    assert_eq!(forwarded.text_at("code"), "unavailable");
    assert_eq!(forwarded.header("retry-after"), "1");
    assert_eq!(forwarded.header("content-type"), "application/json");
}

async fn arrived_once(acme: &Tenant<'_>, expected: &Facts) {
    // Signed in before the clock moved, the administrator would be expired by now at the edge.
    acme.administer_by_hand();
    let (entries, took) = wait::until("every fact in the audit log", async || {
        let entries = acme.admin.audit().await;
        let complete = found(&entries, expected).len() == expected.len();
        let guesses = entries.iter().any(|entry| entry["action"] == "edge.sign_in_refused");
        (complete && guesses).then_some(entries)
    })
    .await;
    assert_eq!(found(&entries, expected), *expected, "each once");
    let guesses: Vec<_> = entries.iter().filter(|entry| entry["action"] == "edge.sign_in_refused").collect();
    // One fact for one name, network and minute; two where the minute changed between the guesses.
    let tried: u64 = guesses.iter().filter_map(|entry| entry["details"]["count"].as_u64()).sum();
    assert!(guesses.len() <= 2 && tried == 3, "{guesses:?}");
    assert_eq!(guesses[0]["outcome"], json!("refused"));
    eprintln!("{} facts of the outage arrived once each, {took:?} after control was ready", expected.len());
}
