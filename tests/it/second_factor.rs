//! A second factor at the real edge: asked for, shown, each code once, whatever runs at the same moment, and without
//! control.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::wire::push::Command;
use shared::wire::signature::Tag;
use wardgate_tests::actors::{Authenticator, Page, Session, Tenant, User};
use wardgate_tests::database::Database;
use wardgate_tests::environment::scaled;
use wardgate_tests::http::Reply;
use wardgate_tests::server::Server;
use wardgate_tests::signed::EdgeCall;
use wardgate_tests::stack::{Stack, free_port};
use wardgate_tests::wait;

const DAY: Duration = Duration::from_secs(86_400);

/// A sign-in with these members beside user name and password.
async fn sign_in(acme: &Tenant<'_>, user: &User<'_>, path: &str, more: Value) -> Reply {
    let mut body = json!({"username": user.username, "password": user.password});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    acme.http.post(path, &body).await
}

/// The challenge of a sign-in with the password alone.
async fn challenge(acme: &Tenant<'_>, user: &User<'_>) -> String {
    let refused = sign_in(acme, user, "/api/token/", json!({})).await.expect(401);
    assert_eq!(refused.json()["code"], "mfa_required");
    refused.text_at("mfa_token")
}

async fn verify(acme: &Tenant<'_>, more: Value) -> Reply {
    acme.http.post("/api/verify-otp/", &more).await
}

fn is_second_factor(session: &Session) -> bool {
    session.claims()["amr"] == json!(["pwd", "otp", "mfa"])
}

#[tokio::test]
async fn a_code_is_asked_for_and_is_good_once() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let phone = Authenticator::enrol(&acme, &ada.sign_in().await).await;
    assert_eq!(phone.recovery_codes.len(), 10);

    let mfa_token = challenge(&acme, &ada).await;
    let asked = sign_in(&acme, &ada, "/api/login/", json!({})).await.expect(200).json();
    assert_eq!((&asked["mfa_required"], &asked["expires_in"]), (&json!(true), &json!(300)));
    assert_eq!(asked["methods"], json!(["totp", "recovery_code"]));
    assert!(asked.get("access").is_none());
    let code = phone.code().await;
    // The older challenge went with the newer sign-in.
    let refused = verify(&acme, json!({"mfa_token": mfa_token, "otp": code})).await.expect(401);
    assert_eq!(refused.json(), json!({"detail": "Invalid or expired code.", "code": "otp_invalid"}));
    let answer = verify(&acme, json!({"mfa_token": asked["mfa_token"], "otp": code})).await.expect(200);
    let session = Session::of(&acme.http, &answer);
    assert!(is_second_factor(&session));
    assert_eq!(answer.json()["user"]["id"], json!(ada.id.to_string()));
    let _ = session.me().await.expect(200);
    let _ = session.refreshed().await.me().await.expect(200);
    let again = sign_in(&acme, &ada, "/api/token/", json!({"otp": code})).await.expect(401);
    assert_eq!(again.text, refused.text);

    let wrong = json!({"username": ada.username, "password": "wrong guess", "otp": phone.code().await});
    let wrong = acme.http.post("/api/token/", &wrong).await.expect(401);
    assert_eq!(wrong.text, ada.try_sign_in_with("wrong guess").await.expect(401).text);
    let recovery = json!({"recovery_code": phone.recovery_codes[0].to_uppercase().replace('-', " ")});
    let session = sign_in(&acme, &ada, "/api/token/", recovery.clone()).await.expect(200);
    assert!(is_second_factor(&Session::of(&acme.http, &session)));
    let _ = sign_in(&acme, &ada, "/api/token/", recovery).await.expect(401);
    let session = Session::of(&acme.http, &session);
    let left = async || {
        let state = session.get("/api/user/mfa/").await.expect(200).json();
        (state["recovery_codes_left"] == 9).then_some(())
    };
    wait::until("control to know of the recovery code", left).await;
}

