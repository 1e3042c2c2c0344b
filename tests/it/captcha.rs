//! The CAPTCHA that a tenant asks for, through workerd, and a service on this machine that speaks as `siteverify` does, or
//! does not.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::{Tenant, User};
use wardgate_tests::http::Reply;
use wardgate_tests::siteverify::{Manner, SECRET, SITE_KEY, Siteverify};
use wardgate_tests::stack::Stack;
use wardgate_tests::wait;

/// Where the clients of these tests are.
const CLIENT: &str = "203.0.113.7";

fn credentials(username: &str, password: &str, token: Option<&str>) -> Value {
    let mut body = json!({"username": username, "password": password});
    if let Some(token) = token {
        body["cf-turnstile-response"] = json!(token);
    }
    body
}

async fn tried(acme: &Tenant<'_>, path: &str, body: &Value) -> Reply {
    Reply::to(acme.http.request(Method::POST, path).header("cf-connecting-ip", CLIENT).json(body)).await
}

async fn signs_in(acme: &Tenant<'_>, user: &User<'_>, token: Option<&str>) -> Reply {
    tried(acme, "/api/token/", &credentials(&user.username, &user.password, token)).await
}

/// Asks for one at every sign-in from now on, which each isolate knows: what it knew before is good for a second.
async fn ask_everyone(acme: &Tenant<'_>, service: &Siteverify, policy: &Value) {
    // Another key first, so that the answer tells which of two policies an isolate goes by.
    for site_key in ["between", SITE_KEY] {
        let mut policy = policy.clone();
        (policy["asked"], policy["site_key"]) = (json!("always"), json!(site_key));
        acme.ask_for_captcha(service, &policy).await;
        wait::until("the policy at the edge", async || {
            let reply = tried(acme, "/api/token/", &credentials("nobody", "wrong", None)).await;
            (reply.status == 403 && reply.text_at("site_key") == site_key).then_some(())
        })
        .await;
    }
}

fn assert_required(reply: &Reply) {
    let body =
        json!({"detail": "A CAPTCHA must be solved.", "code": "captcha_required", "site_key": SITE_KEY});
    assert_eq!((reply.status, reply.json()), (403, body));
}

