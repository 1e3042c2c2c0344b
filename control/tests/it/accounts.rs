//! Registration and verification of an address: the responses to clients without a credential, and the resulting
//! accounts.

use chrono::TimeDelta;
use control::jobs::queue::Job as _;
use control::requests;
use control::users::{self, PasswordKept, Profile, User};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::limits::{STRANGERS_PER_MINUTE, STRANGERS_WAITING, VERIFY_LINK_SECS};
use shared::ids::HostName;
use shared::tenant::registration::Registration;
use sqlx::AssertSqlSafe;

use crate::scene::{Answer, PASSWORD, Scene};

const REGISTER: &str = "/api/user/public-register/";
const VERIFY: &str = "/api/user/email/verify/";
const RESEND: &str = "/api/user/email/verify/resend/";

fn wish(username: &str, email: &str) -> Value {
    json!({ "username": username, "email": email, "password": PASSWORD })
}

impl Scene {
    /// A tenant with open registration.
    async fn open() -> Self {
        let scene = Self::new().await;
        scene.with_settings(|settings| settings.registration = Registration::Open).await;
        scene
    }

    async fn register(&self, username: &str, email: &str) -> Answer {
        self.stranger(Method::POST, REGISTER, Some(wish(username, email))).await
    }

    async fn verify(&self, token: &str) -> Answer {
        self.stranger(Method::POST, VERIFY, Some(json!({ "token": token }))).await
    }

    async fn resend(&self, email: &str) -> Answer {
        self.stranger(Method::POST, RESEND, Some(json!({ "email": email }))).await
    }

    pub async fn named(&self, name: &str) -> Option<User> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::find_by_name(&mut tx, name).await.ok()
    }

    pub async fn password_of(&self, user: &User) -> PasswordKept {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::password_kept(&mut tx, user.id).await.unwrap()
    }

    /// A user with an address, proven or not.
    pub async fn with_address(&self, username: &str, email: &str, proven: bool) -> User {
        let profile = Profile { username: username.into(), email: Some(email.into()), ..Profile::default() };
        let user = self.person(profile, &["client"]).await;
        if !proven {
            let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
            sqlx::query("update users set email_verified = false where tenant_id = $1 and id = $2")
                .bind(self.tenant.id.uuid())
                .bind(user.id.uuid())
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        self.user(user.id).await
    }

    /// How many rows of the tenant a table has.
    pub async fn count(&self, table: &str) -> i64 {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table} where tenant_id = $1")))
            .bind(self.tenant.id.uuid())
            .fetch_one(&mut *tx)
            .await
            .unwrap()
    }
}

/// Everything by which a client can distinguish two answers, except the request id.
fn seen(answer: &Answer) -> (u16, String, Vec<String>) {
    let headers = answer.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "x-request-id" | "date"));
    let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    (answer.status, answer.text.clone(), headers.collect())
}

