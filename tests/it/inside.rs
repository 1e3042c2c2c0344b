//! The inside of the edge: a push, command or drain that is not control's own, of now and for here,
//! changes nothing. Each is shown beside the good call, which does change something.

use reqwest::Method;
use shared::ids::SessionId;
use shared::user::UserStatus;
use shared::wire::facts::{Acknowledge, DrainIn, DrainOut};
use shared::wire::push::Command;
use shared::wire::signature::Tag;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wardgate_tests::actors::{Tenant, User};
use wardgate_tests::clock;
use wardgate_tests::http::{Http, Reply};
use wardgate_tests::secrets::named_key;
use wardgate_tests::signed::{EdgeCall, edge_status, user_push};
use wardgate_tests::stack::Stack;

/// A revision far above what control will give, so that nothing but the signature keeps it out.
const FAR: i64 = 1 << 40;

/// Every way in which a call can be not control's own, of now and for here.
fn forgeries(good: &EdgeCall) -> Vec<(&'static str, EdgeCall)> {
    let with = |change: fn(&mut EdgeCall)| {
        let mut call = good.clone();
        change(&mut call);
        call
    };
    vec![
        ("signed a minute ago", with(|call| call.signing.at_secs = clock::now_secs() - 61)),
        ("signed in two minutes", with(|call| call.signing.at_secs = clock::now_secs() + 120)),
        ("for another edge", with(|call| call.signing.authority = "staging.test".to_owned())),
        ("for another path", with(|call| call.signing.path = "/internal/v1/other".to_owned())),
        ("by a key of the same name", with(|call| call.signing.key = named_key("control"))),
        ("by an unknown key", with(|call| call.signing.key = named_key("stranger"))),
        ("tagged as a forward", with(|call| call.signing.tag = Tag::Forward)),
        (
            "tagged as another call",
            with(|call| {
                let tag = if call.signing.tag == Tag::Push { Tag::Command } else { Tag::Push };
                call.signing.tag = tag;
            }),
        ),
    ]
}

/// Sends everything that is wrong with `good`, and wants 401 for each.
async fn refuse_all(stack: &Stack, good: &EdgeCall) {
    let refused = |reply: Reply, what: &str| {
        assert_eq!(reply.status, 401, "{what}: {}", reply.text);
        assert_eq!(reply.text_at("code"), "signature_invalid", "{what}");
    };
    for (what, call) in forgeries(good) {
        refused(call.send(stack).await, what);
    }
    let headers = good.headers();
    refused(good.send_with(stack, &[], good.body.clone()).await, "unsigned");
    for missing in 0..headers.len() {
        let mut some = headers.to_vec();
        let (name, _) = some.remove(missing);
        refused(good.send_with(stack, &some, good.body.clone()).await, name);
    }
    let half = good.body[..good.body.len() / 2].to_vec();
    refused(good.send_with(stack, &headers, half).await, "half of the body");
    let mut longer = good.body.clone();
    longer.push(b' ');
    refused(good.send_with(stack, &headers, longer).await, "a longer body");
    cut_off(stack, good).await;
}

/// The connection breaks in the middle of the body.
async fn cut_off(stack: &Stack, good: &EdgeCall) {
    let address = stack.edge_url().trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(&address).await.expect("the edge");
    let headers: String = good.headers().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = good.body.len();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n{headers}\r\n",
        good.path
    );
    connection.write_all(head.as_bytes()).await.expect("a head");
    connection.write_all(&good.body[..length / 2]).await.expect("half a body");
    connection.shutdown().await.expect("an end");
    let mut answer = Vec::new();
    // Whether anything is answered to a request that never was whole is the runtime's affair.
    let _ = connection.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"));
}

async fn still_active(ada: &User<'_>) {
    let _ = ada.sign_in().await.refreshed().await.validate().await.expect(200);
}

#[tokio::test]
async fn a_push_that_is_not_controls_own_changes_nothing() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let ada = acme.user("ada").await;
    let push = user_push(acme.id, ada.id, UserStatus::Suspended, FAR);
    let before = edge_status(stack, acme.id).await.marks;

    refuse_all(stack, &EdgeCall::good(stack, Tag::Push, &push)).await;

    still_active(&ada).await;
    assert_eq!(edge_status(stack, acme.id).await.marks, before);
    let _ = EdgeCall::good(stack, Tag::Push, &push).send(stack).await.expect(200);
    let _ = ada.try_sign_in().await.expect(401);
}

