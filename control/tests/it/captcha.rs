//! The CAPTCHA that a tenant asks for: who sets it, what of it is shown, and what the edge gets.

use control::tenants::Isolation;
use reqwest::Method;
use serde_json::{Value, json};
use shared::tenant::captcha::{CaptchaDemand, OnFailure};
use shared::wire::needs::CAPTCHA;
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};

use crate::scene::{Answer, Member, Scene, key};

const SECRET: &str = "0x4AAAAAAADnPI_s3cret";
const SITE_KEY: &str = "0x4AAAAAAADnPIDROrmt1Wwj";
const HCAPTCHA: &str = "https://api.hcaptcha.com/siteverify";

impl Scene {
    fn captcha_path(&self) -> String {
        format!("/api/tenant/tenants/{}/captcha/", self.tenant.id)
    }

    /// The secret as the edge opens it for a service.
    fn secret_at_edge(&self, url: &str) -> Option<String> {
        let place =
            Context { edge: "edge-test", tenant: self.tenant.id, kind: Kind::CaptchaSecret, subject: url };
        let sealed = Sealed::parse(&self.document().captcha?.secret).unwrap();
        let opened = sealed.open(&[EdgeKey::parse(&key("a", 1)).unwrap()], &place).ok()?;
        Some(String::from_utf8(opened.to_vec()).unwrap())
    }
}

async fn put(member: &Member, path: &str, body: Value) -> Answer {
    member.call(Method::PUT, path, Some(body)).await
}

fn wanted() -> Value {
    json!({"site_key": SITE_KEY, "secret": SECRET})
}

fn with(more: &[(&str, Value)]) -> Value {
    let mut wanted = wanted();
    more.iter().for_each(|(name, value)| wanted[*name] = value.clone());
    wanted
}

#[tokio::test]
async fn a_secret_is_set_sealed_and_never_shown() {
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = Scene::under(vec![], isolation).await;
        let (root, path) = (scene.member("root", "root-admin").await, scene.captcha_path());
        root.get(&path).await.expect(404);
        let set = put(&root, &path, wanted()).await.expect(200);
        let expected = json!({
            "site_key": SITE_KEY, "verify_url": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
            "asked": "suspicious", "after": 3, "forms": false, "timeout_ms": 3000, "on_failure": "allow", "hostnames": [],
            "action": "", "updated_at": set.body["updated_at"],
        });
        assert_eq!(set.body, expected);
        let read = root.get(&path).await.expect(200);
        assert_eq!(read.body, set.body);
        let log = root.get("/api/audit/?action=captcha.set").await.expect(200);
        assert_eq!(log.body["results"][0]["details"]["to"]["site_key"], SITE_KEY);
        let tenant = root.get(&format!("/api/tenant/tenants/{}/", scene.tenant.id)).await.expect(200);
        for answer in [&set, &read, &log, &tenant] {
            assert!(!answer.text.contains("s3cret"), "{}", answer.text);
        }
        assert!(!scene.rows().await.contains(SECRET));
        // What the edge gets: all of it, and the secret for this service alone.
        scene.push().await;
        let document = scene.document();
        let text = serde_json::to_string(&document).unwrap();
        assert!(text.contains(CAPTCHA) && !text.contains("s3cret"));
        let needs = serde_json::to_value(&document.needs).unwrap();
        assert!(needs.as_array().unwrap().contains(&json!("captcha")), "{needs}");
        let policy = document.captcha.unwrap().policy;
        assert_eq!((policy.asked, policy.on_failure), (CaptchaDemand::Suspicious, OnFailure::Allow));
        assert_eq!(scene.secret_at_edge(policy.verify_url.as_str()).as_deref(), Some(SECRET));
        assert_eq!(scene.secret_at_edge(HCAPTCHA), None);
        root.delete(&path).await.expect(204);
        root.delete(&path).await.expect(404);
        root.get(&path).await.expect(404);
        scene.push().await;
        let document = scene.document();
        assert!(document.captcha.is_none() && document.needs.is_empty(), "{:?}", document.needs);
        let logged = scene.logged().await;
        let of = |action: &str| logged.iter().filter(|it| *it == action).count();
        assert_eq!((of("captcha.set"), of("captcha.removed")), (1, 1));
    }
}

