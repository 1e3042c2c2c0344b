//! Resets: the response reveals nothing, a link sets one password, and every session ends.

use chrono::TimeDelta;
use control::audit::Actor;
use control::crypt::row_key::RowKey;
use control::crypt::sealed::Column;
use control::jobs::runner;
use control::links::{self, Holder, LinkKind};
use control::requests::{RequestId, RequestKind};
use control::resets::{self, Caller, ConfirmError};
use control::tenants::Isolation;
use control::users::{self, Change, Profile, Successor, User, verifiers};
use mailbox::Mailbox;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::passwords::{Password, Verifier, Workspace};
use shared::user::UserStatus;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::forward::from_stranger;
use crate::mail::through;
use crate::scale::{Numbers, scaled};
use crate::scene::{Answer, PASSWORD, Scene};

const RESET: &str = "/api/user/password/reset/";
const CONFIRM: &str = "/api/user/password/reset/confirm/";
pub const NEW_PASSWORD: &str = "a new staple for the battery";

/// A queued mail.
pub struct Promised {
    pub kind: String,
    /// The encrypted content: `to`, `link`, `facts`.
    pub content: Value,
}

impl Promised {
    pub fn address(&self) -> &str {
        self.content["to"]["address"].as_str().unwrap()
    }

    /// The token of its link.
    fn token(&self) -> &str {
        assert_eq!(self.content["link"][0], "reset");
        self.content["link"][1].as_str().unwrap()
    }
}

impl Scene {
    /// The queued mails of the tenant, the oldest first.
    pub async fn promised(&self) -> Vec<Promised> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let rows: Vec<(Uuid, String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "select id, kind, wrapped_key, sealed from mails where tenant_id = $1 order by created_at, id",
        )
        .bind(self.tenant.id.uuid())
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        let opened = |(id, kind, wrapped, sealed): (Uuid, String, Vec<u8>, Vec<u8>)| {
            let key = RowKey::unwrap(tx.keys(), Column::MailKey, &id.to_string(), &wrapped).unwrap();
            Promised { kind, content: key.open(&sealed).unwrap() }
        };
        rows.into_iter().map(opened).collect()
    }

    pub async fn promised_kinds(&self) -> Vec<String> {
        self.promised().await.into_iter().map(|mail| mail.kind).collect()
    }

    /// A user with the verified address `<username>@acme.test`.
    pub async fn addressed(&self, username: &str, role: &str) -> User {
        let email = Some(format!("{username}@acme.test"));
        let profile = Profile { username: username.into(), email, ..Profile::default() };
        self.person(profile, &[role]).await
    }

    pub async fn change(&self, id: UserId, change: Change) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::change(&self.control, &mut tx, &Actor::operator(), id, change).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn hashed(&self, password: &str) -> Successor {
        Successor::of(&self.control.hasher, self.tenant.id, password).await.unwrap()
    }

    /// Whether this is the user's password.
    pub async fn is_password(&self, id: UserId, password: &str) -> bool {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let stored: Option<Vec<u8>> = sqlx::query_scalar("select wrapped_verifier from users where id = $1")
            .bind(id.uuid())
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        let Some(stored) = stored else { return false };
        let phc = verifiers::open(tx.keys(), id, &stored).unwrap();
        let verifier = Verifier::parse(std::str::from_utf8(&phc).unwrap()).unwrap();
        Workspace::default().verify(&Password::parse(password).unwrap(), &verifier)
    }

    /// A request without a credential at this tenant.
    async fn anybody(&self, path: &str, body: Value) -> Answer {
        from_stranger(self, Method::POST, path, Some(&body), &[]).await
    }

    async fn ask_for_link(&self, email: &str) -> Answer {
        self.anybody(RESET, json!({ "email": email })).await
    }

    /// The requests that wait for their answer.
    async fn requests(&self) -> Vec<RequestId> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let ids = "select id from requests where tenant_id = $1 and kind = $2 order by created_at, id";
        let ids: Vec<Uuid> = sqlx::query_scalar(ids)
            .bind(self.tenant.id.uuid())
            .bind(RequestKind::Reset.as_str())
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        ids.into_iter().map(RequestId::from).collect()
    }

    /// Does what the jobs of these requests do.
    pub async fn answer_requests(&self) {
        for request in self.requests().await {
            resets::answer_reset(&self.control, self.tenant.id, request).await.unwrap();
        }
    }

    /// A link that was mailed to this address.
    async fn mailed_token(&self, email: &str) -> String {
        let before = self.promised().await.len();
        self.ask_for_link(email).await.expect(200);
        self.answer_requests().await;
        let promised = self.promised().await;
        assert_eq!(promised.len(), before + 1, "{email}");
        promised[before].token().to_owned()
    }

    /// A link of a user that no mail brought, so that no budget counts it.
    pub async fn reset_link(&self, id: UserId) -> String {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let now = self.control.clock.now();
        let token = links::make(&mut tx, LinkKind::Reset, Holder::User(id), now).await.unwrap();
        tx.commit().await.unwrap();
        token.expose().to_owned()
    }

    pub async fn is_good(&self, token: &str) -> bool {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        resets::subject(&self.control, &mut tx, token).await.unwrap().is_some()
    }

    pub async fn confirm(&self, token: &str, password: &str) -> Answer {
        self.anybody(CONFIRM, json!({ "token": token, "new_password": password })).await
    }

    /// Rows of the edge about this user, and whether the last change of one revokes.
    pub async fn urgent(&self, id: UserId) -> bool {
        let mut admin = self.database.admin().await;
        let urgent = "select urgent from platform.edge_rows
             where tenant_id = $1 and kind = 'user' and subject = $2";
        sqlx::query_scalar(urgent)
            .bind(self.tenant.id.uuid())
            .bind(id.to_string())
            .fetch_one(&mut admin)
            .await
            .unwrap()
    }
}