#[tokio::test]
async fn a_demanded_second_factor_is_enrolled_with_a_ticket() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let before = ada.sign_in().await;
    let _ = before.validate().await.expect(200);
    acme.change(&json!({"settings": {"second_factor_roles": ["client"]}})).await;

    // What was in force without it ends: tokens within seconds, the session with them.
    let refused = async || (before.validate().await.status == 401).then_some(());
    let ((), took) = wait::until("a token without a second factor to be refused", refused).await;
    eprintln!("refused {took:?} after the answer");
    assert_eq!(before.try_refresh().await.expect(401).text_at("detail"), "Token is blacklisted");
    let _ = before.me().await.expect(401);

    let refused = ada.try_sign_in().await.expect(403);
    assert_eq!(refused.json()["code"], "mfa_enrollment_required");
    let ticket = refused.text_at("ticket");
    let elsewhere = before.with_access(ticket.as_str());
    let _ = elsewhere.me().await.expect(401);
    let phone = Authenticator::enrol_with(&acme, &ticket).await;
    let post = |path: &str| acme.http.request(Method::POST, path).bearer_auth(&ticket);
    let _ = Reply::to(post("/api/user/mfa/totp/").json(&json!({}))).await.expect(401);

    let otp = json!({"otp": phone.code().await});
    let session = Session::of(&acme.http, &sign_in(&acme, &ada, "/api/token/", otp).await.expect(200));
    let _ = session.me().await.expect(200);
    let session = session.refreshed().await;
    let _ = session.validate().await.expect(200);
    // Administrators are not clients here.
    let _ = acme.admin.get("/api/user/users/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_at_once_one_gets_in() {
    let stack = Stack::own("second-factor-races").await;
    let acme = Tenant::create(&stack).await;
    let rounds: usize = scaled(4, 1_000);
    let mut users = Vec::new();
    for user in acme.users(rounds.div_ceil(10)).await {
        let phone = Authenticator::enrol(&acme, &user.sign_in().await).await;
        users.push((user, phone));
    }
    let mut ahead = Duration::ZERO;
    let won = |replies: &[Reply], what: &str, round: usize| {
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        assert_eq!(
            statuses.iter().filter(|status| **status == 200).count(),
            1,
            "{what}, {round}: {statuses:?}"
        );
        assert!(statuses.iter().all(|status| [200, 401, 429].contains(status)), "{what}: {statuses:?}");
    };
    for round in 0..rounds {
        let (user, phone) = &users[round / 10];
        // Each race on a day of its own: those who lose are counted as wrong codes.
        let mut next_day = async || {
            stack.pass(DAY).await;
            ahead += DAY;
            ahead
        };
        let otp = json!({"otp": phone.code_after(next_day().await).await});
        let race = (0..16).map(|_| sign_in(&acme, user, "/api/token/", otp.clone()));
        won(&join_all(race).await, "one code", round);

        let code = phone.code_after(next_day().await).await;
        let body = json!({"mfa_token": challenge(&acme, user).await, "otp": code});
        won(&join_all((0..16).map(|_| verify(&acme, body.clone()))).await, "one challenge", round);

        let _ = next_day().await;
        let recovery = json!({"recovery_code": phone.recovery_codes[round % 10]});
        let race = (0..16).map(|_| sign_in(&acme, user, "/api/token/", recovery.clone()));
        won(&join_all(race).await, "one recovery code", round);
    }
    eprintln!("{rounds} races of 16 of each kind: one winner each");
}

/// A tenant that remembers devices on a host of its own, and a page of it.
async fn with_a_page(stack: &Stack) -> (Tenant<'_>, Page) {
    let host = format!("h{}.localhost", wardgate_tests::seed::unique());
    let origin = format!("http://app.{host}:3000");
    let settings = json!({"origins": [origin], "remember_device_days": 30});
    let acme = Tenant::create_with(stack, json!({"hosts": [host], "settings": settings})).await;
    (acme, Page::open(stack, &host, &origin))
}

/// Has a browser remembered, and forgets its session.
async fn remember(page: &mut Page, user: &User<'_>, code: String) {
    let begun = page.sign_in(user).await.expect(200);
    let body = json!({"mfa_token": begun.text_at("mfa_token"), "otp": code, "remember": true});
    let _ = page.post("/api/verify-otp/", &body).await.expect(200);
    page.jar.retain(|name, _| name == "__Host-device");
    assert_eq!(page.jar.len(), 1);
}

