//! Tokens of a tenant's legacy service: who may enable them, for how long, and where they are accepted.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{SecondsFormat, TimeDelta};
use control::keys::rsa::{self, Private};
use control::legacy::tokens;
use control::tenants;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;

use crate::cli::Outcome;
use crate::legacy_service::LegacyService;
use crate::scene::{Answer, Scene, call, new_tenant};

/// The legacy service's key, and a file with its public half.
struct LegacyKey {
    private: Private,
    file: std::path::PathBuf,
}

impl LegacyKey {
    fn new() -> Self {
        let private = rsa::generate(2048).unwrap();
        let file = std::env::temp_dir().join(format!("wardgate-{}.pem", private.public.key_id()));
        std::fs::write(&file, private.public.to_pem().unwrap()).unwrap();
        Self { private, file }
    }

    fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// As SimpleJWT signs: without a key id.
    fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"typ": "JWT", "alg": "RS256"}), claims)
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let pair = RsaKeyPair::from_pkcs8(&self.private.pkcs8).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Drop for LegacyKey {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Scene {
    /// A moment this many days from now, as the command line takes it.
    fn in_days(&self, days: i64) -> String {
        let at = self.control.clock.now() + TimeDelta::days(days);
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    fn legacy(&self, arguments: &[&str]) -> Outcome {
        let slug = self.tenant.slug.to_string();
        let (verb, rest) = arguments.split_first().unwrap();
        self.cli().run(&[&["tenant", "legacy", verb, &slug], rest].concat(), "")
    }

    fn accept(&self, key: &LegacyKey) {
        let until = self.in_days(29);
        let marker = ["--claim", "tenant", "--value", "acme"];
        self.legacy(&[&["set", "--public-key", key.path(), "--until", &until], &marker[..]].concat())
            .expect(0);
    }

    fn legacy_claims(&self, user: Value) -> Value {
        let now = self.control.clock.now().timestamp();
        json!({
            "token_type": "access", "exp": now + 3600, "iat": now, "jti": "0123456789abcdef0123456789abcdef",
            "user_id": user, "tenant": "acme",
        })
    }

    /// As the edge forwards it, because these tokens name no tenant.
    async fn bearer(&self, method: Method, path: &str, token: &str) -> Answer {
        crate::forward::forwarded(self, method, path, token).await
    }

    async fn legacy_user(&self, id: UserId, change: Value) {
        let unique = u64::from_le_bytes(control::world::random().unwrap());
        let root = self.member(&format!("root-{unique}"), "root-admin").await;
        root.patch(&format!("/api/user/users/{id}/"), change).await.expect(200);
    }
}

#[tokio::test]
async fn what_may_be_accepted_is_checked_before_it_is() {
    let scene = Scene::alone().await;
    let other = new_tenant(&scene.control, tenants::Isolation::Shared).await;
    let key = LegacyKey::new();
    let until = scene.in_days(29);
    let set = |file: &str, until: &str, rest: &[&str]| {
        scene.legacy(&[&["set", "--public-key", file, "--until", until], rest].concat())
    };
    for (until, rest, said) in [
        (scene.in_days(31), &[][..], "within the next 30 days"),
        (scene.in_days(-1), &[], "within the next 30 days"),
        ("soon".into(), &[], "neither a date"),
        (until.clone(), &["--claim", "user_id", "--value", "1"], "a claim that is this tenant's own"),
        (until.clone(), &["--claim", "tenant", "--value", "1.5"], "a claim that is this tenant's own"),
    ] {
        let refused = set(key.path(), &until, rest).expect(5);
        assert!(refused.stderr.contains(said), "{until} {rest:?}: {}", refused.stderr);
    }
    set(key.path(), &until, &["--claim", "tenant"]).expect(2);
    // Keys that sign here, for whichever tenant, and what is no public key.
    for tenant in [scene.tenant.id, other.id] {
        let mut tx = scene.control.db.tenant_tx(tenant).await.unwrap();
        let ours = control::keys::store::published(&mut tx).await.unwrap();
        drop(tx);
        std::fs::write(&key.file, ours[0].public.to_pem().unwrap()).unwrap();
        let refused = set(key.path(), &until, &[]).expect(5);
        assert!(refused.stderr.contains("This key signs here"), "{}", refused.stderr);
    }
    std::fs::write(&key.file, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap();
    set(key.path(), &until, &[]).expect(5);

    let key = LegacyKey::new();
    scene.accept(&key);
    scene.push().await;
    let at_edge = || scene.edge.state().documents[&scene.tenant.id].legacy.clone();
    let legacy = at_edge().unwrap();
    assert_eq!(legacy.key, key.private.public);
    assert_eq!(legacy.marker.unwrap().value, json!("acme"));
    let shown = scene.cli().run(&["tenant", "show", scene.tenant.slug.as_str()], "").expect(0).json;
    assert_eq!((&shown["legacy"]["claim"], &shown["legacy"]["value"]), (&json!("tenant"), &json!("acme")));
    scene.legacy(&["clear", "--yes"]).expect(0);
    scene.push().await;
    assert_eq!(at_edge(), None);
    assert_eq!(scene.logged().await.iter().filter(|it| *it == "tenant.edited").count(), 2);
}

#[tokio::test]
async fn only_the_platform_sets_it_over_the_api() {
    let scene = Scene::alone().await;
    let own = scene.member("ada", "root-admin").await;
    let operator = scene.platform().await.member("operator", "root-admin").await;
    let key = LegacyKey::new();
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let wanted = json!({"public_key": key.private.public.to_pem().unwrap(), "until": scene.in_days(7)});
    for change in [json!({"legacy": wanted}), json!({"user_id": "integer"}), json!({"foreign_until": null})] {
        own.patch(&path, change).await.expect(403);
    }
    let set = operator.patch(&path, json!({"legacy": wanted})).await.expect(200);
    assert_eq!(set.body["legacy"]["claim"], json!(null));
    assert!(!set.body.to_string().contains("PUBLIC KEY"));
    for (legacy, said) in [
        (json!({"until": scene.in_days(7)}), "public_key: This field is required."),
        (json!({"public_key": "x", "until": scene.in_days(7)}), "public_key: Expected an RSA public key"),
        (
            json!({"public_key": wanted["public_key"], "until": scene.in_days(31)}),
            "until: Expected a time within",
        ),
        (
            json!({"public_key": wanted["public_key"], "until": scene.in_days(7), "claim": "t"}),
            "claim and value belong",
        ),
    ] {
        let refused = operator.patch(&path, json!({"legacy": legacy})).await.expect(400);
        assert!(refused.body["legacy"][0].as_str().unwrap().starts_with(said), "{}", refused.body);
    }
    let cleared = operator.patch(&path, json!({"legacy": null})).await.expect(200);
    assert_eq!(cleared.body["legacy"], json!(null));
    // From that moment on what is left is forgotten, so that it is never one that has passed.
    let past = operator.patch(&path, json!({"foreign_until": scene.in_days(-1)})).await.expect(400);
    assert_eq!(past.body["foreign_until"][0], "Expected a time that is to come.");
    let ahead = operator.patch(&path, json!({"foreign_until": scene.in_days(40)})).await.expect(200);
    assert_ne!(ahead.body["foreign"]["until"], json!(null));
}

#[tokio::test]
async fn outstanding_tokens_are_listed_until_the_date() {
    let scene = Scene::alone().await;
    let token = |jti: &str, days: i64| json!({"jti": jti, "expires_at": scene.in_days(days)});
    let mut blacklisted = token("c", 5);
    blacklisted["blacklisted"] = json!(true);
    let old = LegacyService::of(json!([
        {"id": 1, "username": "ada", "password": "Corr3ct-horse", "tokens": [token("a", 5), token("b", 60), blacklisted]},
        {"id": 2, "username": "bob", "password": "Corr3ct-horse", "tokens": [token("d", -1), token("e", 5)]},
        {"id": 3, "username": "c d", "password": "Corr3ct-horse", "tokens": [token("f", 5)]},
    ]))
    .await;
    scene.import_from(&old, &[]).expect(5);
    let url = old.url();
    let list = |arguments: &[&str]| scene.legacy(&[&["tokens"], arguments].concat());
    let too_early = list(&["--database-url", &url]).expect(5);
    assert!(too_early.stderr.contains("`tenant legacy set` first"), "{}", too_early.stderr);
    scene.accept(&LegacyKey::new());
    let listed = list(&["--database-url", &url]).expect(0).json;
    assert_eq!((&listed["new"], &listed["known"], &listed["of_nobody"]), (&json!(3), &json!(0), &json!(1)));
    let dump = std::env::temp_dir().join(format!("wardgate-{}.json", scene.tenant.id));
    old.dump(&dump, "json");
    let again = list(&["--dump", dump.to_str().unwrap()]).expect(0).json;
    std::fs::remove_file(dump).unwrap();
    assert_eq!((&again["new"], &again["known"], &again["of_nobody"]), (&json!(0), &json!(3), &json!(1)));

    // Names of two users, their ids there, and three tokens.
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id), (2, 2 + 2 + 3));
    tokens::sweep(&scene.control).await.unwrap();
    scene.control.clock.advance(TimeDelta::days(30));
    tokens::sweep(&scene.control).await.unwrap();
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id), (2, 2 + 2));
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].legacy, None);
    assert_eq!(scene.logged().await.iter().filter(|it| *it == "legacy.ended").count(), 1);
}