#[tokio::test]
async fn an_edit_replaces_all_but_a_secret_that_is_left_out() {
    let scene = Scene::new().await;
    let (root, path) = (scene.member("root", "root-admin").await, scene.captcha_path());
    let first =
        put(&root, &path, with(&[("asked", json!("always")), ("forms", json!(true))])).await.expect(200);
    let kept = json!({"site_key": "another", "hostnames": ["app.acme.example"], "action": "login"});
    let second = put(&root, &path, kept).await.expect(200);
    assert_eq!((&second.body["asked"], &second.body["forms"]), (&json!("suspicious"), &json!(false)));
    assert_eq!(second.body["hostnames"], json!(["app.acme.example"]));
    scene.push().await;
    let url = scene.document().captcha.unwrap().policy.verify_url;
    assert_eq!(scene.secret_at_edge(url.as_str()).as_deref(), Some(SECRET));
    // It goes to no other service than it was given for.
    let moved = json!({"site_key": "another", "verify_url": HCAPTCHA});
    let refused = put(&root, &path, moved).await.expect(400);
    assert_eq!(refused.body, json!({"secret": ["This field is required."]}));
    put(&root, &path, with(&[("verify_url", json!(HCAPTCHA)), ("secret", json!("other"))])).await.expect(200);
    scene.push().await;
    assert_eq!(scene.secret_at_edge(HCAPTCHA).as_deref(), Some("other"));
    // A lost update is told.
    let before = first.header("etag").to_owned();
    let fresh = root.get(&path).await.expect(200).header("etag").to_owned();
    root.with(Method::PUT, &path, &[("if-match", &before)], Some(wanted())).await.expect(412);
    root.with(Method::DELETE, &path, &[("if-match", &before)], None).await.expect(412);
    root.with(Method::PUT, &path, &[("if-match", &fresh)], Some(wanted())).await.expect(200);
    let log = root.get("/api/audit/?action=captcha.set").await.expect(200).body;
    let details: Vec<_> = log["results"].as_array().unwrap().iter().map(|entry| &entry["details"]).collect();
    let changed: Vec<_> = details.iter().map(|details| &details["secret_changed"]).collect();
    // The newest first.
    assert_eq!(changed, [&json!(true), &json!(true), &json!(false), &json!(true)]);
    assert_eq!(details[2]["from"]["asked"], "always");
}

#[tokio::test]
async fn what_does_not_hold_is_named() {
    let scene = Scene::new().await;
    let (root, path) = (scene.member("root", "root-admin").await, scene.captcha_path());
    let missing = put(&root, &path, json!({})).await.expect(400);
    assert_eq!(missing.body["site_key"], json!(["This field is required."]));
    for (name, value) in [
        ("site_key", json!("two words")),
        ("secret", json!("two words")),
        ("secret", json!("")),
        ("secret", json!(null)),
        ("verify_url", json!("http://siteverify.acme.example/")),
        ("verify_url", json!("https://siteverify.acme.example/")),
        ("verify_url", json!("http://127.0.0.1:8787/siteverify")),
        ("verify_url", json!("https://challenges.cloudflare.com/")),
        ("asked", json!("sometimes")),
        ("after", json!(0)),
        ("after", json!(11)),
        ("after", json!("x")),
        ("forms", json!("perhaps")),
        ("timeout_ms", json!(499)),
        ("timeout_ms", json!(10_001)),
        ("on_failure", json!("wait")),
        ("hostnames", json!(["https://app.acme.example"])),
        ("hostnames", json!(7)),
        ("action", json!("log in")),
    ] {
        let refused = put(&root, &path, with(&[(name, value.clone())])).await.expect(400);
        assert!(refused.body[name].is_array(), "{name} {value}: {}", refused.body);
    }
    root.get(&path).await.expect(404);
}

#[tokio::test]
async fn only_who_may_edit_the_tenant_sets_it_and_only_the_platform_names_any_service() {
    let scene = Scene::new().await;
    let path = scene.captcha_path();
    let root = scene.member("root", "root-admin").await;
    put(&root, &path, wanted()).await.expect(200);
    let (co_admin, staff) = (scene.member("co", "co-admin").await, scene.member("staff", "staff").await);
    co_admin.get(&path).await.expect(200);
    staff.get(&path).await.expect(403);
    for member in [&co_admin, &staff] {
        put(member, &path, wanted()).await.expect(403);
        member.delete(&path).await.expect(403);
    }
    let neighbour = scene.neighbour(Isolation::Shared).await;
    let stranger = neighbour.member("root", "root-admin").await;
    stranger.get(&path).await.expect(404);
    put(&stranger, &path, wanted()).await.expect(404);
    stranger.delete(&path).await.expect(404);
    let platform = scene.platform().await;
    let operator = platform.member(&format!("p{}", scene.tenant.slug), "root-admin").await;
    let elsewhere = "https://siteverify.acme.example/verify";
    put(&operator, &path, with(&[("verify_url", json!(elsewhere))])).await.expect(200);
    // What the platform has set stays, whatever else is edited.
    put(&root, &path, json!({"site_key": "new", "verify_url": elsewhere})).await.expect(200);
    operator.delete(&path).await.expect(204);
    put(&root, &path, with(&[("verify_url", json!(elsewhere))])).await.expect(400);
}