fn bad_token() -> Value {
    json!({ "token": ["Invalid token for given user."] })
}

/// All that a client sees, without what is another at each request.
fn fingerprint(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (answer.status, answer.text.clone(), headers)
}

#[tokio::test]
async fn who_names_their_address_gets_a_link_that_sets_a_password() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let grace = scene.addressed("grace", "staff").await;
        let session = scene.acting_as(&grace).await;
        let asked = scene.ask_for_link("Grace@ACME.test ").await.expect(200);
        assert_eq!(asked.body, json!({"detail": "If the address is known, a message is on its way."}));
        assert_eq!(scene.promised_kinds().await, [""; 0], "a job looks for the user, and no request");
        scene.answer_requests().await;
        assert!(scene.requests().await.is_empty(), "what was typed is gone");
        let mails = scene.promised().await;
        assert_eq!(mails.len(), 1);
        assert_eq!((mails[0].kind.as_str(), mails[0].address()), ("reset_password", "grace@acme.test"));
        assert_eq!(mails[0].content["facts"]["username"], "grace");

        session.get("/api/user/me/").await.expect(200);
        let token = mails[0].token();
        let set = scene.confirm(token, NEW_PASSWORD).await.expect(200);
        assert_eq!(set.body, json!({"detail": "Password has been reset with the new password."}));
        assert!(set.headers.get("set-cookie").is_none(), "it signs nobody in");
        assert!(scene.is_password(grace.id, NEW_PASSWORD).await);
        let after = scene.user(grace.id).await;
        assert_eq!((after.access_epoch, after.session_epoch, after.password_epoch), (1, 1, 1));
        assert!(scene.urgent(grace.id).await, "it reaches the edge ahead of any backlog");
        let ended = session.get("/api/user/me/").await.expect(401);
        assert_eq!(ended.body["code"], "password_changed");
        let again = scene.confirm(token, "another staple for the battery").await.expect(400);
        assert_eq!(again.body, bad_token());
        assert_eq!(scene.promised_kinds().await, ["reset_password", "password_changed"]);
        let logged = scene.logged().await;
        assert_eq!(logged[logged.len() - 2..], ["user.reset_mailed", "user.password_reset"]);
    }
}

