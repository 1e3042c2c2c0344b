//! A second factor at the real edge: asked for, shown, each code once, whatever runs at the same moment, and without
//! control.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::{Authenticator, Session, Tenant, User};
use wardgate_tests::database::Database;
use wardgate_tests::environment::scaled;
use wardgate_tests::http::Reply;
use wardgate_tests::server::Server;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_control_and_postgresql_second_factors_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, port) = (folder.path().join("state"), free_port());
    let mut server = Server::start("second-factor-outage", &state, port);
    let stack = Stack::over("second-factor-outage", Database::create_on(&server.url).await).await;
    let acme = Tenant::create(&stack).await;
    let ada = acme.user("ada").await;
    let phone = Authenticator::enrol(&acme, &ada.sign_in().await).await;

    stack.kill_control().await;
    server.kill().await;

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