#[tokio::test]
async fn where_nobody_registers_everybody_is_refused_alike() {
    let scene = Scene::new().await;
    scene.with_address("ada", "ada@acme.test", true).await;
    let bodies = [
        Some(wish("ada", "ada@acme.test")),
        Some(wish("grace", "grace@acme.test")),
        Some(json!({ "username": 1 })),
        Some(json!([])),
        None,
    ];
    let mut answers = Vec::new();
    for registration in [Registration::Closed, Registration::Invitation] {
        scene.with_settings(|settings| settings.registration = registration).await;
        for body in &bodies {
            let answer = scene.stranger(Method::POST, REGISTER, body.clone()).await;
            answers.push(seen(&answer.expect(403)));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].1, r#"{"code":"registration_closed","detail":"Registration is closed."}"#);
    assert_eq!(scene.count("requests").await, 0);
}

#[tokio::test]
async fn a_registration_becomes_an_account_once_its_address_is_proven() {
    for scene in [Scene::new().await, Scene::shared().await] {
        scene.with_settings(|settings| settings.registration = Registration::Open).await;
        let mut body = wish("Grace", "Grace@Acme.test");
        body["first_name"] = json!("Grace");
        body["language"] = json!("de");
        let asked = scene.stranger(Method::POST, REGISTER, Some(body)).await.expect(202);
        assert_eq!(asked.body, json!({ "detail": "A message is on its way to the address." }));
        assert!(scene.named("grace").await.is_none());

        let mails = scene.answered().await;
        assert_eq!(mails.len(), 1);
        assert_eq!((mails[0].kind.as_str(), mails[0].to.as_str()), ("verify_address", "Grace@Acme.test"));
        assert_eq!(mails[0].content["to"]["language"], "de");
        let token = mails[0].token("verify");
        assert!(scene.named("grace").await.is_none(), "there is no account before the proof");

        // Scanners use nothing up, and at another tenant it is garbage.
        for method in [Method::GET, Method::HEAD] {
            scene.stranger(method, &format!("{VERIFY}?token={token}"), None).await.expect(405);
        }
        let other = Scene::open().await;
        let garbage = seen(&other.verify("garbage").await.expect(400));
        assert_eq!(seen(&other.verify(&token).await.expect(400)), garbage);

        let proven = scene.verify(&token).await.expect(200);
        assert_eq!(proven.body, json!({ "detail": "The address is verified." }));
        let grace = scene.named("grace@acme.test").await.unwrap();
        assert_eq!(grace.username.expose(), "Grace");
        assert_eq!(
            (grace.roles.clone(), grace.email_verified, grace.language.as_str()),
            (vec!["client".into()], true, "de")
        );
        assert_eq!(scene.password_of(&grace).await, PasswordKept::Own);
        assert_eq!(seen(&scene.verify(&token).await.expect(400)), garbage, "a second time");
        assert_eq!((scene.count("requests").await, scene.count("links").await), (0, 0));
        let logged = scene.logged().await;
        assert_eq!(logged[logged.len() - 2..], ["user.registered", "email.verified"]);
        scene.answer().await;
        assert_eq!(scene.mailed().await, []);
    }
}

/// No statement of these routes reads the tables that reveal which users exist.
#[tokio::test]
async fn no_answer_to_a_stranger_is_made_from_what_is_known() {
    let scene = Scene::open().await;
    scene.with_address("ada", "ada@acme.test", true).await;
    scene.with_address("bob", "bob@acme.test", false).await;
    let forbid = |what: &str| {
        let (cell, app) = (&scene.tenant.cell, format!("{}_app", scene.database.name));
        let tables = ["users", "identifiers", "user_keys", "user_roles", "search_tokens"];
        let tables = tables.map(|table| format!("{cell}.{table}")).join(", ");
        AssertSqlSafe(format!(
            "{what} select on {tables} {} {app}",
            if what == "grant" { "to" } else { "from" }
        ))
    };
    let mut admin = scene.database.admin().await;
    sqlx::raw_sql(forbid("revoke")).execute(&mut admin).await.unwrap();
    let mut registered = Vec::new();
    for (name, address) in [
        ("ada", "ada@acme.test"),
        ("ada", "new@acme.test"),
        ("new", "ada@acme.test"),
        ("new", "bob@acme.test"),
        ("new", "new@acme.test"),
    ] {
        registered.push(seen(&scene.register(name, address).await.expect(202)));
    }
    let mut resent = Vec::new();
    for address in ["ada@acme.test", "bob@acme.test", "new@acme.test", "nobody@acme.test"] {
        resent.push(seen(&scene.resend(address).await.expect(202)));
    }
    sqlx::raw_sql(forbid("grant")).execute(&mut admin).await.unwrap();
    assert_eq!(scene.answered().await.len(), 7, "and yet each is answered by mail");
    assert!(registered.iter().all(|answer| *answer == registered[0]), "{registered:?}");
    assert!(resent.iter().all(|answer| *answer == resent[0]), "{resent:?}");
}

#[tokio::test]
async fn a_taken_name_or_address_is_told_by_mail() {
    let scene = Scene::open().await;
    scene.with_address("ada", "Ada@acme.test", true).await;
    scene.with_address("eve@acme.test", "eve@else.test", true).await;
    for (name, address, kind, to) in [
        ("new", "ADA@acme.test", "already_registered", "Ada@acme.test"),
        ("ada", "ada@acme.test", "already_registered", "Ada@acme.test"),
        ("Ada", "new@acme.test", "already_registered", "new@acme.test"),
        ("new", "eve@acme.test", "already_registered", "eve@acme.test"),
    ] {
        scene.register(name, address).await.expect(202);
        let mails = scene.answered().await;
        let found: Vec<_> = mails.iter().map(|mail| (mail.kind.as_str(), mail.to.as_str())).collect();
        assert_eq!(found, [(kind, to)], "{name} {address}");
        // Only the owner of an account gets its user name.
        let known = to == "Ada@acme.test";
        assert_eq!(mails[0].content["facts"]["username"], if known { "ada" } else { "" });
        assert_eq!(mails[0].content["to"]["user"].is_null(), !known);
    }
    // The rows stay, and nothing that was typed is in them.
    let rows = scene.to_answer().await;
    assert_eq!(rows.len(), 4);
    assert_eq!(scene.number("select count(*) from requests where sought is not null").await, 0);
    for row in rows {
        let mut tx = scene.tx().await;
        let found = requests::find::<Value>(&mut tx, row.kind, row.request, scene.control.clock.now()).await;
        let content = found.unwrap().unwrap().content;
        for field in ["username", "email", "first_name", "last_name", "phone", "verifier"] {
            assert_eq!(content[field], "", "{field}");
        }
    }
}

#[tokio::test]
async fn what_does_not_hold_is_said_at_once_whoever_is_known() {
    let scene = Scene::open().await;
    scene.with_address("ada", "ada@acme.test", true).await;
    let mut refused = Vec::new();
    for name in ["ada", "eve"] {
        let body = json!({ "username": name, "email": "bad", "password": "123", "language": "e" });
        refused.push(scene.stranger(Method::POST, REGISTER, Some(body)).await.expect(400).body);
        let body = json!({ "username": name, "email": format!("{name}@acme.test"), "password": "123" });
        refused.push(scene.stranger(Method::POST, REGISTER, Some(body)).await.expect(400).body);
    }
    assert_eq!(refused[0], json!({ "language": ["Enter a language tag, as de or pt-BR."] }));
    assert_eq!(
        refused[1],
        json!({ "password": [
            "This password is too short. It must contain at least 8 characters.",
            "This password is too common.",
            "This password is entirely numeric.",
        ] })
    );
    assert_eq!(refused[..2], refused[2..]);
    let body = json!({ "username": "lovelace", "email": "x@acme.test", "password": "lovelace1" });
    let named = scene.stranger(Method::POST, REGISTER, Some(body)).await.expect(400).body;
    assert_eq!(named["password"][0], "The password is too similar to the username.");
    scene.stranger(Method::POST, REGISTER, Some(json!({}))).await.expect(400);
    scene.stranger(Method::POST, RESEND, Some(json!({ "email": "bad" }))).await.expect(400);
    scene.stranger(Method::POST, VERIFY, Some(json!({}))).await.expect(400);
    assert_eq!(scene.count("requests").await, 0);
}

#[tokio::test]
async fn by_domain_others_get_no_mail() {
    let scene = Scene::new().await;
    scene
        .with_settings(|settings| {
            settings.registration = Registration::Domain;
            settings.registration_domains = vec![HostName::parse("acme.test").unwrap()];
        })
        .await;
    let one = seen(&scene.register("eve", "eve@else.test").await.expect(202));
    let other = seen(&scene.register("grace", "grace@acme.test").await.expect(202));
    assert_eq!(one, other);
    let mails = scene.answered().await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, "grace@acme.test");
    assert_eq!(scene.number("select count(*) from requests where sought is not null").await, 1);
    // Whether registration is open is checked again when the address is verified.
    scene.with_settings(|settings| settings.registration = Registration::Closed).await;
    let token = mails[0].token("verify");
    scene.verify(&token).await.expect(403);
    scene.with_settings(|settings| settings.registration = Registration::Open).await;
    scene.verify(&token).await.expect(200);
}