#[tokio::test]
async fn a_list_goes_with_what_it_was_for() {
    let scene = Scene::alone().await;
    let tokens = json!([{"jti": "a", "expires_at": scene.in_days(5)}]);
    let old =
        LegacyService::of(json!([{"id": 1, "username": "ada", "password": "x", "tokens": tokens}])).await;
    scene.import_from(&old, &[]).expect(0);
    scene.accept(&LegacyKey::new());
    scene.legacy(&["tokens", "--database-url", &old.url()]).expect(0);
    let tokens = "select count(*) from identifiers where kind = 'legacy_token'";
    tokens::sweep(&scene.control).await.unwrap();
    assert_eq!(scene.number(tokens).await, 1);
    scene.legacy(&["clear", "--yes"]).expect(0);
    tokens::sweep(&scene.control).await.unwrap();
    assert_eq!(scene.number(tokens).await, 0);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one scenario")]
async fn an_old_access_token_is_good_for_oneself_alone() {
    let scene = Scene::alone().await;
    let old = LegacyService::of(json!([
        {"id": 1, "username": "ada", "password": "Corr3ct-horse", "is_superuser": true},
        {"id": 2, "username": "bob", "password": "Corr3ct-horse"},
    ]))
    .await;
    scene.import_from(&old, &[]).expect(0);
    let here = scene.everybody().await;
    let key = LegacyKey::new();
    let token = key.sign(&scene.legacy_claims(json!(1)));
    let me = |token: String| {
        let scene = &scene;
        async move { scene.bearer(Method::GET, "/api/user/me/", &token).await }
    };
    assert_eq!(me(token.clone()).await.expect(401).body["code"], "token_not_valid");
    scene.accept(&key);
    let own = me(token.clone()).await.expect(200);
    assert_eq!((&own.body["id"], &own.body["username"]), (&here["ada"]["id"], &json!("ada")));
    // Also as a text; and of an unknown user.
    assert_eq!(me(key.sign(&scene.legacy_claims(json!("1")))).await.expect(200).body["username"], "ada");
    assert_eq!(me(key.sign(&scene.legacy_claims(json!(3)))).await.expect(401).body["code"], "user_not_found");

    // Although the user is a root-admin, these are refused.
    let refused_before = scene.logged().await.iter().filter(|it| *it == "permission.refused").count();
    for (method, path) in [
        (Method::GET, "/api/user/users/".to_owned()),
        (Method::POST, "/api/user/users/".to_owned()),
        (Method::GET, "/api/audit/".to_owned()),
        (Method::PATCH, format!("/api/tenant/tenants/{}/", scene.tenant.id)),
        (Method::POST, format!("/api/tenant/tenants/{}/keys/rotate/", scene.tenant.id)),
    ] {
        let answer = scene.bearer(method.clone(), &path, &token).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
    }
    let refused = scene.logged().await.iter().filter(|it| *it == "permission.refused").count();
    assert_eq!(refused - refused_before, 5);

    // Control also refuses tokens that the edge refuses.
    let with = |name: &str, value: Value| {
        let mut claims = scene.legacy_claims(json!(1));
        claims[name] = value;
        claims
    };
    let kid = json!({"typ": "JWT", "alg": "RS256", "kid": key.private.public.key_id()});
    let hs256 = json!({"typ": "JWT", "alg": "HS256"});
    for (what, token) in [
        ("another tenant's", key.sign(&with("tenant", json!("initech")))),
        ("without the claim", key.sign(&with("tenant", json!(null)))),
        ("with a key id", key.sign_with(&kid, &scene.legacy_claims(json!(1)))),
        ("as HS256", key.sign_with(&hs256, &scene.legacy_claims(json!(1)))),
        ("by another key", LegacyKey::new().sign(&scene.legacy_claims(json!(1)))),
        ("expired", key.sign(&with("exp", json!(1)))),
        ("a refresh token", key.sign(&with("token_type", json!("refresh")))),
        ("sliding", key.sign(&with("token_type", json!("sliding")))),
    ] {
        assert_eq!(me(token).await.expect(401).body["code"], "token_not_valid", "{what}");
    }
    // Another tenant, which came from the same service, and its own user 1.
    let other = new_tenant(&scene.control, tenants::Isolation::Schema).await;
    let other = Scene { tenant: other, ..scene.platform().await };
    let old = LegacyService::of(json!([{"id": 1, "username": "eve", "password": "Corr3ct-horse"}])).await;
    other.import_from(&old, &[]).expect(0);
    let marker = ["--claim", "tenant", "--value", "initech"];
    let until = other.in_days(9);
    other.legacy(&[&["set", "--public-key", key.path(), "--until", &until], &marker[..]].concat()).expect(0);
    other.bearer(Method::GET, "/api/user/me/", &token).await.expect(401);

    // Raised epochs end it, as they end every other.
    let bob = users_id(&here["bob"]);
    let of_bob = key.sign(&scene.legacy_claims(json!(2)));
    me(of_bob.clone()).await.expect(200);
    scene.legacy_user(bob, json!({"roles": ["staff"]})).await;
    let blacklisted = me(of_bob.clone()).await.expect(401);
    assert_eq!(blacklisted.body["messages"][0]["message"], "Token is blacklisted");
    let ada = users_id(&here["ada"]);
    scene.legacy_user(ada, json!({"password": "An0ther-horse"})).await;
    assert_eq!(me(token.clone()).await.expect(401).body["code"], "password_changed");
    scene.legacy_user(ada, json!({"status": "suspended"})).await;
    assert_eq!(me(token.clone()).await.expect(401).body["code"], "user_inactive");
}

#[tokio::test]
async fn after_the_date_nothing_of_it_is_accepted() {
    let scene = Scene::alone().await;
    let old = LegacyService::of(json!([{"id": 1, "username": "ada", "password": "Corr3ct-horse"}])).await;
    scene.import_from(&old, &[]).expect(0);
    let key = LegacyKey::new();
    scene.accept(&key);
    let mut claims = scene.legacy_claims(json!(1));
    claims["exp"] = json!(scene.control.clock.now().timestamp() + 90 * 86_400);
    let token = key.sign(&claims);
    scene.bearer(Method::GET, "/api/user/me/", &token).await.expect(200);
    scene.control.clock.advance(TimeDelta::days(29) + TimeDelta::seconds(1));
    scene.bearer(Method::GET, "/api/user/me/", &token).await.expect(401);
    // Without the edge it has no tenant, so it belongs to no user.
    call(scene.api, Method::GET, "/api/user/me/", Some(&format!("Bearer {token}")), None).await.expect(401);
}

fn users_id(user: &Value) -> UserId {
    UserId::parse(user["id"].as_str().unwrap()).unwrap()
}