#[tokio::test]
async fn strangers_cannot_tell_addresses_apart_and_no_user_is_read_for_them() {
    let scene = Scene::alone().await;
    scene.addressed("known", "client").await;
    let suspended = scene.addressed("suspended", "client").await;
    let change = Change { status: Some(UserStatus::Suspended), ..Change::default() };
    scene.change(suspended.id, change).await;
    let unproven = scene.addressed("unproven", "client").await;
    scene.change(unproven.id, Change { email_verified: Some(false), ..Change::default() }).await;
    // A user name that looks like an address is not an address.
    let email = Some("other@acme.test".to_owned());
    scene
        .person(Profile { username: "named@acme.test".into(), email, ..Profile::default() }, &["client"])
        .await;
    // The role that serves requests can read no user: requests without a credential are still stored.
    let (cell, app) = (&scene.tenant.cell, format!("{}_app", scene.database.name));
    let mut admin = scene.database.admin().await;
    for table in ["users", "identifiers", "user_keys"] {
        let revoke = format!("revoke all on {cell}.{table} from {app}");
        sqlx::raw_sql(AssertSqlSafe(revoke)).execute(&mut admin).await.unwrap();
    }
    let addresses = ["known", "suspended", "unproven", "named", "unknown", "unknown.of.length"];
    let mut seen = Vec::new();
    for address in addresses {
        let answer = scene.ask_for_link(&format!("{address}@acme.test")).await.expect(200);
        seen.push((address, fingerprint(&answer)));
    }
    for (address, fingerprint) in &seen {
        assert_eq!(*fingerprint, seen[0].1, "{address}");
    }
    for table in ["users", "identifiers", "user_keys"] {
        let grant = format!("grant select, insert, update, delete on {cell}.{table} to {app}");
        sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut admin).await.unwrap();
    }
    assert_eq!(scene.requests().await.len(), addresses.len());
    scene.answer_requests().await;
    assert!(scene.requests().await.is_empty());
    let mailed: Vec<_> = scene.promised().await.iter().map(|mail| mail.address().to_owned()).collect();
    assert_eq!(mailed, ["known@acme.test"]);
    let links = format!("select count(*) from {cell}.links");
    let links: i64 = sqlx::query_scalar(AssertSqlSafe(links)).fetch_one(&mut admin).await.unwrap();
    assert_eq!(links, 1);
}

#[tokio::test]
async fn a_body_without_an_address_is_refused_whatever_accounts_there_are() {
    let scene = Scene::new().await;
    scene.addressed("grace", "client").await;
    for (body, said) in [
        (json!({}), "This field is required."),
        (json!({"email": ""}), "This field may not be blank."),
        (json!({"email": null}), "This field may not be null."),
        (json!({"email": "grace"}), "Enter a valid email address."),
        (json!({"email": "nobody"}), "Enter a valid email address."),
        (json!({"email": format!("{}@acme.test", "x".repeat(300))}), "Enter a valid email address."),
    ] {
        let refused = scene.anybody(RESET, body).await.expect(400);
        assert_eq!(refused.body, json!({ "email": [said] }));
    }
    scene.anybody(RESET, json!(["grace@acme.test"])).await.expect(400);
    assert!(scene.requests().await.is_empty());
}

#[tokio::test]
async fn a_request_is_answered_once_however_often_its_job_runs() {
    let scene = Scene::new().await;
    scene.addressed("grace", "client").await;
    scene.ask_for_link("grace@acme.test").await.expect(200);
    let [request] = scene.requests().await[..] else { panic!("one request") };
    let runs = (0..4).map(|_| resets::answer_reset(&scene.control, scene.tenant.id, request));
    for run in futures::future::join_all(runs).await {
        run.unwrap();
    }
    resets::answer_reset(&scene.control, scene.tenant.id, request).await.unwrap();
    assert_eq!(scene.promised_kinds().await, ["reset_password"]);
    let logged = scene.logged().await;
    assert_eq!(logged.iter().filter(|action| *action == "user.reset_mailed").count(), 1);
}