/// Whether a sign-in by password got a session.
fn got_in(reply: &Reply) -> bool {
    assert!([200, 429].contains(&reply.status), "{} {}", reply.status, reply.text);
    reply.status == 200 && reply.json().get("access").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sign_in_by_a_remembered_device_succeeds_after_its_revocation() {
    let stack = Stack::own("remembered-devices").await;
    let (acme, page) = with_a_page(&stack).await;
    let rounds: usize = scaled(4, 1_000);
    let mut users = Vec::new();
    for user in acme.users(rounds.div_ceil(100)).await {
        let phone = Authenticator::enrol(&acme, &user.sign_in().await).await;
        users.push((user, phone));
    }
    let (mut ahead, mut before) = (Duration::ZERO, 0);
    for round in 0..rounds {
        let (user, phone) = &users[round / 100];
        // Another step, and another window of tries.
        stack.pass(Duration::from_secs(600)).await;
        ahead += Duration::from_secs(600);
        let mut page = page.clone();
        remember(&mut page, user, phone.code_after(ahead).await).await;
        assert!(got_in(&page.clone().sign_in(user).await), "round {round}");
        let sign_in = async || page.clone().sign_in(user).await;
        let first = join_all((0..8).map(|_| sign_in()));
        let revoked_then_more = async {
            // Somewhere among them.
            tokio::time::sleep(Duration::from_millis(u64::try_from(round % 16).unwrap_or(0) * 5)).await;
            let (tenant, user) = (acme.id, user.id);
            let all = Command::ForgetDevices { tenant, user, device: None };
            let answer = EdgeCall::good(&stack, Tag::Command, &all).send(&stack).await.expect(200);
            assert_eq!(answer.json()["forgotten"], 1, "round {round}");
            join_all((0..8).map(|_| sign_in())).await
        };
        let (first, second) = tokio::join!(first, revoked_then_more);
        before += first.iter().filter(|reply| got_in(reply)).count();
        assert!(second.iter().all(|reply| !got_in(reply)), "round {round}");
        assert!(first.iter().chain(&second).filter(|reply| reply.status == 200).count() > 0);
        assert!(!got_in(&sign_in().await), "round {round}");
    }
    eprintln!("{rounds} races of 16: {before} sign-ins before a revocation, none after");
}

#[tokio::test]
async fn a_user_revokes_a_remembered_browser() {
    let stack = Stack::shared().await;
    let (acme, mut page) = with_a_page(stack).await;
    let ada = acme.user("ada").await;
    let phone = Authenticator::enrol(&acme, &ada.sign_in().await).await;
    remember(&mut page, &ada, phone.code().await).await;
    let request = page.request(Method::POST, "/api/login/").header("user-agent", "Lynx/2.9");
    let body = json!({"username": ada.username, "password": ada.password});
    let signed_in = page.send(request.json(&body)).await.expect(200);
    let session = Session::of(&acme.http, &signed_in);
    assert_eq!(session.claims()["amr"], json!(["pwd", "mfa"]));
    let listed = session.get("/api/user/devices/").await.expect(200).json();
    assert_eq!(listed["count"], 1);
    let device = &listed["results"][0];
    assert!(device["last_used_at"].is_string(), "{device}");
    let path = format!("/api/user/devices/{}/", device["id"].as_str().expect("an id"));
    let delete = |path: &str| acme.http.request(Method::DELETE, path).bearer_auth(&session.access);
    let _ = Reply::to(delete(&path)).await.expect(204);
    page.jar.retain(|name, _| name == "__Host-device");
    assert!(!got_in(&page.sign_in(&ada).await));
    let _ = Reply::to(delete(&path)).await.expect(404);
    let told = async || {
        let entries = acme.admin.audit().await;
        let of = |action: &str| entries.iter().any(|entry| entry["action"] == action);
        (of("edge.device_remembered") && of("devices.forgotten")).then_some(())
    };
    wait::until("the audit log to tell of the device", told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_control_and_postgresql_second_factors_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, port) = (folder.path().join("state"), free_port());
    let mut server = Server::start("second-factor-outage", &state, port);
    let stack = Stack::over("second-factor-outage", Database::create_on(&server.url).await).await;
    let (acme, mut page) = with_a_page(&stack).await;
    let ada = acme.user("ada").await;
    let phone = Authenticator::enrol(&acme, &ada.sign_in().await).await;
    remember(&mut page, &ada, phone.code().await).await;

    stack.kill_control().await;
    server.kill().await;

    let by_device = Session::of(&acme.http, &page.sign_in(&ada).await.expect(200));
    assert_eq!(by_device.claims()["amr"], json!(["pwd", "mfa"]));

    let mfa_token = challenge(&acme, &ada).await;
    let body = json!({"mfa_token": mfa_token, "otp": phone.code().await});
    let by_code = Session::of(&acme.http, &verify(&acme, body).await.expect(200));
    let recovery = json!({"recovery_code": phone.recovery_codes[3]});
    let answer = sign_in(&acme, &ada, "/api/token/", recovery).await.expect(200);
    let by_recovery = Session::of(&acme.http, &answer);
    let request = acme.http.request(Method::POST, "/api/step-up/").bearer_auth(&by_recovery.access);
    let stepped = Reply::to(request.json(&json!({"otp": phone.code().await}))).await.expect(200);
    let stepped = Session::of(&acme.http, &stepped);
    assert_eq!(stepped.claim("sid"), by_recovery.claim("sid"));
    let _ = stepped.refreshed().await.validate().await.expect(200);
    let refused = sign_in(&acme, &ada, "/api/token/", json!({"otp": "000000"})).await.expect(401);
    assert_eq!(refused.json()["code"], "otp_invalid");

    server = Server::start("second-factor-outage", &state, port);
    stack.start_control().await;
    let expected = [
        ("edge.signed_in", by_device.claim("sid")),
        ("edge.signed_in", by_code.claim("sid")),
        ("edge.signed_in", by_recovery.claim("sid")),
        ("edge.recovery_code_used", by_recovery.claim("sid")),
        ("edge.stepped_up", by_recovery.claim("sid")),
    ];
    let told = |entries: &[Value], (action, sid): &(&str, String)| {
        let of = |entry: &&Value| entry["action"] == *action && entry["details"]["sid"] == **sid;
        entries.iter().filter(of).count()
    };
    let (entries, took) = wait::until("what the edge recorded", async || {
        let entries = acme.admin.audit().await;
        expected.iter().all(|fact| told(&entries, fact) > 0).then_some(entries)
    })
    .await;
    assert!(expected.iter().all(|fact| told(&entries, fact) == 1), "each once: {entries:?}");
    eprintln!("what the edge recorded arrived {took:?} after control was ready");
    let state = stepped.get("/api/user/mfa/").await.expect(200).json();
    assert_eq!(state["recovery_codes_left"], 9);
    drop(stack);
    drop(server);
}