#[tokio::test]
async fn a_link_is_used_once_by_many_at_once_and_ends() {
    let scene = Scene::open().await;
    for at in 0..crate::scale::scaled(2, 100) {
        let (name, address) = (format!("g{at}"), format!("g{at}@acme.test"));
        scene.register(&name, &address).await.expect(202);
        let token = scene.answered().await[0].token("verify");
        let answers = join_all((0..16).map(|_| scene.verify(&token))).await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    }
    scene.register("late", "late@acme.test").await.expect(202);
    let token = scene.answered().await[0].token("verify");
    scene.control.clock.advance(TimeDelta::seconds(VERIFY_LINK_SECS));
    scene.verify(&token).await.expect(400);
    assert!(scene.named("late").await.is_none());
}

#[tokio::test]
async fn a_new_link_takes_the_place_of_the_older_one() {
    let scene = Scene::open().await;
    scene.register("grace", "grace@acme.test").await.expect(202);
    let first = scene.answered().await[0].token("verify");
    scene.resend("GRACE@acme.test").await.expect(202);
    let mails = scene.answered().await;
    assert_eq!((mails.len(), mails[0].to.as_str()), (1, "grace@acme.test"));
    let second = mails[0].token("verify");
    scene.verify(&first).await.expect(400);
    scene.verify(&second).await.expect(200);
    // A user with a verified address gets none, and an unknown address gets none.
    for address in ["grace@acme.test", "nobody@acme.test"] {
        scene.resend(address).await.expect(202);
        assert!(scene.answered().await.is_empty(), "{address}");
    }
    // A user with an unverified address gets one; a suspended one does not.
    let bob = scene.with_address("bob", "bob@acme.test", false).await;
    scene.resend("bob@acme.test").await.expect(202);
    let token = scene.answered().await[0].token("verify");
    scene.verify(&token).await.expect(200);
    assert!(scene.user(bob.id).await.email_verified);
    assert_eq!(scene.count("requests").await, 0);
}

