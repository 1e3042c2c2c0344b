//! The CAPTCHA that a tenant asks for: when, what becomes of it, what holds without its service, and that nothing tells
//! known and unknown names apart.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shared::contract::limits::{CAPTCHA_ANSWER_BYTES, CAPTCHA_TOKEN_BYTES, PAIR_ATTEMPTS};
use shared::ids::HostName;
use shared::tenant::captcha::{CaptchaDemand, CaptchaPolicy, OnFailure, VerifyUrl};
use shared::wire::needs::Needs;

use super::fixture::{Actor, Answered, PASSWORD, Request, World};
use super::siteverify::{Call, SECRET, SITE_KEY, asks};
use crate::platform::CaptchaError;

const FIELD: &str = "cf-turnstile-response";
const FORMS: [&str; 3] =
    ["/api/user/public-register/", "/api/user/email/verify/resend/", "/api/user/password/reset/"];

fn always(policy: &mut CaptchaPolicy) {
    policy.asked = CaptchaDemand::Always;
}

/// A tenant that asks for a CAPTCHA, in an isolate that knows it.
fn acme(change: impl FnOnce(&mut CaptchaPolicy)) -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    asks(&acme, change);
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    (world, acme)
}

fn credentials(name: &str, password: &str, token: Option<&str>) -> Value {
    let mut body = json!({"username": name, "password": password});
    if let Some(token) = token {
        body[FIELD] = json!(token);
    }
    body
}

fn tried(acme: &Actor, name: &str, password: &str, token: Option<&str>) -> Answered {
    acme.post("/api/token/", &credentials(name, password, token))
}

fn from(client: &str, request: Request) -> Request {
    Request { client: client.into(), ..request }
}

fn calls(world: &World) -> Vec<Call> {
    world.memory().siteverify.calls.borrow().clone()
}

/// Hashes, batches and questions to the service.
fn costs(world: &World) -> (u32, u32, usize) {
    (world.app.hashes.get(), world.memory().batches.get(), calls(world).len())
}

fn spent(world: &World, before: (u32, u32, usize)) -> (u32, u32, usize) {
    let now = costs(world);
    (now.0 - before.0, now.1 - before.1, now.2 - before.2)
}

fn assert_required(answer: &Answered, what: &str) {
    let body =
        json!({"detail": "A CAPTCHA must be solved.", "code": "captcha_required", "site_key": SITE_KEY});
    assert_eq!((answer.status, answer.json()), (403, body), "{what}");
}

fn says(world: &World, said: Result<(u16, &str), CaptchaError>) {
    let said = said.map(|(status, body)| (status, body.to_owned()));
    *world.memory().siteverify.says.borrow_mut() = Some(said);
}

fn logged(world: &World) -> Vec<Value> {
    let lines = world.memory().logged.borrow();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["message"] == "captcha").collect()
}

fn counted(world: &World) -> i64 {
    let sum = "select coalesce(sum(count), 0) from attempts";
    world.memory().db.borrow().query_row(sum, [], |row| row.get(0)).unwrap()
}

#[test]
fn the_service_is_asked_as_it_documents_and_a_sign_in_still_costs_two_batches() {
    for asked in [CaptchaDemand::Always, CaptchaDemand::Suspicious] {
        let (world, acme) = acme(|policy| (policy.asked, policy.timeout_ms) = (asked, 1234));
        if asked == CaptchaDemand::Suspicious {
            for _ in 0..3 {
                tried(&acme, "ada", "wrong", None).expect(401);
            }
        }
        let before = costs(&world);
        let request =
            acme.request("POST", "/api/login/").json(&credentials("ada", PASSWORD, Some("solved-1+=:")));
        world.send(from("2001:db8::7", request)).expect(200);
        assert_eq!(
            spent(&world, before),
            (1, 2, usize::from(asked == CaptchaDemand::Always)),
            "from another network"
        );
        tried(&acme, "ada", PASSWORD, Some("solved-2+=:")).expect(200);
        let call = calls(&world).pop().unwrap();
        let form = [("secret", SECRET), ("response", "solved-2+=:"), ("remoteip", "192.0.2.1")];
        assert_eq!(call.url, "https://challenges.cloudflare.com/turnstile/v0/siteverify");
        let form: BTreeMap<_, _> = form.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!((call.form, call.patience), (form, Duration::from_millis(1234)));
    }
}