#[tokio::test]
async fn a_request_that_its_job_never_gets_to_ends_after_a_day() {
    let scene = Scene::new().await;
    scene.addressed("grace", "client").await;
    scene.ask_for_link("grace@acme.test").await.expect(200);
    scene.control.clock.advance(TimeDelta::hours(25));
    scene.answer_requests().await;
    assert!(scene.promised().await.is_empty());
}

#[tokio::test]
async fn a_stopped_tenant_mails_no_link() {
    let scene = Scene::new().await;
    scene.addressed("grace", "client").await;
    scene.ask_for_link("grace@acme.test").await.expect(200);
    let mut admin = scene.database.admin().await;
    sqlx::query("update platform.tenants set status = 'suspended' where id = $1")
        .bind(scene.tenant.id.uuid())
        .execute(&mut admin)
        .await
        .unwrap();
    scene.answer_requests().await;
    assert!(scene.promised().await.is_empty() && scene.requests().await.is_empty());
    scene.ask_for_link("grace@acme.test").await.expect(403);
    scene.confirm("x", NEW_PASSWORD).await.expect(403);
}

#[tokio::test]
async fn more_than_three_mails_an_hour_are_dropped_and_the_third_link_stays_good() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(scene.mailed_token("grace@acme.test").await);
    }
    for _ in 0..3 {
        scene.ask_for_link("grace@acme.test").await.expect(200);
        scene.answer_requests().await;
    }
    assert_eq!(scene.promised().await.len(), 3);
    assert!(scene.requests().await.is_empty());
    for older in &tokens[..2] {
        assert_eq!(scene.confirm(older, NEW_PASSWORD).await.expect(400).body, bad_token());
    }
    scene.confirm(&tokens[2], NEW_PASSWORD).await.expect(200);
    assert_eq!(scene.user(grace.id).await.session_epoch, 1);
    // The notice has a budget of its own, which requests without a credential cannot use up.
    assert_eq!(scene.promised_kinds().await[3..], ["password_changed"]);
    scene.control.clock.advance(TimeDelta::minutes(61));
    scene.mailed_token("grace@acme.test").await;
}

#[tokio::test]
async fn a_link_expires_after_an_hour_and_is_garbage_elsewhere() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let other = scene.neighbour(Isolation::Schema).await;
    let heidi = other.addressed("heidi", "client").await;
    let token = scene.reset_link(grace.id).await;
    assert_eq!(other.confirm(&token, NEW_PASSWORD).await.expect(400).body, bad_token(), "another tenant");
    let foreign = other.reset_link(heidi.id).await;
    assert_eq!(scene.confirm(&foreign, NEW_PASSWORD).await.expect(400).body, bad_token());
    scene.control.clock.advance(TimeDelta::seconds(3599));
    assert!(scene.is_good(&token).await);
    scene.control.clock.advance(TimeDelta::seconds(2));
    assert_eq!(scene.confirm(&token, NEW_PASSWORD).await.expect(400).body, bad_token(), "expired");
    assert_eq!(scene.user(grace.id).await.session_epoch, 0);
}

#[tokio::test]
async fn garbage_costs_no_hash() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let numbers = Numbers::new();
    let _guard = numbers.keep();
    let random = scene.reset_link(grace.id).await;
    let newer = scene.reset_link(grace.id).await;
    for token in ["x", "", " ", &random, &random[1..], &format!("{random}A")] {
        let body = json!({ "token": token, "new_password": NEW_PASSWORD });
        scene.anybody(CONFIRM, body).await.expect(400);
    }
    assert_eq!(numbers.asked_for("strangers_passwords"), 0);
    scene.confirm(&newer, NEW_PASSWORD).await.expect(200);
    assert_eq!((numbers.asked_for("strangers_passwords"), numbers.asked_for("passwords")), (1, 0));
}

