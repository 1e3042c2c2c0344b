//! A panic is one request's 500. Who waits in the same isolate at that moment is answered, and what
//! the isolate knew it still knows.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use wardgate_tests::actors::Tenant;
use wardgate_tests::http::{Http, Reply};
use wardgate_tests::stack::Stack;

#[tokio::test]
async fn a_panic_is_a_json_500_and_harms_no_neighbour() {
    let stack = Stack::own("panic").await;
    let acme = Tenant::create(&stack).await;
    let users = acme.users(8).await;
    let edge = Http::new(stack.edge_url());
    let pid = stack.workerd_pid();
    // The shift of the clock lives in the memory that an abort would have thrown away.
    stack.pass(Duration::from_secs(1000)).await;
    let shifted = stack.edge_now_secs().await;

    let panics = join_all((0..20).map(|_| edge.get("/test/panic")));
    let neighbours = join_all(users.iter().map(|user| user.sign_in()));
    let (panics, sessions) = tokio::join!(panics, neighbours);

    for reply in panics {
        let reply: Reply = reply.expect(500);
        assert_eq!(reply.json(), json!({"detail": "Internal error.", "code": "internal"}));
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(!reply.header("x-request-id").is_empty());
    }
    for session in &sessions {
        let issued = session.claims()["iat"].as_u64().expect("a time");
        assert!(issued >= shifted, "the memory of the isolate is gone: {issued} < {shifted}");
        let _ = session.validate().await.expect(200);
    }
    // Knowledge that had to be read anew would have no age.
    let age = async || sessions[0].validate().await.expect(200).header("wardgate-state-age").parse::<f64>();
    wardgate_tests::wait::until("what is known to have an age", async || {
        let before = age().await.ok().filter(|age| *age >= 0.3)?;
        let _ = edge.get("/test/panic").await.expect(500);
        let after = age().await.ok()?;
        (after >= before).then_some(())
    })
    .await;
    assert!(wardgate_tests::process::lives(pid), "the runtime itself was not restarted");
}
