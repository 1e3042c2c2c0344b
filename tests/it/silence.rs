//! After a minute of silence an isolate knows nothing that is young enough: its first request reads
//! before it answers, so what was revoked meanwhile is refused at once. Twenty of twenty each.

use std::time::Duration;

use serde_json::json;
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::secrets;
use wardgate_tests::stack::Stack;

const TIMES: usize = 20;
const SILENCE: Duration = Duration::from_secs(61);

/// A session that was good a moment ago is refused by the first request after a minute.
async fn refused_after_silence(acme: &Tenant<'_>, session: &Session) {
    acme.settle().await;
    acme.stack().pass(SILENCE).await;
    let first = session.validate().await.expect(401);
    let age: f64 = first.header("wardgate-state-age").parse().expect("seconds");
    assert!(age < SILENCE.as_secs_f64() / 2.0, "it answered by what it knew {age} s ago");
}

async fn good_session(user: &User<'_>) -> Session {
    let session = user.sign_in().await;
    let _ = session.validate().await.expect(200);
    session
}

#[tokio::test]
async fn the_first_request_after_a_minute_of_silence_knows_what_was_revoked() {
    let stack = Stack::own("silence").await;
    let acme = Tenant::create(&stack).await;
    let users = acme.users(TIMES).await;
    // Keys are revoked elsewhere: the administrator's own token would go with them, and where the clock
    // has moved there is no signing in anew that control would believe.
    let other = Tenant::create(&stack).await;
    let eve = other.user("eve").await;
    acme.administer_by_hand();
    other.administer_by_hand();
    for user in &users {
        let session = good_session(user).await;
        user.change(&json!({"roles": ["staff"]})).await;
        refused_after_silence(&acme, &session).await;
        assert_eq!(session.refreshed().await.claims()["roles"], json!(["staff"]));

        let session = good_session(user).await;
        user.suspend().await;
        refused_after_silence(&acme, &session).await;
        user.resume().await;
        acme.settle().await;

        let session = good_session(user).await;
        acme.suspend().await;
        refused_after_silence(&acme, &session).await;
        acme.resume().await;
        acme.settle().await;

        let session = good_session(&eve).await;
        let kid = other.keys().await.verify(&session.access).expect("a published key").header["kid"].clone();
        other.revoke_key(kid.as_str().expect("a key id")).await;
        refused_after_silence(&other, &session).await;

        let session = good_session(user).await;
        let _ = session.log_out().await.expect(204);
        refused_after_silence(&acme, &session).await;

        let session = good_session(user).await;
        user.change(&json!({"password": secrets::password()})).await;
        refused_after_silence(&acme, &session).await;
        let _ = user.try_sign_in().await.expect(401);
    }
}