#[tokio::test]
async fn a_password_that_is_refused_leaves_the_link_good() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let token = scene.reset_link(grace.id).await;
    let refused = |fields: Value| {
        let (scene, token) = (&scene, &token);
        async move {
            let mut body = fields;
            body["token"] = json!(token);
            let refused = scene.anybody(CONFIRM, body).await.expect(400);
            assert!(scene.is_good(token).await, "{}", refused.body);
            refused.body
        }
    };
    let short = "This password is too short. It must contain at least 8 characters.";
    let weak = json!([short, "This password is too common.", "This password is entirely numeric."]);
    let mismatch = json!(["The two password fields didn't match."]);
    let own = json!(["The password is too similar to the email address."]);
    for (fields, said) in [
        (json!({"new_password": "123"}), json!({ "new_password": weak })),
        (json!({"new_password": "grace@acme.tes"}), json!({ "new_password": own })),
        (json!({"new_password1": "123", "new_password2": "123"}), json!({ "new_password2": weak })),
        (json!({"new_password1": NEW_PASSWORD, "new_password2": "x"}), json!({ "new_password2": mismatch })),
        (
            json!({"new_password": NEW_PASSWORD, "re_new_password": "x"}),
            json!({"non_field_errors": mismatch}),
        ),
        (json!({}), json!({"new_password": ["This field is required."]})),
        (json!({"new_password": ""}), json!({"new_password": ["This field may not be blank."]})),
        (json!({"new_password": null}), json!({"new_password": ["This field may not be null."]})),
        (json!({"new_password": {"is": "no text"}}), json!({"new_password": ["Not a valid string."]})),
        (json!({"new_password1": NEW_PASSWORD}), json!({"new_password2": ["This field is required."]})),
        (
            json!({"new_password": "x".repeat(1025)}),
            json!({"new_password": ["Ensure this field has no more than 1024 bytes."]}),
        ),
    ] {
        assert_eq!(refused(fields).await, said);
    }
    assert_eq!(scene.user(grace.id).await.session_epoch, 0);
    let missing = scene.anybody(CONFIRM, json!({"new_password": NEW_PASSWORD})).await.expect(400);
    assert_eq!(missing.body, json!({"token": ["This field is required."]}));
    scene.confirm(&token, NEW_PASSWORD).await.expect(200);
}

#[tokio::test]
async fn clients_of_django_are_understood() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    for fields in [
        json!({"uid": "MTI", "new_password": PASSWORD}),
        json!({"uid": "", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}),
        json!({"uid": null, "new_password": PASSWORD, "re_new_password": PASSWORD}),
    ] {
        let mut body = fields.clone();
        body["token"] = json!(format!(" {} ", scene.reset_link(grace.id).await));
        scene.anybody(CONFIRM, body).await.expect(200);
        let password = fields["new_password"].as_str().unwrap_or(NEW_PASSWORD);
        assert!(scene.is_password(grace.id, password).await);
    }
}

#[tokio::test]
async fn fetching_uses_nothing_up() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let token = scene.reset_link(grace.id).await;
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
        for path in [CONFIRM.to_owned(), format!("{CONFIRM}?token={token}&new_password=x")] {
            let answer = from_stranger(&scene, method.clone(), &path, None, &[]).await;
            assert_ne!(answer.status, 500);
        }
    }
    assert!(scene.is_good(&token).await);
    assert_eq!(scene.user(grace.id).await.session_epoch, 0);
}

