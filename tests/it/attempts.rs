//! Guessing passwords: no more than ten wrong tries are ever looked at, however they come.

use futures::future::join_all;
use serde_json::json;
use wardgate_tests::actors::{Tenant, User};
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;

const LIMIT: usize = 10;

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// A throttled answer says when to come back, in both places alike.
fn assert_throttled(reply: &Reply) {
    assert_eq!(reply.status, 429, "{}", reply.text);
    let secs: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=300).contains(&secs), "{secs}");
    let unit = if secs == 1 { "second" } else { "seconds" };
    let detail = format!("Request was throttled. Expected available in {secs} {unit}.");
    assert_eq!(reply.json(), json!({"detail": detail}));
}

async fn volley(user: &User<'_>) -> Vec<Reply> {
    join_all((0..16).map(async |at| user.try_sign_in_with(&format!("wrong guess {at}")).await)).await
}

#[tokio::test]
async fn sixteen_wrong_guesses_at_once_are_at_most_ten_verified_ones() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let mut verified = 0;
    for round in 1..=3 {
        let replies = volley(&ada).await;
        verified += count(&replies, 401);
        assert_eq!(count(&replies, 401) + count(&replies, 429), 16);
        assert!(verified <= LIMIT, "{verified} verified guesses after round {round}");
        replies.iter().filter(|reply| reply.status == 429).for_each(assert_throttled);
    }
    assert_eq!(verified, LIMIT);
    // The right password tells nothing either, and other users are not bothered.
    assert_throttled(&ada.try_sign_in().await);
    let _ = acme.user("grace").await.sign_in().await;
}

#[tokio::test]
async fn a_name_that_nobody_has_is_counted_alike() {
    let acme = Tenant::create(Stack::shared().await).await;
    let mut replies = Vec::new();
    for spelling in ["nobody", " Nobody ", "NOBODY"].iter().cycle().take(12) {
        let guess = json!({"username": spelling, "password": "whatever it is"});
        replies.push(acme.http.post("/api/token/", &guess).await);
    }
    assert_eq!((count(&replies, 401), count(&replies, 429)), (LIMIT, 2));
}

#[tokio::test]
async fn right_passwords_use_nothing_up() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let _ = join_all((0..9).map(|_| ada.try_sign_in_with("wrong guess"))).await;
    for _ in 0..5 {
        let _ = ada.sign_in().await;
    }
    let _ = ada.try_sign_in_with("wrong guess").await.expect(401);
    assert_throttled(&ada.try_sign_in_with("wrong guess").await);
}
