//! What is revoked in control is refused at the edge: twenty of twenty each, at an edge that is busy with the very
//! token. Five seconds are promised; the slowest is printed.

use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt as _, stream};
use rand::Rng as _;
use serde_json::json;
use tokio::time::sleep;
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::stack::Stack;
use wardgate_tests::wait::{slowest, until};
use wardgate_tests::{secrets, seed};

const TIMES: usize = 20;

/// Waits until a session is refused, by nothing but the question that a resource server asks.
async fn refused(session: &Session) -> Duration {
    let refused = async || {
        let reply = session.validate().await;
        (reply.status == 401).then_some(reply)
    };
    until("the token to be refused", refused).await.1
}

/// Trials at the same time: enough that they meet, few enough that two cores do not make them wait.
const AT_ONCE: usize = 5;

/// One trial for each user, each after a pause of its own.
async fn trials<'p>(
    test: &str,
    users: &'p [User<'p>],
    trial: impl AsyncFn(&'p User<'p>, Duration) -> Duration,
) {
    let offsets = offsets(test);
    let trials = users.iter().zip(offsets).map(|(user, offset)| trial(user, offset));
    let times: Vec<_> = stream::iter(trials).buffered(AT_ONCE).collect().await;
    report(test, &times);
}

/// Spreads the changes, so that they meet the isolate at every age of what it knows.
fn offsets(test: &str) -> Vec<Duration> {
    let mut rng = seed::rng(test);
    (0..TIMES).map(|_| Duration::from_millis(rng.random_range(0..3000))).collect()
}

fn report(what: &str, times: &[Duration]) {
    assert_eq!(times.len(), TIMES);
    eprintln!("{what}: {TIMES} of {TIMES}, the slowest after {:?}", slowest(times));
}

#[tokio::test]
async fn a_suspended_user_is_refused() {
    let acme = Tenant::create(Stack::shared().await).await;
    let users = acme.users(TIMES).await;
    trials("suspend a person", &users, async |user, offset| {
        let session = user.sign_in().await;
        sleep(offset).await;
        let _ = session.validate().await.expect(200);
        user.suspend().await;
        let time = refused(&session).await;
        assert_eq!(session.me().await.expect(401).text_at("code"), "user_inactive");
        let refresh = session.try_refresh().await.expect(401);
        assert_eq!(refresh.text_at("detail"), "No active account found for the given token.");
        let _ = user.try_sign_in().await.expect(401);
        time
    })
    .await;
}

#[tokio::test]
async fn a_role_that_was_taken_is_in_no_token_any_more() {
    let acme = Tenant::create(Stack::shared().await).await;
    let users = acme.users(TIMES).await;
    trials("take a role", &users, async |user, offset| {
        let session = user.sign_in().await;
        sleep(offset).await;
        let _ = session.validate().await.expect(200);
        user.change(&json!({"roles": ["staff"]})).await;
        let time = refused(&session).await;
        // The session lives on: the refresh brings the roles of now.
        let renewed = session.refreshed().await;
        assert_eq!(renewed.claims()["roles"], json!(["staff"]));
        let _ = renewed.validate().await.expect(200);
        time
    })
    .await;
}

#[tokio::test]
async fn a_changed_password_ends_every_session() {
    let acme = Tenant::create(Stack::shared().await).await;
    let users = acme.users(TIMES).await;
    trials("change a password", &users, async |user, offset| {
        let session = user.sign_in().await;
        sleep(offset).await;
        let _ = session.validate().await.expect(200);
        let password = secrets::password();
        user.change(&json!({"password": password})).await;
        let time = refused(&session).await;
        assert_eq!(session.me().await.expect(401).text_at("code"), "password_changed");
        assert_eq!(session.try_refresh().await.expect(401).text_at("detail"), "Token is blacklisted");
        let _ = user.try_sign_in().await.expect(401);
        let _ = user.try_sign_in_with(&password).await.expect(200);
        time
    })
    .await;
}

#[tokio::test]
async fn a_session_that_was_signed_out_is_refused_and_its_neighbour_lives() {
    let acme = Tenant::create(Stack::shared().await).await;
    let users = acme.users(TIMES).await;
    trials("log out", &users, async |user, offset| {
        let (session, neighbour) = (user.sign_in().await, user.sign_in().await);
        sleep(offset).await;
        let _ = session.validate().await.expect(200);
        let _ = session.log_out().await.expect(204);
        let time = refused(&session).await;
        assert_eq!(session.try_refresh().await.expect(401).text_at("detail"), "Token is blacklisted");
        let _ = neighbour.validate().await.expect(200);
        let _ = neighbour.log_out_everywhere().await.expect(204);
        refused(&neighbour).await;
        time
    })
    .await;
}

#[tokio::test]
async fn sessions_that_an_administrator_ended_are_refused() {
    let acme = Tenant::create(Stack::shared().await).await;
    let users = acme.users(TIMES).await;
    trials("end sessions", &users, async |user, offset| {
        let (session, other) = (user.sign_in().await, user.sign_in().await);
        sleep(offset).await;
        let _ = session.validate().await.expect(200);
        let _ = acme.admin.delete(&format!("{}sessions/", user.path())).await.expect(204);
        let time = refused(&session).await;
        for ended in [session, other] {
            assert_eq!(ended.try_refresh().await.expect(401).text_at("detail"), "Token is blacklisted");
        }
        // The user themselves is as welcome as before.
        let _ = user.sign_in().await.validate().await.expect(200);
        time
    })
    .await;
}

#[tokio::test]
async fn a_suspended_tenant_has_no_good_token_and_a_resumed_one_has() {
    let stack = Stack::shared().await;
    let rounds = join_all((0..4).map(async |_| {
        let acme = Tenant::create(stack).await;
        let ada = acme.user("ada").await;
        let session = ada.sign_in().await;
        let mut times = Vec::new();
        for _ in 0..TIMES / 4 {
            let _ = session.validate().await.expect(200);
            acme.suspend().await;
            times.push(refused(&session).await);
            assert_eq!(ada.try_sign_in().await.expect(403).text_at("code"), "tenant_suspended");
            let _ = session.try_refresh().await.expect(403);
            let _ = acme.http.get("/.well-known/jwks.json").await.expect(200);
            acme.resume().await;
            let valid = async || (session.validate().await.status == 200).then_some(());
            until("the token to be good again", valid).await;
        }
        times
    }))
    .await;
    report("suspend a tenant", &rounds.concat());
}

#[tokio::test]
async fn a_revoked_key_signs_nothing_and_verifies_nothing() {
    let stack = Stack::shared().await;
    let rounds = join_all((0..4).map(async |_| {
        let acme = Tenant::create(stack).await;
        let ada = acme.user("ada").await;
        let mut session = ada.sign_in().await;
        let mut times = Vec::new();
        for _ in 0..TIMES / 4 {
            let _ = session.validate().await.expect(200);
            let kid =
                acme.keys().await.verify(&session.access).expect("a published key").header["kid"].clone();
            acme.revoke_key(kid.as_str().expect("a key id")).await;
            times.push(refused(&session).await);
            // `next` signs at once, and what it signs is good; the session itself has not ended.
            session = session.refreshed().await;
            let _ = session.validate().await.expect(200);
            let keys = acme.keys().await;
            assert!(keys.verify(&session.access).is_ok());
            assert!(!keys.kids().iter().any(|published| *published == kid), "a revoked key is not published");
        }
        times
    }))
    .await;
    report("revoke a key", &rounds.concat());
}