#[tokio::test]
async fn a_sign_in_needs_one_that_is_solved_once() {
    let stack = Stack::own("captcha").await;
    let (acme, service) = (Tenant::create(&stack).await, Siteverify::start().await);
    let ada = acme.user("ada").await;
    let strict = json!({"hostnames": ["app.acme.test"], "action": "login"});
    ask_everyone(&acme, &service, &strict).await;
    let mut seen = Vec::new();
    for path in ["/api/token/", "/api/login/"] {
        for (username, password) in [("ada", ada.password.as_str()), ("ada", "wrong"), ("nobody", "wrong")] {
            for token in [None, Some("unsolved")] {
                let reply = tried(&acme, path, &credentials(username, password, token)).await;
                assert_required(&reply);
                seen.push(reply.fingerprint());
            }
        }
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "known and unknown names alike");
    let _ = signs_in(&acme, &ada, Some("solved-1+=:")).await.expect(200);
    assert_required(&signs_in(&acme, &ada, Some("solved-1+=:")).await);
    let _ = tried(&acme, "/api/login/", &credentials("ada", "wrong", Some("solved-2"))).await.expect(401);
    // As a page without a script sends it.
    let form = format!("username=ada&password={}&cf-turnstile-response=solved-3", ada.password);
    let request = acme.http.request(Method::POST, "/api/login/").body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let _ = Reply::to(request).await.expect(200);
    let asked = service.asked();
    assert_eq!(asked.len(), 10, "what was not sent is not asked about");
    let form = |at: usize| {
        let form = &asked[at];
        (form["secret"].as_str(), form["response"].as_str(), form["remoteip"].as_str(), form.len())
    };
    assert_eq!(form(0), (SECRET, "unsolved", CLIENT, 3));
    assert_eq!(form(6), (SECRET, "solved-1+=:", CLIENT, 3));
    // Another page's, and another form's.
    let others = [json!({"hostnames": ["other.acme.test"]}), json!({"action": "comment"})];
    for (at, other) in others.iter().enumerate() {
        let mut policy = strict.clone();
        other.as_object().into_iter().flatten().for_each(|(name, value)| policy[name] = value.clone());
        ask_everyone(&acme, &service, &policy).await;
        assert_required(&signs_in(&acme, &ada, Some(&format!("solved-other-{at}"))).await);
        assert_eq!(service.asked().len(), 11 + at);
    }
    // Without it sign-ins go on as before.
    let _ = acme.operator.delete(&format!("{}captcha/", acme.path())).await.expect(204);
    acme.settle().await;
    wait::until("sign-ins without one", async || (ada.try_sign_in().await.status == 200).then_some(())).await;
    let _ = ada.sign_in().await.refreshed().await.me().await.expect(200);
    let log = stack.edge_log().await;
    assert!(log.contains(r#""outcome":"solved""#) && log.contains(r#""outcome":"missing""#), "{log}");
    for hidden in [SECRET, "solved-1", "unsolved-", CLIENT, "siteverify"] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}

#[tokio::test]
async fn wrong_passwords_make_it_necessary() {
    let acme = Tenant::create(Stack::shared().await).await;
    let service = Siteverify::start().await;
    let (ada, bob) = (acme.user("ada").await, acme.user("bob").await);
    acme.ask_for_captcha(&service, &json!({"after": 2})).await;
    for name in ["ada", "nobody"] {
        for _ in 0..2 {
            let _ = tried(&acme, "/api/token/", &credentials(name, "wrong", None)).await.expect(401);
        }
    }
    assert_required(&signs_in(&acme, &ada, None).await);
    assert_required(&tried(&acme, "/api/token/", &credentials("nobody", "wrong", None)).await);
    assert_eq!(service.asked().len(), 0);
    let _ = signs_in(&acme, &bob, None).await.expect(200);
    let _ = signs_in(&acme, &ada, Some("solved-1")).await.expect(200);
    assert_required(&signs_in(&acme, &ada, Some("unsolved")).await);
    let _ = signs_in(&acme, &ada, Some("solved-2")).await.expect(200);
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test]
async fn a_service_that_does_not_answer_holds_nobody_up_for_long() {
    let acme = Tenant::create(Stack::shared().await).await;
    let (service, elsewhere) = (Siteverify::start().await, Siteverify::start().await);
    let ada = acme.user("ada").await;
    let moved = Manner::Redirects(elsewhere.url().to_owned());
    let late = [Manner::Silent, Manner::Stalls, Manner::Slow(Duration::from_secs(30))];
    let wrong = [Manner::Rubbish(200), Manner::Rubbish(503), moved, Manner::Endless, Manner::Hangs];
    for (then, status) in [("allow", 200), ("refuse", 503)] {
        // So long that a busy machine does not make them late.
        for (manners, timeout_ms) in [(&late[..], 700), (&wrong[..], 10_000)] {
            ask_everyone(&acme, &service, &json!({"timeout_ms": timeout_ms, "on_failure": then})).await;
            for manner in manners {
                service.behave(manner.clone());
                let began = tokio::time::Instant::now();
                let reply = signs_in(&acme, &ada, Some("solved-by-whom")).await;
                let took = began.elapsed();
                assert_eq!(reply.status, status, "{manner:?}, {then}: {}", reply.text);
                let least = if timeout_ms == 700 { 700 } else { 0 };
                assert!((least..10_000).contains(&took.as_millis()), "{manner:?} took {took:?}");
                if status == 503 {
                    let said = (reply.text_at("code"), reply.header("retry-after").to_owned());
                    assert_eq!(said, ("unavailable".to_owned(), "1".to_owned()));
                }
                // One that is missing is refused by either policy.
                assert_required(&signs_in(&acme, &ada, None).await);
            }
        }
        service.behave(Manner::Slow(Duration::from_millis(200)));
        let _ = signs_in(&acme, &ada, Some(&format!("solved-{then}"))).await.expect(200);
        assert_required(&signs_in(&acme, &ada, Some("unsolved")).await);
    }
    assert_eq!(elsewhere.asked().len(), 0, "no redirect is followed, with a secret or without");
    assert_eq!(service.asked().len(), 2 * (late.len() + wrong.len() + 2));
}

#[tokio::test]
async fn strangers_who_ask_for_a_mail_are_asked_first() {
    let acme = Tenant::create(Stack::shared().await).await;
    let service = Siteverify::start().await;
    acme.change(&json!({"settings": {"registration": "open"}})).await;
    acme.ask_for_captcha(&service, &json!({"forms": true})).await;
    let register =
        json!({"username": "eve", "email": "eve@acme.test", "password": "correct horse battery staple"});
    for (path, body) in [
        ("/api/user/public-register/", register),
        ("/api/user/email/verify/resend/", json!({"email": "eve@acme.test"})),
        ("/api/user/password/reset/", json!({"email": "eve@acme.test"})),
    ] {
        let post = async |token: Option<String>| {
            let mut request = acme.http.request(Method::POST, path).json(&body);
            if let Some(token) = token {
                request = request.header("captcha-response", token);
            }
            Reply::to(request).await
        };
        // Isolates learn of it within a moment.
        wardgate_tests::wait::until("the CAPTCHA to be asked for", async || {
            (post(None).await.status == 403).then_some(())
        })
        .await;
        assert_required(&post(None).await);
        assert_required(&post(Some("unsolved".into())).await);
        let token = format!("solved-{}", path.replace('/', "-"));
        let served = post(Some(token.clone())).await;
        assert!((200..300).contains(&served.status), "{path}: {} {}", served.status, served.text);
        assert_required(&post(Some(token)).await);
    }
}
