//! What an answer says of a revocation is so: from the answer on, how long until the first refusal. At an edge that is
//! busy with the very token, and at one that was silent for a minute. A hundred of each where `WARDGATE_TEST_LONG` is
//! `1`. Five seconds are promised at most; the median and the 99th of a hundred are printed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wardgate_tests::actors::{Authenticator, Session, Tenant, User};
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;

/// No refusal comes later than this after the answer (docs/sessions.md).
const PROMISED: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(61);

fn times() -> usize {
    if std::env::var("WARDGATE_TEST_LONG").is_ok_and(|long| long == "1") { 100 } else { 15 }
}

/// How often which word was said, and how long the refusals took.
#[derive(Default)]
struct Measured {
    edge: usize,
    times: Vec<Duration>,
}

impl Measured {
    /// Asks about a token, as fast as a service would that uses it, until it is refused.
    async fn refusal(&mut self, answer: &Reply, session: &Session) {
        let word = answer.header("wardgate-in-force");
        assert!(["edge", "pending"].contains(&word), "{word:?}");
        self.edge += usize::from(word == "edge");
        let answered = Instant::now();
        loop {
            let status = session.validate().await.status;
            let after = answered.elapsed();
            assert!(after < PROMISED, "not refused after {after:?}");
            if status == 401 {
                self.times.push(after);
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn report(mut self, what: &str) {
        self.times.sort();
        let at = |part: f64| {
            let last = self.times.len().saturating_sub(1);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let place = (part * last as f64).round() as usize;
            self.times.get(place).copied().unwrap_or_default()
        };
        let all = self.times.len();
        eprintln!(
            "{what}: {all} of {all} refused, p50 {:?}, p99 {:?} after the answer; {} answers said `edge`",
            at(0.5),
            at(0.99),
            self.edge
        );
    }
}

async fn busy(user: &User<'_>, spread: usize) -> Session {
    let session = user.sign_in().await;
    // The change meets the isolate at every age of what it knows.
    let until = Instant::now() + Duration::from_millis(200 + 97 * (spread as u64 % 20));
    while Instant::now() < until {
        let _ = session.validate().await.expect(200);
        sleep(Duration::from_millis(20)).await;
    }
    session
}

#[tokio::test]
async fn ended_sessions_are_refused_while_they_are_used() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    acme.settle().await;
    let mut measured = Measured::default();
    for at in 0..times() {
        let session = busy(&ada, at).await;
        let path = format!("{}sessions/{}/", ada.path(), session.claim("sid"));
        let answer = acme.admin.delete(&path).await.expect(204);
        measured.refusal(&answer, &session).await;
        let _ = session.try_refresh().await.expect(401);
    }
    measured.report("sessions ended, busy");
}

#[tokio::test]
async fn changes_of_users_are_refused_while_their_tokens_are_used() {
    let changes: [(&str, Value); 3] = [
        ("status", json!({"status": "suspended"})),
        ("roles", json!({"roles": ["staff"]})),
        ("password", json!({"password": "eleven sleepy otters hum"})),
    ];
    for (what, change) in changes {
        let acme = Tenant::create(Stack::shared().await).await;
        let users = acme.users(times() / 5).await;
        acme.settle().await;
        let mut measured = Measured::default();
        for (at, user) in users.iter().enumerate() {
            let session = busy(user, at).await;
            let answer = acme.admin.patch(&user.path(), &change).await.expect(200);
            measured.refusal(&answer, &session).await;
        }
        measured.report(&format!("{what}, busy"));
    }
}

#[tokio::test]
async fn a_factor_that_was_removed_and_a_policy_that_was_raised_are_in_force() {
    let acme = Tenant::create(Stack::shared().await).await;
    let (mut removed, mut raised) = (Measured::default(), Measured::default());
    for at in 0..times() / 5 {
        let user = acme.user(&format!("u{at}")).await;
        acme.settle().await;
        let session = user.sign_in().await;
        let _ = Authenticator::enrol(&acme, &session).await;
        let session = session.refreshed().await;
        let _ = session.validate().await.expect(200);
        let answer = acme.admin.delete(&format!("{}mfa/", user.path())).await.expect(204);
        removed.refusal(&answer, &session).await;
        acme.settle().await;
        let session = busy(&user, at).await;
        let path = format!("/api/tenant/tenants/{}/", acme.id);
        let demand = |roles: Value| json!({"settings": {"second_factor_roles": roles}});
        let answer = acme.admin.patch(&path, &demand(json!(["client"]))).await.expect(200);
        raised.refusal(&answer, &session).await;
        let _ = acme.admin.patch(&path, &demand(json!([]))).await.expect(200);
        acme.settle().await;
    }
    removed.report("a second factor removed");
    raised.report("a second factor demanded, busy");
}

#[tokio::test]
async fn the_first_request_after_a_minute_of_silence_refuses_an_ended_session() {
    let stack = Stack::own("in_force").await;
    let acme = Tenant::create(&stack).await;
    let ada = acme.user("ada").await;
    acme.administer_by_hand();
    acme.settle().await;
    for _ in 0..times() / 5 {
        let session = ada.sign_in().await;
        let _ = session.validate().await.expect(200);
        stack.pass(SILENCE).await;
        let path = format!("{}sessions/{}/", ada.path(), session.claim("sid"));
        let answer = acme.admin.delete(&path).await.expect(204);
        if answer.header("wardgate-in-force") != "edge" {
            acme.settle().await;
        }
        let _ = session.validate().await.expect(401);
    }
    eprintln!("sessions ended after a minute of silence: the first request refuses");
}
