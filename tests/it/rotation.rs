//! A rotation under traffic: no unexpired token fails, neither at the edge nor at a verifier that
//! keeps the key set for as long as it may.

use std::time::Duration;

use serde_json::json;
use wardgate_tests::actors::{Session, Tenant};
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier::{KeySet, open};

/// How long a verifier may go without the newest key set: max-age and stale-while-revalidate.
const CACHED_SECS: u64 = 900;
const STEP: Duration = Duration::from_secs(50);

/// A resource server that checks signatures alone and fetches the keys as seldom as it may.
struct Offline {
    keys: KeySet,
    fetched_at: u64,
}

impl Offline {
    async fn verify(&mut self, acme: &Tenant<'_>, token: &str) {
        let now = acme.stack().edge_now_secs().await;
        if now - self.fetched_at > CACHED_SECS {
            (self.keys, self.fetched_at) = (acme.keys().await, now);
        }
        self.keys.verify(token).expect("an unexpired token under the keys that were kept");
    }
}

#[tokio::test]
async fn no_unexpired_token_fails_while_the_key_changes() {
    let stack = Stack::own("rotation").await;
    let acme = Tenant::create(&stack).await;
    let ada = acme.user("ada").await;
    let mut session = ada.sign_in().await;
    let old_kid = open(&session.access).header["kid"].clone();
    let sign_from = rotate(&acme).await;
    let now = stack.edge_now_secs().await;
    // staleness limit + max-age + stale-while-revalidate + a minute for clocks
    assert!((now + 1800..now + 1920).contains(&sign_from), "{sign_from} is {} s away", sign_from - now);

    let mut offline = Offline { keys: acme.keys().await, fetched_at: now };
    let mut alive: Vec<Session> = Vec::new();
    let mut signed_by_new = 0;
    while stack.edge_now_secs().await < sign_from + CACHED_SECS + 300 {
        session = session.refreshed().await;
        alive.push(session.clone());
        alive.push(ada.sign_in().await);
        let now = stack.edge_now_secs().await;
        alive.retain(|session| session.claims()["exp"].as_u64().is_some_and(|exp| exp > now + 2));
        for session in &alive {
            offline.verify(&acme, &session.access).await;
            let _ = session.validate().await.expect(200);
        }
        let by_new = open(&session.access).header["kid"] != old_kid;
        // In the very second of the switch either is right: the answer's time has no fraction.
        let issued_at = session.claims()["iat"].as_u64().expect("a time");
        assert!(issued_at == sign_from || by_new == (issued_at > sign_from), "it switches at its time");
        signed_by_new += u32::from(by_new);
        stack.pass(STEP).await;
    }
    assert!(signed_by_new > 10);
}

/// Plans the switch to the next key and says when it signs, in Unix seconds.
async fn rotate(acme: &Tenant<'_>) -> u64 {
    let path = format!("{}keys/rotate/", acme.path());
    let _ = acme.admin.post(&path, &json!({})).await.expect(200);
    // A second one while the first is on its way would skip what verifiers wait for.
    let _ = acme.admin.post(&path, &json!({})).await.expect(409);
    acme.settle().await;
    let listed = acme.admin.get(&format!("{}keys/", acme.path())).await.expect(200).json();
    let next = listed["results"].as_array().expect("keys").iter().find(|key| key["state"] == "next");
    let sign_from = next.expect("a next key")["sign_from"].as_str().expect("a time").to_owned();
    let sign_from = chrono::DateTime::parse_from_rfc3339(&sign_from).expect("an ISO 8601 time");
    u64::try_from(sign_from.timestamp()).expect("a time after 1970")
}
