//! Refresh under races and theft: one generation, one successor, no user signed out by accident, and a thief ends the
//! one family that he stole.

use std::collections::HashSet;

use futures::future::join_all;
use rand::Rng as _;
use serde_json::json;
use shared::user::UserStatus;
use shared::wire::signature::Tag;
use tokio::time::{Duration, sleep};
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::environment::scaled;
use wardgate_tests::seed;
use wardgate_tests::signed::{EdgeCall, user_push};
use wardgate_tests::stack::Stack;
use wardgate_tests::wait::until;

/// Rounds of sixteen calls with one session: it may be used 120 times in a minute.
const ROUNDS_OF_A_SESSION: u64 = 7;

#[tokio::test]
async fn sixteen_refreshes_at_once_have_one_successor_and_sign_nobody_out() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let mut session = ada.sign_in().await;
    for round in 0..scaled(15, 50) {
        let turns = round % ROUNDS_OF_A_SESSION;
        if turns == 0 {
            session = ada.sign_in().await;
        }
        let replies = join_all((0..16).map(|_| session.try_refresh())).await;
        let sessions: Vec<_> =
            replies.into_iter().map(|reply| Session::of(&acme.http, &reply.expect(200))).collect();
        let successors: HashSet<_> = sessions.iter().map(|session| session.refresh.clone()).collect();
        assert_eq!(successors.len(), 1, "round {round}: everybody gets the same bytes");
        assert_eq!(sessions[0].generation(), turns + 2, "one generation, however many asked");
        session = sessions.into_iter().next().expect("sixteen");
        let _ = session.validate().await.expect(200);
    }
}

#[tokio::test]
async fn without_a_retry_window_one_of_sixteen_wins_and_nothing_ends() {
    let strict = json!({"settings": {"retry_window_secs": 0}});
    let acme = Tenant::create_with(Stack::shared().await, strict).await;
    let ada = acme.user("ada").await;
    let mut session = ada.sign_in().await;
    for round in 0..scaled(15, 50) {
        let turns = round % ROUNDS_OF_A_SESSION;
        if turns == 0 {
            session = ada.sign_in().await;
        }
        let replies = join_all((0..16).map(|_| session.try_refresh())).await;
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 15), "round {round}");
        for reply in lost {
            assert_eq!(reply.expect(401).text_at("detail"), "Token is blacklisted");
        }
        session = Session::of(&acme.http, &won[0]);
        assert_eq!(session.generation(), turns + 2);
    }
    let _ = session.validate().await.expect(200);
}

#[tokio::test]
async fn a_token_three_behind_ends_its_family_alone() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let (stolen, neighbour) = (ada.sign_in().await, ada.sign_in().await);
    let second = stolen.refreshed().await;
    let third = second.refreshed().await;
    // Two behind and inside the window is a third tab, not a thief.
    assert_eq!(stolen.try_refresh().await.expect(401).text_at("detail"), "Token is blacklisted");
    let fourth = third.refreshed().await;

    assert_eq!(stolen.try_refresh().await.expect(401).text_at("detail"), "Token is blacklisted");

    let _ = fourth.try_refresh().await.expect(401);
    let refused = async || (fourth.validate().await.status == 401).then_some(());
    until("the family's access token to be refused", refused).await;
    let _ = neighbour.refreshed().await.validate().await.expect(200);
    let theft = async || {
        let entries = acme.admin.audit().await;
        entries.into_iter().find(|entry| entry["action"] == "edge.reuse_detected")
    };
    let (theft, _) = until("the theft in the audit log", theft).await;
    assert_eq!(theft["details"]["sid"], stolen.claim("sid"));
}

#[tokio::test]
async fn no_sign_in_outlives_a_suspension_that_commits_while_it_hashes() {
    const TIMES: usize = 50;
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let users = acme.users(TIMES).await;
    let mut rng = seed::rng("suspension during a sign-in");
    let (mut survivors, mut lag_us) = (Vec::new(), 0_i64);
    for user in &users {
        // An isolate does nothing else while it hashes, so the suspension has to reach it within the few milliseconds
        // of the sign-in's first batch: the request that came first starts later the next time. The in-process tests
        // hit the hash itself every time.
        let push = StatusPush::of(&acme, user, UserStatus::Suspended, FAR);
        let suspension = async {
            sleep(Duration::from_micros(lag_us.max(0).unsigned_abs())).await;
            push.send(&acme).await;
        };
        let sign_in = async {
            sleep(Duration::from_micros(lag_us.min(0).unsigned_abs())).await;
            user.try_sign_in().await
        };
        let (reply, ()) = tokio::join!(sign_in, suspension);
        let step = rng.random_range(100..1500);
        lag_us += if reply.status == 200 { -step } else { step };
        match reply.status {
            200 => survivors.push(Session::of(&acme.http, &reply)),
            401 => {}
            _ => panic!("{reply:?}"),
        }
        // Being active again revives nothing that was born before or during the suspension.
        StatusPush::of(&acme, user, UserStatus::Active, FAR + 1).send(&acme).await;
    }
    for session in &survivors {
        assert_eq!(session.try_refresh().await.expect(401).text_at("detail"), "Token is blacklisted");
        let ended = async || (session.validate().await.status == 401).then_some(());
        until("the access token to be refused", ended).await;
    }
    eprintln!("{TIMES} of {TIMES}: {} signed in first and were ended", survivors.len());
    assert!((1..TIMES).contains(&survivors.len()), "the suspension always came first, or always last");
}

/// A revision above what control gives.
const FAR: i64 = 1 << 40;

/// What control pushes of a user who was suspended once, signed beforehand, so that it can be timed.
struct StatusPush {
    call: EdgeCall,
    headers: [(&'static str, String); 3],
}

impl StatusPush {
    fn of(acme: &Tenant<'_>, user: &User<'_>, status: UserStatus, rev: i64) -> Self {
        let call = EdgeCall::good(acme.stack(), Tag::Push, &user_push(acme.id, user.id, status, rev));
        Self { headers: call.headers(), call }
    }

    async fn send(&self, acme: &Tenant<'_>) {
        let edge = acme.http.at(acme.stack().edge_url());
        let _ = self.call.send_over(&edge, &self.headers, self.call.body.clone()).await.expect(200);
    }
}
