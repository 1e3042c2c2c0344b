//! Refresh under races and theft: one generation, one successor, nobody signed out by accident, and
//! a thief ends the one family that he stole.

use std::collections::HashSet;

use futures::future::join_all;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::time::{Duration, sleep};
use wardgate_tests::actors::{Person, Session, Tenant};
use wardgate_tests::seed;
use wardgate_tests::stack::Stack;
use wardgate_tests::wait::until;

/// How long the edge's facts may take to be drained.
const DRAINED: Duration = Duration::from_secs(20);

#[tokio::test]
async fn sixteen_refreshes_at_once_have_one_successor_and_sign_nobody_out() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let mut session = ada.sign_in().await;
    for round in 1..=50 {
        let replies = join_all((0..16).map(|_| session.try_refresh())).await;
        let sessions: Vec<_> =
            replies.into_iter().map(|reply| Session::of(&acme.http, &reply.expect(200))).collect();
        let successors: HashSet<_> = sessions.iter().map(|session| session.refresh.clone()).collect();
        assert_eq!(successors.len(), 1, "round {round}: everybody gets the same bytes");
        assert_eq!(sessions[0].generation(), round + 1, "one generation, however many asked");
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
    for round in 1..=50 {
        let replies = join_all((0..16).map(|_| session.try_refresh())).await;
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 15), "round {round}");
        for reply in lost {
            assert_eq!(reply.expect(401).text_at("detail"), "Token is blacklisted");
        }
        session = Session::of(&acme.http, &won[0]);
        assert_eq!(session.generation(), round + 1);
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
    until("the family's access token to be refused", Duration::from_secs(5), refused).await;
    let _ = neighbour.refreshed().await.validate().await.expect(200);
    let theft = async || {
        let entries = acme.admin.audit().await;
        entries.into_iter().find(|entry| entry["action"] == "edge.reuse_detected")
    };
    let (theft, _) = until("the theft in the audit log", DRAINED, theft).await;
    assert_eq!(theft["details"]["sid"], stolen.claim("sid"));
}

#[tokio::test]
async fn no_sign_in_outlives_a_suspension_that_commits_while_it_hashes() {
    const TIMES: usize = 50;
    let acme = Tenant::create(Stack::shared().await).await;
    let people = acme.users(TIMES).await;
    let mut rng = seed::rng("suspension during a sign-in");
    let (mut signed_in, mut crossed) = (Vec::new(), 0);
    for person in &people {
        let sessions = sign_ins_around_a_suspension(&acme, person, &mut rng).await;
        crossed += usize::from((1..SIGN_INS).contains(&sessions.len()));
        signed_in.extend(sessions);
    }
    acme.settle().await;
    for person in &people {
        person.resume().await;
    }
    acme.settle().await;
    // Being active again revives nothing: those sessions were born before the suspension.
    for session in &signed_in {
        let _ = session.try_refresh().await.expect(401);
        let ended = async || (session.validate().await.status == 401).then_some(());
        until("the access token to be refused", Duration::from_secs(5), ended).await;
    }
    eprintln!(
        "{TIMES} of {TIMES}: {} sessions, all ended; {crossed} suspensions fell between",
        signed_in.len()
    );
    assert!(crossed > 0, "no suspension fell between two sign-ins, so nothing was shown");
    let _ = people[0].sign_in().await;
}

/// Sign-ins that follow each other so closely that one of them is hashing at any time.
const SIGN_INS: usize = 8;

async fn sign_ins_around_a_suspension(
    acme: &Tenant<'_>,
    person: &Person<'_>,
    rng: &mut StdRng,
) -> Vec<Session> {
    let starts: Vec<_> =
        (0..SIGN_INS).map(|at| Duration::from_millis(at as u64 * 25 + rng.random_range(0..25))).collect();
    let sign_ins = join_all(starts.into_iter().map(async |start| {
        sleep(start).await;
        person.try_sign_in().await
    }));
    let (replies, ()) = tokio::join!(sign_ins, person.suspend());
    let signed_in = replies.iter().filter(|reply| match reply.status {
        200 => true,
        401 => false,
        _ => panic!("{reply:?}"),
    });
    signed_in.map(|reply| Session::of(&acme.http, reply)).collect()
}