#[tokio::test]
async fn no_link_goes_to_a_registration_that_was_found_impossible_meanwhile() {
    let scene = Scene::open().await;
    scene.with_address("grace", "grace@acme.test", true).await;
    scene.register("other", "grace@acme.test").await.expect(202);
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let sought: Vec<u8> = sqlx::query_scalar("select sought from requests where tenant_id = $1")
        .bind(scene.tenant.id.uuid())
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    drop(tx);
    assert_eq!(scene.answered().await.len(), 1, "the owner is told");
    // What the job of a repeated link had read, before the job of the registration was committed.
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    sqlx::query("update requests set sought = $2 where tenant_id = $1")
        .bind(scene.tenant.id.uuid())
        .bind(sought)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    scene.resend("grace@acme.test").await.expect(202);
    scene.answer().await;
    assert_eq!(scene.mailed().await, []);
}

#[tokio::test]
async fn of_two_who_register_under_one_name_the_first_who_proves_has_it() {
    let scene = Scene::open().await;
    scene.register("grace", "one@acme.test").await.expect(202);
    scene.register("grace", "two@acme.test").await.expect(202);
    let mails = scene.answered().await;
    scene.verify(&mails[1].token("verify")).await.expect(200);
    let refused = scene.verify(&mails[0].token("verify")).await.expect(400);
    assert_eq!(refused.body, json!({ "username": ["A user with that username already exists."] }));
    assert_eq!(scene.named("grace").await.unwrap().email.unwrap().expose(), "two@acme.test");
    // Of two accounts with one address, the other's link becomes invalid with the verification.
    scene.register("bob", "three@acme.test").await.expect(202);
    scene.register("bobby", "three@acme.test").await.expect(202);
    let mails = scene.answered().await;
    // The owner cannot tell which mail is theirs: neither password counts.
    let proven = scene.verify(&mails[1].token("verify")).await.expect(200);
    assert!(proven.body["detail"].as_str().unwrap().contains("sets a password"), "{}", proven.body);
    let bobby = scene.named("bobby").await.unwrap();
    assert_eq!(scene.password_of(&bobby).await, PasswordKept::None);
    let reset = scene.unsent().await;
    assert_eq!(
        (reset.len(), reset[0].kind.as_str(), reset[0].to.as_str()),
        (1, "reset_password", "three@acme.test")
    );
    let refused = scene.verify(&mails[0].token("verify")).await.expect(400);
    assert_eq!(refused.body, json!({ "token": ["This link is not valid, or not any more."] }));
}