#[test]
fn without_a_solved_one_every_sign_in_is_refused_alike_before_storage_and_any_hash() {
    let (world, acme) = acme(always);
    let before = costs(&world);
    let mut seen = Vec::new();
    let too_long = "x".repeat(CAPTCHA_TOKEN_BYTES + 1);
    let tokens = [None, Some(""), Some("unsolved"), Some("<b>"), Some(too_long.as_str())];
    for path in ["/api/token/", "/api/login/"] {
        for (name, password) in [("ada", PASSWORD), ("ada", "wrong"), ("nobody", "wrong"), ("a@b@\0", "x")] {
            for token in tokens {
                let answer = acme.post(path, &credentials(name, password, token));
                assert_required(&answer, &format!("{path} {name} {token:.20?}"));
                seen.push(answer.visible());
            }
        }
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(spent(&world, before), (0, 0, 8), "what no widget gives is not asked about");
    assert_eq!(counted(&world), 0);
    // What is wrong with the body is said first, as ever.
    acme.post("/api/token/", &json!({FIELD: "solved-1"})).expect(400);
    assert_eq!(calls(&world).len(), 8);
}

#[test]
fn forms_and_the_fields_of_other_widgets_are_read_too() {
    let (world, acme) = acme(always);
    for (at, field) in [FIELD, "h-captcha-response", "g-recaptcha-response"].into_iter().enumerate() {
        let body = format!("username=ada&password=correct+horse+battery&{field}=solved-{at}");
        let request =
            acme.request("POST", "/api/token/").header("content-type", "application/x-www-form-urlencoded");
        world.send(Request { body: body.into_bytes(), ..request }).expect(200);
    }
}

#[test]
fn a_token_is_good_once_and_of_the_page_that_is_meant() {
    let (world, acme) = acme(|policy| {
        always(policy);
        policy.hostnames = vec![HostName::parse("acme.example").unwrap()];
        policy.action = String::from("login");
    });
    tried(&acme, "ada", PASSWORD, Some("solved-1")).expect(200);
    assert_required(&tried(&acme, "ada", PASSWORD, Some("solved-1")), "again");
    let solved = |host: &str, action: &str, ts: &str| {
        json!({"success": true, "challenge_ts": ts, "hostname": host, "action": action}).to_string()
    };
    // The world's clock is at 2027-01-15T08:00:00Z.
    for (host, action, ts, status) in [
        ("acme.example", "login", "2027-01-15T07:59:00.000Z", 200),
        ("evil.example", "login", "2027-01-15T07:59:00.000Z", 403),
        ("acme.example", "comment", "2027-01-15T07:59:00.000Z", 403),
        ("acme.example", "login", "2027-01-15T07:54:59.000Z", 403),
        ("acme.example", "login", "2027-01-15T08:02:00.000Z", 403),
    ] {
        says(&world, Ok((200, &solved(host, action, ts))));
        tried(&acme, "ada", PASSWORD, Some("any")).expect(status);
    }
}

#[test]
fn a_tenant_that_asks_the_suspicious_leaves_the_others_alone() {
    let (world, acme) = acme(|_| {});
    acme.sign_in("ada");
    for _ in 0..3 {
        tried(&acme, "ada", "wrong", Some("solved-0")).expect(401);
    }
    assert_eq!(calls(&world).len(), 0, "what is not asked for is not looked at, and stays good");
    let before = costs(&world);
    assert_required(&tried(&acme, "ada", PASSWORD, None), "the fourth");
    assert_eq!(spent(&world, before), (0, 2, 0), "counted and given back");
    let count = counted(&world);
    for token in [None, Some("unsolved")] {
        assert_required(&tried(&acme, "ada", "wrong", token), "no password is looked at");
    }
    assert_eq!(counted(&world), count, "so no try is counted");
    tried(&acme, "ada", "wrong", Some("solved-0")).expect(401);
    tried(&acme, "ada", PASSWORD, Some("solved-1")).expect(200);
    // The counts go with their window.
    world.advance(3_600_000);
    tried(&acme, "ada", PASSWORD, None).expect(200);
}

/// However strangers go about it, an account is suspicious to networks that do not know it, and to no other.
#[test]
fn strangers_who_guess_make_strangers_solve_one() {
    let (world, acme) = acme(|_| {});
    acme.sign_in("ada");
    let send = |client: &str, name: &str, password: &str| {
        let request = acme.request("POST", "/api/token/").json(&credentials(name, password, None));
        world.send(from(client, request))
    };
    // Six of the account, from as many networks.
    for name in ["ada", "nobody"] {
        for at in 0..6 {
            send(&format!("198.51.100.{at}"), name, "wrong").expect(401);
        }
        assert_required(&send("203.0.113.5", name, PASSWORD), name);
    }
    acme.sign_in("ada");
    // Thirty of a network, of as many names.
    for at in 0..30 {
        send("203.0.113.77", &format!("user-{at}"), "wrong").expect(401);
    }
    assert_required(&send("203.0.113.77", "bob", PASSWORD), "a network");
    send("203.0.113.78", "bob", PASSWORD).expect(401);
    // Three hundred of the tenant.
    world.advance(300_000);
    for at in 0..300 {
        send(&format!("2001:db8:{at:x}::1"), &format!("one-{at}"), "wrong").expect(401);
    }
    assert_required(&send("203.0.113.79", "carol", PASSWORD), "the tenant");
    acme.sign_in("ada");
}

#[test]
fn known_and_unknown_names_become_suspicious_alike() {
    for after in [1, 5, PAIR_ATTEMPTS] {
        let (_, acme) = acme(|policy| policy.after = after);
        let mut seen = Vec::new();
        for name in ["ada", "nobody"] {
            let answers = (0..15).map(|_| tried(&acme, name, "wrong", None).visible());
            seen.push(answers.collect::<Vec<_>>());
        }
        assert_eq!(seen[0], seen[1], "{after}");
        let statuses: Vec<_> = seen[0].iter().map(|(status, ..)| *status).collect();
        let asked = statuses.iter().position(|status| *status != 401);
        assert_eq!(asked, usize::try_from(after).ok(), "{statuses:?}");
    }
}

/// Everything that a service may do but answer.
fn failures() -> Vec<Result<(u16, &'static str), CaptchaError>> {
    vec![
        Err(CaptchaError::Unreachable),
        Err(CaptchaError::Late),
        Err(CaptchaError::TooLong),
        Ok((200, "<html>Bad gateway</html>")),
        Ok((200, r#"{"success":"true"}"#)),
        Ok((302, "")),
        Ok((502, r#"{"success":true}"#)),
        Ok((200, r#"{"success":false,"error-codes":["invalid-input-secret"]}"#)),
        Ok((200, r#"{"success":false,"error-codes":["internal-error"]}"#)),
    ]
}

#[test]
fn where_the_service_fails_the_tenants_policy_holds() {
    for on_failure in [OnFailure::Allow, OnFailure::Refuse] {
        let (world, acme) = acme(|policy| {
            always(policy);
            policy.on_failure = on_failure;
        });
        for said in failures() {
            says(&world, said);
            let before = costs(&world);
            let [right, wrong, nobody] = [("ada", PASSWORD), ("ada", "wrong"), ("nobody", "wrong")]
                .map(|(name, password)| tried(&acme, name, password, Some("any")));
            match on_failure {
                OnFailure::Allow => {
                    let statuses = (right.status, wrong.status, nobody.status);
                    assert_eq!((statuses, wrong.visible()), ((200, 401, 401), nobody.visible()), "{said:?}");
                }
                OnFailure::Refuse => {
                    assert_eq!((right.status, right.text("code").as_str()), (503, "unavailable"), "{said:?}");
                    assert!(right.header("retry-after").is_some());
                    assert!(right.visible() == wrong.visible() && right.visible() == nobody.visible());
                    assert_eq!(spent(&world, before), (0, 0, 3), "{said:?}");
                }
            }
            // A client that sent none is told so, and the service is not asked.
            assert_required(&tried(&acme, "ada", PASSWORD, None), "none");
        }
        let last = logged(&world).into_iter().rev().find(|line| line["outcome"] == "failed").unwrap();
        let then = match on_failure {
            OnFailure::Allow => "allow",
            OnFailure::Refuse => "refuse",
        };
        let line = json!({"level": "error", "message": "captcha", "outcome": "failed", "why": "internal-error",
            "then": then, "tenant": acme.id()});
        assert_eq!(last, line);
    }
}

#[test]
fn an_answer_that_is_too_long_is_none() {
    let (world, acme) = acme(|policy| {
        always(policy);
        policy.on_failure = OnFailure::Refuse;
    });
    let answer =
        json!({"success": true, "challenge_ts": "2027-01-15T07:59:00.000Z", "cdata": ""}).to_string();
    for (more, status) in [(0, 200), (1, 503)] {
        let padding = " ".repeat(CAPTCHA_ANSWER_BYTES - answer.len() + more);
        says(&world, Ok((200, &format!("{answer}{padding}"))));
        tried(&acme, "ada", PASSWORD, Some("any")).expect(status);
    }
}

/// Nothing that a client can send makes a refusal look like a failure, which some tenants let through.
#[test]
fn a_refusal_is_no_failure() {
    let (world, acme) = acme(always);
    for body in [
        r#"{"success":false,"error-codes":["bad-request"]}"#,
        r#"{"success":false,"error-codes":["missing-input-response"]}"#,
        r#"{"success":false}"#,
    ] {
        for status in [200, 400] {
            says(&world, Ok((status, body)));
            assert_required(&tried(&acme, "ada", PASSWORD, Some("any")), body);
        }
    }
}

#[test]
fn an_isolate_that_is_behind_learns_of_it_with_its_batch() {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.sign_in("ada");
    world.memory().kv_frozen.set(true);
    asks(&acme, always);
    let (hashes, count) = (world.app.hashes.get(), counted(&world));
    assert_required(&tried(&acme, "ada", PASSWORD, None), "behind");
    assert_eq!((world.app.hashes.get(), counted(&world)), (hashes, count), "the try is given back");
    // One that was asked already is not asked again for a newer document.
    asks(&acme, |policy| (policy.asked, policy.after) = (CaptchaDemand::Always, 2));
    let before = calls(&world).len();
    tried(&acme, "ada", PASSWORD, Some("solved-1")).expect(200);
    assert_eq!(calls(&world).len() - before, 1);
}

#[test]
fn an_isolate_that_refuses_everyone_hears_of_a_change() {
    let (world, acme) = acme(always);
    assert_required(&tried(&acme, "ada", PASSWORD, None), "before");
    acme.edit(|tenant| (tenant.captcha, tenant.needs) = (None, Needs::default()));
    world.advance(60_000);
    let before = costs(&world);
    assert_required(&tried(&acme, "ada", PASSWORD, None), "by what it knew");
    assert_eq!(spent(&world, before), (0, 1, 0), "it reads the feed when it has answered");
    tried(&acme, "ada", PASSWORD, None).expect(200);
}

#[test]
fn a_secret_goes_to_no_other_service_than_it_was_given_for() {
    let (world, acme) = acme(|policy| {
        always(policy);
        policy.on_failure = OnFailure::Allow;
    });
    // As an attacker who can write the edge's database would.
    let moved =
        "update tenants set document = json_set(document, '$.captcha.verify_url', 'https://evil.example/')";
    world.memory().db.borrow().execute(moved, []).unwrap();
    world.memory().kv.borrow_mut().clear();
    world.new_isolate();
    tried(&acme, "ada", PASSWORD, Some("solved-1")).expect(503);
    assert_eq!(calls(&world), []);
    // A push of such a document is refused.
    acme.tenant.borrow_mut().captcha.as_mut().unwrap().policy.verify_url =
        VerifyUrl::parse("https://evil.example/").unwrap();
    assert_eq!(world.push(&acme.document_push()).expect(422).json()["code"], "edge_key_unknown");
}

#[test]
fn strangers_forms_are_asked_where_the_tenant_says_so() {
    let (world, acme) = acme(|policy| policy.forms = true);
    let body = json!({"email": "ada@acme.example"});
    let post = |path: &str, token: Option<&str>| {
        let request = acme.request("POST", path).json(&body);
        world.send(match token {
            Some(token) => request.header("captcha-response", token),
            None => request,
        })
    };
    for (at, path) in FORMS.into_iter().enumerate() {
        assert_required(&post(path, None), path);
        assert_required(&post(path, Some("unsolved")), path);
        assert_eq!(world.memory().forwarded.borrow().len(), at, "control is not asked");
        post(path, Some(&format!("solved-{at}"))).expect(200);
        assert_required(&post(path, Some(&format!("solved-{at}"))), path);
        let forwarded = world.memory().forwarded.borrow();
        let headers = &forwarded.last().unwrap().0.headers;
        assert!(headers.iter().all(|(_, value)| !value.contains("solved-")), "the token stays here");
        let read = &calls(&world).pop().unwrap().form;
        assert_eq!(read["remoteip"], "192.0.2.1");
    }
    let before = calls(&world).len();
    // What a mailed link leads to, and other methods, are not asked.
    for path in
        ["/api/user/email/verify/", "/api/user/password/reset/confirm/", "/api/user/invitations/accept/"]
    {
        post(path, None).expect(200);
    }
    world.send(acme.request("OPTIONS", FORMS[0])).expect(200);
    assert_ne!(world.send(acme.request("GET", FORMS[0])).status, 403);
    // Sign-ins go on as that tenant has it.
    acme.sign_in("ada");
    assert_eq!(calls(&world).len(), before);
    let (world, acme) = self::acme(always);
    world.send(acme.request("POST", FORMS[2]).json(&body)).expect(200);
    assert_eq!(calls(&world), []);
}

#[test]
fn every_outcome_is_logged_and_no_secret_token_or_address() {
    let (world, acme) = acme(always);
    tried(&acme, "ada", PASSWORD, None).expect(403);
    tried(&acme, "ada", PASSWORD, Some("unsolved-token")).expect(403);
    tried(&acme, "ada", PASSWORD, Some("solved-token")).expect(200);
    says(&world, Err(CaptchaError::Late));
    tried(&acme, "ada", PASSWORD, Some("solved-token")).expect(200);
    let outcomes: Vec<_> =
        logged(&world).iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["missing", "unsolved", "solved", "failed"]);
    let lines = world.memory().logged.borrow().join("\n");
    for hidden in [SECRET, "solved-token", "192.0.2.1", "siteverify", SITE_KEY] {
        assert!(!lines.contains(hidden), "{hidden}");
    }
}

#[test]
fn nothing_but_passwords_is_asked_for() {
    let (_, acme) = acme(always);
    let answer = tried(&acme, "ada", PASSWORD, Some("solved-1")).expect(200);
    let tokens = (answer.text("access"), answer.text("refresh"));
    acme.refresh(&tokens.1).expect(200);
    acme.validate(&tokens.0).expect(200);
    let step_up =
        acme.request("POST", "/api/step-up/").json(&json!({"password": PASSWORD})).bearer(&tokens.0);
    acme.world.send(step_up).expect(200);
    acme.post("/api/verify-otp/", &json!({"mfa_token": "wgc_x", "otp": "123456"})).expect(401);
}
