//! Guessing passwords: no more than ten wrong tries are ever looked at, however they come.

use futures::future::{join, join_all};
use reqwest::Method;
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

async fn try_from(acme: &Tenant<'_>, client: &str, password: &str) -> Reply {
    let request = acme.http.request(Method::POST, "/api/token/").header("cf-connecting-ip", client);
    Reply::to(request.json(&json!({"username": "ada", "password": password}))).await
}

/// Strangers everywhere, all at once and again and again, and the owner at home, at the same time.
#[tokio::test]
async fn an_owner_signs_in_at_home_while_strangers_hammer_the_name() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let _ = try_from(&acme, "203.0.113.7", &ada.password).await.expect(200);
    let mut looked_at = 0;
    for round in 0..4 {
        let strangers = (0..16).map(|at| format!("198.51.{round}.{at}"));
        let strangers = join_all(strangers.map(async |client| try_from(&acme, &client, "wrong guess").await));
        let owner = async {
            let mut statuses = Vec::new();
            for _ in 0..3 {
                statuses.push(try_from(&acme, "203.0.113.7", &ada.password).await.status);
            }
            statuses
        };
        let (strangers, owner) = join(strangers, owner).await;
        assert_eq!(owner, [200; 3], "round {round}");
        looked_at += count(&strangers, 401);
        assert_eq!(count(&strangers, 401) + count(&strangers, 429), 16);
    }
    // Twenty free, and then one whenever a wait of one second, two, four is over.
    assert!((20..32).contains(&looked_at), "{looked_at}");
    let elsewhere = try_from(&acme, "203.0.113.8", &ada.password).await;
    assert!([200, 429].contains(&elsewhere.status), "{}", elsewhere.text);
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