#[tokio::test]
async fn it_is_set_by_a_recent_proof_alone() {
    let scene = Scene::new().await;
    let (root, path) = (scene.member("root", "root-admin").await, scene.captcha_path());
    let settings = json!({"settings": {"step_up_secs": 60}});
    root.patch(&format!("/api/tenant/tenants/{}/", scene.tenant.id), settings).await.expect(200);
    put(&root, &path, wanted()).await.expect(200);
    scene.control.clock.advance(chrono::TimeDelta::seconds(61));
    for refused in [put(&root, &path, wanted()).await, root.delete(&path).await] {
        assert_eq!(refused.expect(403).body["code"], "step_up_required");
    }
    root.get(&path).await.expect(200);
}

#[tokio::test]
async fn the_command_line_shows_sets_and_removes_it() {
    let scene = Scene::new().await;
    let run = |arguments: &[&str], input: &str| {
        let mut cli = scene.cli();
        cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
        cli.run(arguments, input)
    };
    let captcha = |arguments: &[&str], input: &str| run(&[&["captcha"], arguments].concat(), input);
    assert_eq!(captcha(&["show"], "").expect(0).json, Value::Null);
    assert_eq!(run(&["policy", "show"], "").expect(0).json["captcha"], "off");
    let set = captcha(&["set", SITE_KEY], &format!("{SECRET}\n")).expect(0);
    assert_eq!((&set.json["asked"], &set.json["timeout_ms"]), (&json!("suspicious"), &json!(3000)));
    assert_eq!(captcha(&["show"], "").expect(0).json, set.json);
    let more = ["set", SITE_KEY, "--keep-secret", "--asked", "always", "--forms", "--on-failure", "refuse"];
    let more =
        [&more[..], &["--hostname", "app.acme.example", "--action", "login", "--timeout-ms", "500"]].concat();
    let set = captcha(&more, "").expect(0).json;
    assert_eq!(
        (&set["asked"], &set["on_failure"], &set["forms"]),
        (&json!("always"), &json!("refuse"), &json!(true))
    );
    assert_eq!(run(&["policy", "show"], "").expect(0).json["captcha"], "always");
    scene.push().await;
    let url = scene.document().captcha.unwrap().policy.verify_url;
    assert_eq!(scene.secret_at_edge(url.as_str()).as_deref(), Some(SECRET));
    // An operator may name any service; the secret does not go with it.
    let local = ["set", SITE_KEY, "--verify-url", "http://127.0.0.1:8787/siteverify"];
    captcha(&[&local[..], &["--keep-secret"]].concat(), "").expect(5);
    captcha(&local, "another\n").expect(0);
    captcha(&["set", SITE_KEY, "--verify-url", "http://acme.example/"], "x\n").expect(5);
    captcha(&["set", SITE_KEY, "--after", "11"], "x\n").expect(5);
    captcha(&["set", SITE_KEY], "").expect(5);
    captcha(&["remove"], "").expect(5);
    captcha(&["remove", "--yes"], "").expect(0);
    captcha(&["remove", "--yes"], "").expect(4);
}

#[tokio::test]
async fn the_document_says_where_strangers_may_be_asked() {
    let scene = Scene::new().await;
    let document = scene.anonymous(Method::GET, "/api/schema/", None).await.expect(200).body;
    let asks = |path: &str| {
        let parameters = document["paths"][path]["post"]["parameters"].as_array();
        parameters.into_iter().flatten().any(|parameter| parameter["name"] == "Captcha-Response")
    };
    for (path, expected) in [
        ("/api/user/public-register/", true),
        ("/api/user/email/verify/resend/", true),
        ("/api/user/password/reset/", true),
        ("/api/user/password/reset/confirm/", false),
        ("/api/token/", false),
    ] {
        assert_eq!(asks(path), expected, "{path}");
    }
    let schema = |name: &str| document["components"]["schemas"][name].to_string();
    assert!(schema("Refused").contains("site_key") && schema("Code").contains("captcha_required"));
}