#[tokio::test]
async fn no_header_of_a_request_is_in_what_is_mailed() {
    let scene = Scene::new().await;
    scene.addressed("grace", "client").await;
    let evil = [
        ("host", "evil.test"),
        ("x-forwarded-host", "evil.test"),
        ("forwarded", "host=evil.test"),
        ("origin", "https://evil.test"),
        ("referer", "https://evil.test/"),
    ];
    let body = json!({"email": "grace@acme.test"});
    from_stranger(&scene, Method::POST, RESET, Some(&body), &evil).await.expect(200);
    scene.answer_requests().await;
    let mails = scene.promised().await;
    assert_eq!(mails.len(), 1);
    assert!(!mails[0].content.to_string().contains("evil"), "{}", mails[0].content);
    assert_eq!(mails[0].content["facts"]["client"], "192.0.2.7");
}

#[tokio::test]
async fn what_arrives_leads_to_the_tenants_own_page_and_its_token_sets_a_password() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut scene = Scene::under(through(mailbox.port()), Isolation::Schema).await;
    let grace = scene.addressed("grace", "client").await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(runner::run(scene.control.clone(), stop.clone()));
    scene.ask_for_link("grace@acme.test").await.expect(200);
    let plain = mailbox.until(1).await.remove(0);
    assert_eq!(plain.link().page, format!("https://shared.test/t/{}/account/reset/", scene.tenant.slug));
    let page = "https://app.acme.test/reset";
    scene.adjust(&[("origins", json!(["https://app.acme.test"])), ("reset_url", json!(page))]).await;
    let body = json!({"email": "grace@acme.test"});
    let evil = [("host", "evil.test"), ("x-forwarded-host", "evil.test"), ("origin", "https://evil.test")];
    from_stranger(&scene, Method::POST, RESET, Some(&body), &evil).await.expect(200);
    let received = mailbox.until(2).await.remove(1);
    assert_eq!(
        (received.to.as_slice(), received.link().page.as_str()),
        (&["grace@acme.test".into()][..], page)
    );
    for text in [received.text(), received.html()] {
        assert!(!text.contains("evil"), "{text}");
    }
    scene.confirm(&plain.token(), NEW_PASSWORD).await.expect(400);
    scene.confirm(&received.token(), NEW_PASSWORD).await.expect(200);
    let told = mailbox.until(3).await.remove(2);
    assert!(told.subject().contains("password was changed"), "{}", told.subject());
    assert!(scene.is_password(grace.id, NEW_PASSWORD).await);
    stop.cancel();
    running.await.unwrap();
}

/// The whole of what is done once the password is hashed, of many at once.
#[tokio::test]
async fn of_many_who_use_a_link_at_once_one_sets_the_password() {
    let scene = Scene::new().await;
    let grace = scene.person(Profile { username: "grace".into(), ..Profile::default() }, &["client"]).await;
    let (hashed, settings) = (scene.hashed(NEW_PASSWORD).await, &scene.tenant.settings);
    for round in 1..=scaled(5, 1000) {
        let token = scene.reset_link(grace.id).await;
        let use_it = || async {
            let mut tx = scene.tx().await;
            let caller = Caller::default();
            match resets::confirm(&scene.control, &mut tx, settings, &token, &hashed, caller).await {
                Ok(_) => {
                    tx.commit().await.unwrap();
                    true
                }
                Err(ConfirmError::Token) => false,
                Err(error) => panic!("{error:?}"),
            }
        };
        let done = futures::future::join_all((0..16).map(|_| use_it())).await;
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "round {round}");
        assert_eq!(scene.user(grace.id).await.session_epoch, round);
    }
}

#[tokio::test]
async fn of_many_requests_with_a_link_one_is_answered_yes() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let token = scene.reset_link(grace.id).await;
    let answers = futures::future::join_all((0..16).map(|_| scene.confirm(&token, NEW_PASSWORD))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    // A request that waits too long for the queue of requests without a credential gets 503.
    assert_eq!((count(200), count(400) + count(503)), (1, 15));
    assert_eq!(scene.promised_kinds().await, ["password_changed"]);
    assert_eq!(scene.user(grace.id).await.session_epoch, 1);
}