#[tokio::test]
async fn without_a_proof_the_account_is_there_at_once_and_loses_all_to_the_owner_of_the_address() {
    let scene = Scene::open().await;
    scene.with_settings(|settings| settings.registration_verify = false).await;
    scene.register("squatter", "grace@acme.test").await.expect(202);
    let mails = scene.answered().await;
    let squatter = scene.named("squatter").await.unwrap();
    assert!(!squatter.email_verified);
    assert_eq!(scene.password_of(&squatter).await, PasswordKept::Own);
    assert_eq!(mails[0].kind, "verify_address");
    let to_the_squatter = mails[0].token("verify");

    // The owner registers, although the tenant asks for no proof: with one, since the address is claimed.
    scene.register("grace", "Grace@acme.test").await.expect(202);
    let token = scene.answered().await[0].token("verify");
    assert!(scene.named("grace").await.is_none());
    scene.verify(&token).await.expect(200);
    let grace = scene.named("grace@acme.test").await.unwrap();
    assert_eq!((grace.username.expose(), grace.email_verified), ("grace", true));
    let after = scene.user(squatter.id).await;
    assert!(after.email.is_none());
    assert_eq!(scene.password_of(&after).await, PasswordKept::None);
    assert!(after.session_epoch > squatter.session_epoch && after.access_epoch > squatter.access_epoch);
    scene.verify(&to_the_squatter).await.expect(400);
    assert!(scene.logged().await.contains(&"email.disowned".to_owned()));

    // A link to the account itself proves its address, and nothing is lost.
    scene.register("bob", "bob@acme.test").await.expect(202);
    let token = scene.answered().await[0].token("verify");
    scene.verify(&token).await.expect(200);
    let bob = scene.named("bob").await.unwrap();
    assert!(bob.email_verified);
    assert_eq!(scene.password_of(&bob).await, PasswordKept::Own);
    // Now no registration takes it away.
    scene.register("else", "bob@acme.test").await.expect(202);
    assert_eq!(scene.answered().await[0].kind, "already_registered");
}

#[tokio::test]
async fn an_administrators_edit_of_the_address_ends_the_links_to_the_older_one() {
    let scene = Scene::open().await;
    let bob = scene.with_address("bob", "bob@acme.test", false).await;
    scene.resend("bob@acme.test").await.expect(202);
    let token = scene.answered().await[0].token("verify");
    let root = scene.member("root", "root-admin").await;
    let path = format!("/api/user/users/{}/", bob.id);
    root.patch(&path, json!({ "email": "bob@acme.test", "first_name": "Bob" })).await.expect(200);
    root.patch(&path, json!({ "email": "bob@else.test" })).await.expect(200);
    scene.verify(&token).await.expect(400);
    assert!(!scene.user(bob.id).await.email_verified);
}

#[tokio::test]
async fn a_job_that_fails_half_way_or_runs_twice_leaves_one_account_and_one_mail() {
    let scene = Scene::open().await;
    scene.with_settings(|settings| settings.registration_verify = false).await;
    scene.register("grace", "grace@acme.test").await.expect(202);
    let mut admin = scene.database.admin().await;
    let cell = &scene.tenant.cell;
    let app = format!("{}_app", scene.database.name);
    let statement = |what: String| AssertSqlSafe(what);
    sqlx::raw_sql(statement(format!("revoke insert on {cell}.mails from {app}")))
        .execute(&mut admin)
        .await
        .unwrap();
    let [job] = &scene.to_answer().await[..] else { panic!("one is to be answered") };
    let again = || control::accounts::answer::AnswerRequest {
        tenant: job.tenant,
        kind: job.kind,
        request: job.request,
    };
    again().run(&scene.control).await.unwrap_err();
    assert!(scene.named("grace").await.is_none(), "half an account");
    assert_eq!(scene.count("requests").await, 1);
    sqlx::raw_sql(statement(format!("grant insert on {cell}.mails to {app}")))
        .execute(&mut admin)
        .await
        .unwrap();
    let both = join_all([again().run(&scene.control), again().run(&scene.control)]).await;
    assert!(both.iter().all(Result::is_ok), "{both:?}");
    again().run(&scene.control).await.unwrap();
    assert!(scene.named("grace").await.is_some());
    assert_eq!(scene.mailed().await, [("verify_address".to_owned(), "grace@acme.test".to_owned())]);
    assert_eq!(scene.count("users").await, 1);
}