#[tokio::test]
async fn a_replayed_push_undoes_nothing_that_came_after_it() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let ada = acme.user("ada").await;
    let session = ada.sign_in().await;
    let letting_in = user_push(acme.id, ada.id, UserStatus::Active, FAR);
    let replayed = EdgeCall::good(stack, Tag::Push, &letting_in);
    let (headers, body) = (replayed.headers(), replayed.body.clone());
    let _ = replayed.send_with(stack, &headers, body.clone()).await.expect(200);
    let shutting_out = user_push(acme.id, ada.id, UserStatus::Suspended, FAR + 1);
    let _ = EdgeCall::good(stack, Tag::Push, &shutting_out).send(stack).await.expect(200);

    for _ in 0..3 {
        let _ = replayed.send_with(stack, &headers, body.clone()).await.expect(200);
    }

    let refresh = session.try_refresh().await.expect(401);
    assert_eq!(refresh.text_at("detail"), "No active account found for the given token.");
}

#[tokio::test]
async fn a_command_that_is_not_controls_own_ends_no_session() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let session = acme.user("ada").await.sign_in().await;
    let sid = SessionId::parse(&session.claim("sid")).expect("a session id");
    let command = Command::EndSession { tenant: acme.id, sid };

    refuse_all(stack, &EdgeCall::good(stack, Tag::Command, &command)).await;

    let session = session.refreshed().await;
    let good = EdgeCall::good(stack, Tag::Command, &command);
    let headers = good.headers();
    for ended in [true, false, false] {
        let reply = good.send_with(stack, &headers, good.body.clone()).await.expect(200);
        assert_eq!(reply.json()["ended"], ended, "a replay ends nothing twice");
    }
    let _ = session.try_refresh().await.expect(401);
}

#[tokio::test]
async fn a_drain_that_is_not_controls_own_takes_nothing_out() {
    let stack = Stack::own("inside").await;
    let acme = Tenant::create(&stack).await;
    let ada = acme.user("ada").await;
    // No other process drains from here on.
    stack.kill_control().await;
    let _ = ada.sign_in().await;
    let status = edge_status(&stack, acme.id).await;
    assert!(status.outbox > 0);
    let unread = DrainIn { shard: 0, acknowledge: None, limit: 500 };
    let page = EdgeCall::good(&stack, Tag::Drain, &unread).send(&stack).await.expect(200);
    let page: DrainOut = serde_json::from_str(&page.text).expect("facts");
    let last = page.facts.last().expect("a fact");
    let everything = Acknowledge { incarnation: page.incarnation.clone(), seq: last.seq, id: Some(last.id) };
    let drain = DrainIn { acknowledge: Some(everything.clone()), ..unread };

    refuse_all(&stack, &EdgeCall::good(&stack, Tag::Drain, &drain)).await;
    // Of another life of the database even control's own word acknowledges nothing.
    let elsewhere = Acknowledge { incarnation: "another".to_owned(), seq: FAR, id: None };
    let drain_elsewhere = DrainIn { acknowledge: Some(elsewhere), ..drain.clone() };
    let _ = EdgeCall::good(&stack, Tag::Drain, &drain_elsewhere).send(&stack).await.expect(200);
    // Nor does one of facts that this database did not give, as after a restore.
    let beyond = DrainIn { acknowledge: Some(Acknowledge { seq: FAR, ..everything }), ..drain.clone() };
    let refused = EdgeCall::good(&stack, Tag::Drain, &beyond).send(&stack).await.expect(409);
    assert_eq!(refused.text_at("code"), "outbox_restored");

    assert_eq!(edge_status(&stack, acme.id).await.outbox, status.outbox);
    let good = EdgeCall::good(&stack, Tag::Drain, &drain);
    let headers = good.headers();
    let _ = good.send_with(&stack, &headers, good.body.clone()).await.expect(200);
    assert_eq!(edge_status(&stack, acme.id).await.outbox, 0);
}

#[tokio::test]
async fn the_inside_has_no_tenant_and_one_method() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let edge = Http::new(stack.edge_url());
    for path in ["/internal/v1/push", "/internal/v1/command", "/internal/v1/drain"] {
        let _ = edge.get(path).await.expect(405);
        let _ = Reply::to(acme.http.request(Method::POST, path)).await.expect(404);
    }
    let _ = edge.get("/internal/v1/anything").await.expect(404);
    let _ = edge.get("/internal/").await.expect(404);
}