#[tokio::test]
async fn only_an_active_user_sets_a_password() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let token = scene.reset_link(grace.id).await;
    for status in [UserStatus::Suspended, UserStatus::Inactive, UserStatus::Pending] {
        scene.change(grace.id, Change { status: Some(status), ..Change::default() }).await;
        assert_eq!(scene.confirm(&token, NEW_PASSWORD).await.expect(400).body, bad_token(), "{status:?}");
    }
    scene.change(grace.id, Change { status: Some(UserStatus::Active), ..Change::default() }).await;
    scene.confirm(&token, NEW_PASSWORD).await.expect(200);
    let token = scene.reset_link(grace.id).await;
    let mut tx = scene.tx().await;
    users::delete(&scene.control, &mut tx, &Actor::operator(), grace.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scene.confirm(&token, NEW_PASSWORD).await.expect(400).body, bad_token(), "deleted");
}

#[tokio::test]
async fn links_die_with_another_password_or_address_and_what_takes_a_change_back_does_not() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await;
    let holder = Holder::User(grace.id);
    let now = scene.control.clock.now();
    let all = || async {
        let mut tx = scene.tx().await;
        let mut tokens = Vec::new();
        for kind in LinkKind::ALL {
            let token = links::make(&mut tx, kind, holder, now).await.unwrap();
            tokens.push((kind, token.expose().to_owned()));
        }
        tx.commit().await.unwrap();
        tokens
    };
    let left = async |tokens: &[(LinkKind, String)]| {
        let mut tx = scene.tx().await;
        let mut left = Vec::new();
        for (kind, token) in tokens {
            if links::look(&mut tx, *kind, token, now).await.unwrap().is_some() {
                left.push(*kind);
            }
        }
        left
    };
    let kept = [LinkKind::Invite, LinkKind::Undo];
    let tokens = all().await;
    scene.change(grace.id, Change { first_name: Some("Grace".into()), ..Change::default() }).await;
    assert_eq!(left(&tokens).await, LinkKind::ALL);
    let password = Some(scene.hashed(PASSWORD).await);
    scene.change(grace.id, Change { password, ..Change::default() }).await;
    assert_eq!(left(&tokens).await, kept, "another password");
    let tokens = all().await;
    let email = Some(Some("hopper@acme.test".to_owned()));
    scene.change(grace.id, Change { email, ..Change::default() }).await;
    assert_eq!(left(&tokens).await, kept, "another address");
    let tokens = all().await;
    scene.confirm(&tokens[1].1, NEW_PASSWORD).await.expect(200);
    assert_eq!(left(&tokens).await, kept, "a link was used");
}

#[tokio::test]
async fn a_user_of_another_service_gets_a_password_of_ours() {
    let scene = Scene::new().await;
    let encoded = "pbkdf2_sha256$1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let ada = scene.foreigner("ada", encoded).await;
    let email = Some(Some("ada@acme.test".to_owned()));
    scene.change(ada, Change { email, ..Change::default() }).await;
    let token = scene.mailed_token("ada@acme.test").await;
    scene.confirm(&token, NEW_PASSWORD).await.expect(200);
    assert!(scene.is_password(ada, NEW_PASSWORD).await);
    let mut tx = scene.tx().await;
    let foreign: Option<String> = sqlx::query_scalar("select foreign_format from users where id = $1")
        .bind(ada.uuid())
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(foreign, None);
    let left: bool = sqlx::query_scalar("select foreign_left from platform.tenants where id = $1")
        .bind(scene.tenant.id.uuid())
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert!(!left, "it was the last one");
}

#[tokio::test]
async fn the_policy_of_the_tenant_holds() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let grace = scene.addressed("grace", "client").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let settings = json!({"settings": {"min_password_length": 40}});
    admin.patch(&path, settings).await.expect(200);
    let token = scene.reset_link(grace.id).await;
    let refused = scene.confirm(&token, NEW_PASSWORD).await.expect(400);
    let said = "This password is too short. It must contain at least 40 characters.";
    assert_eq!(refused.body, json!({ "new_password": [said] }));
}