#[tokio::test]
async fn no_header_of_a_request_gets_into_a_mail() {
    let scene = Scene::open().await;
    let evil =
        [("x-forwarded-host", "evil.test"), ("forwarded", "host=evil.test"), ("origin", "https://evil.test")];
    let wish = Some(wish("grace", "grace@acme.test"));
    scene.stranger_with(Method::POST, REGISTER, &evil, wish).await.expect(202);
    let mails = scene.answered().await;
    let content = mails[0].content.to_string();
    assert!(!content.contains("evil") && !content.contains("http"), "{content}");
}

#[tokio::test]
async fn what_strangers_ask_of_one_tenant_is_bounded() {
    let scene = Scene::open().await;
    let other = scene.neighbour(control::tenants::Isolation::Schema).await;
    other.with_settings(|settings| settings.registration = Registration::Open).await;
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    sqlx::query(
        "insert into request_counts (tenant_id, kind, began_at, made)
         select $1, kind, $2, $3 - 1
         from unnest(array['registration', 'resend', 'reset']) as kind",
    )
    .bind(scene.tenant.id.uuid())
    .bind(scene.control.clock.now())
    .bind(STRANGERS_PER_MINUTE)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    scene.with_address("grace", "grace@acme.test", true).await;
    let reset = async |scene: &Scene, email: &str| {
        let body = json!({ "email": email });
        scene.stranger(Method::POST, "/api/user/password/reset/", Some(body)).await
    };
    // A request counts although its row is gone.
    scene.register("ada", "grace@acme.test").await.expect(202);
    scene.resend("grace@acme.test").await.expect(202);
    reset(&scene, "grace@acme.test").await.expect(200);
    scene.answer().await;
    scene.answer_requests().await;
    assert_eq!(scene.count("requests").await, 1);
    for email in ["grace@acme.test", "unknown@acme.test"] {
        let refused = scene.register("ada", email).await.expect(429);
        assert_eq!(refused.header("retry-after"), "60");
        assert_eq!(seen(&scene.resend(email).await), seen(&refused));
        assert_eq!(seen(&reset(&scene, email).await), seen(&refused));
    }
    other.register("grace", "grace@acme.test").await.expect(202);
    reset(&other, "grace@acme.test").await.expect(200);
    scene.control.clock.advance(TimeDelta::seconds(60));
    scene.register("ada", "unknown@acme.test").await.expect(202);
    reset(&scene, "unknown@acme.test").await.expect(200);
}

#[tokio::test]
async fn how_many_registrations_wait_does_not_tell_whom_they_concern() {
    for email in ["grace@acme.test", "unknown@acme.test"] {
        let scene = Scene::open().await;
        scene.with_address("grace", "grace@acme.test", true).await;
        let mut tx = scene.tx().await;
        sqlx::query(
            "insert into requests (tenant_id, id, kind, wrapped_key, sealed, created_at, expires_at)
             select $1, gen_random_uuid(), 'registration', '', '', $2 - interval '1 hour', $2 + interval '1 day'
             from generate_series(2, $3)",
        )
        .bind(scene.tenant.id.uuid())
        .bind(scene.control.clock.now())
        .bind(STRANGERS_WAITING)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        scene.register("ada", email).await.expect(202);
        let last = scene.to_answer().await.pop().unwrap();
        last.run(&scene.control).await.unwrap();
        assert_eq!(scene.mailed().await.len(), 1, "{email}");
        scene.register("ada", "another@acme.test").await.expect(429);
    }
}

#[tokio::test]
async fn at_rest_nothing_tells_who_registers() {
    let scene = Scene::open().await;
    scene.register("Rumpelfax", "Wolperdinger@Xyzzy.test").await.expect(202);
    scene.answer().await;
    let rows = scene.rows().await.to_lowercase();
    for text in ["rumpelfax", "wolperdinger", "xyzzy"] {
        assert!(!rows.contains(text), "{text}");
    }
}
