//! Rotation of a tenant's data key during service: nothing is lost, and nothing stays under the former key.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use control::audit::{self, Actor};
use control::control::Control;
use control::crypt::columns::{self, Rest};
use control::crypt::sealed::{Column, mark};
use control::failure::Failure;
use control::jobs::queue::Job as _;
use control::keys;
use control::mail::sender::{self, Sender};
use control::mail::{Facts, MailKind, NewMail, Posted, Recipient, post};
use control::requests::{self, RequestKind};
use control::settings::MailTls;
use control::tenants::data_key::{self, ReplaceTenantKeys, State};
use control::tenants::{self, FirstAdmin, Isolation, KnownAdmin, captcha, provision};
use control::users::{self, Change, NewUser, Profile, Successor};
use futures::future::join_all;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::passwords::Verifier;
use shared::user::UserStatus;
use sqlx::AssertSqlSafe;

use crate::dumps::foreign_user;
use crate::foreign::{Ask, cheap};
use crate::scale::{Chance, Numbers, scaled};
use crate::scene::{Answer, Member, PASSWORD, Scene, committed_tenant, new};

const USERS: &str = "/api/user/users/";
const CAPTCHA_SECRET: &str = "0x4AAA_s3cret";
/// By then every control has read the new key.
const SPREAD: i64 = 8;

/// Tables of sealed columns with their schema.
fn table(scene: &Scene, column: Column) -> (String, String) {
    let (table, value) = column.label().split_once('.').unwrap();
    let schema = match column {
        Column::Root
        | Column::SigningKey
        | Column::FirstAdmin
        | Column::MailSender
        | Column::CaptchaSecret => "platform",
        _ => scene.tenant.cell.as_str(),
    };
    (format!("{schema}.{table}"), value.to_owned())
}

impl Scene {
    async fn execute(&self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.database.admin().await).await.unwrap();
    }

    /// The keys of the tenant are older by these minutes.
    async fn ages(&self, minutes: i64) {
        let tenant = self.tenant.id;
        self.execute(format!(
            "update platform.tenant_keys
             set created_at = created_at - interval '{minutes} minutes'
             where tenant_id = '{tenant}'"
        ))
        .await;
    }

    /// Time passes, at the database and at these controls.
    async fn passes(&self, controls: &[&Control]) {
        self.ages(SPREAD).await;
        for control in controls {
            control.db.forget_keys(self.tenant.id).await;
        }
    }

    async fn gets_key(&self) -> Option<u32> {
        data_key::begin(&self.control, self.tenant.id, &Actor::operator()).await.unwrap()
    }

    async fn advance_key(&self) -> State {
        self.advance_some(u64::MAX).await
    }

    async fn advance_some(&self, most: u64) -> State {
        let control = &self.control;
        data_key::advance(control, self.tenant.id, &Actor::operator(), most, &mut |_| {}).await.unwrap()
    }

    /// Until what others are at work on is done as well.
    async fn settle(&self) {
        loop {
            match self.advance_key().await {
                State::Settled => return,
                State::Unfinished => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// From one key to the next, as if nothing else went on.
    async fn rotate(&self) {
        self.gets_key().await.unwrap();
        for _ in 0..2 {
            self.passes(&[&self.control]).await;
        }
        self.settle().await;
    }

    async fn versions(&self) -> Vec<i32> {
        let versions = "select version from platform.tenant_keys where tenant_id = $1 order by 1";
        let mut admin = self.database.admin().await;
        sqlx::query_scalar(versions).bind(self.tenant.id.uuid()).fetch_all(&mut admin).await.unwrap()
    }

    /// How many values of a column there are, and how many of them this version sealed.
    async fn sealed(&self, column: Column, version: u32) -> (i64, i64) {
        let (table, value) = table(self, column);
        let count = format!(
            "select count({value}), count(*) filter (where substring({value} from 1 for 5) = $2)
             from {table}
             where tenant_id = $1"
        );
        let mut admin = self.database.admin().await;
        sqlx::query_as(AssertSqlSafe(count))
            .bind(self.tenant.id.uuid())
            .bind(mark(version).to_vec())
            .fetch_one(&mut admin)
            .await
            .unwrap()
    }

    /// A fact of the edge about no user, from this address.
    async fn meets_a_stranger(&self, address: &str) {
        let fact = audit::Fact {
            event_id: uuid::Uuid::from_bytes(control::world::random().unwrap()),
            at: self.control.clock.now(),
            action: "edge.sign_in_refused".into(),
            user: None,
            network: Some(address.into()),
            details: json!({"count": 1}),
        };
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        audit::record_fact(&mut tx, fact);
        tx.commit().await.unwrap();
    }

    /// A second factor of another service.
    async fn keeps_totp(&self, user: UserId) {
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        let sealed = tx.keys().seal(Column::LegacyTotp, &format!("{user}/7"), b"seed").unwrap();
        sqlx::query("insert into legacy_totp values ($1, $2, '7', $3)")
            .bind(self.tenant.id.uuid())
            .bind(user.uuid())
            .bind(sealed)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Stores a request of a client that is no user.
    async fn keeps_request(&self, typed: &str) {
        let (mut tx, now) =
            (self.control.db.work_tx(self.tenant.id).await.unwrap(), self.control.clock.now());
        let lives = TimeDelta::days(365);
        requests::put(&mut tx, RequestKind::Registration, None, &typed, now, lives).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A mail that waits, and a mail server of the tenant's own.
    async fn keeps_mail(&self) {
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        let letter = NewMail {
            kind: MailKind::PasswordChanged,
            to: Recipient::address("grace@acme.test", ""),
            link: None,
            facts: Facts::default(),
        };
        assert!(matches!(post(&mut tx, &self.control, letter).await.unwrap(), Posted::Queued(_)));
        let sender = Sender {
            from: "hello@acme.test".into(),
            from_name: String::new(),
            reply_to: String::new(),
            host: "smtp.acme.test".into(),
            port: 587,
            tls: MailTls::Starttls,
            username: String::new(),
            password: String::new().into(),
        };
        sender::put(&self.control, &mut tx, &Actor::operator(), &sender).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A CAPTCHA, whose secret is the tenant's own.
    async fn keeps_captcha(&self) {
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        let policy = serde_json::from_value(json!({"site_key": "0x4AAA"})).unwrap();
        let secret = Some(String::from(CAPTCHA_SECRET).into());
        let wanted = captcha::CaptchaChange { policy, secret, any_service: false };
        captcha::put(&self.control, &mut tx, &Actor::operator(), wanted).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn verifies(&self) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let found = control::audit::verify::verify(&mut tx, &[], 0, i64::MAX).await.unwrap().unwrap();
        assert!(found.intact, "{found:?}");
    }
}

/// A request that is made again while control says that it cannot do it now.
async fn patiently<F: Future<Output = Answer>>(ask: impl Fn() -> F) -> Answer {
    loop {
        let answer = ask().await;
        assert!(answer.status < 500 || answer.status == 503, "{}: {}", answer.status, answer.text);
        if answer.status != 503 {
            return answer;
        }
    }
}

async fn addresses_found(ada: &Member, address: &str) -> usize {
    let log = ada.get(&format!("/api/audit/?client={address}")).await.expect(200).body;
    let results = log["results"].as_array().unwrap();
    assert!(
        results.iter().all(|entry| entry["client"] == address && entry["details"]["count"] == 1),
        "{log}"
    );
    results.len()
}

#[test]
fn every_column_that_the_tenants_key_seals_is_sealed_anew() {
    let sealed = columns::PLATFORM.iter().chain(columns::CELL).flat_map(|(table, columns)| {
        let sealed = columns.iter().filter(|some| some.rest == Rest::Sealed);
        sealed.flat_map(move |some| some.names.iter().map(move |name| format!("{table}.{name}")))
    });
    let ours: Vec<_> = Column::ALL.map(Column::label).to_vec();
    let mut others: Vec<_> = sealed.filter(|name| !ours.contains(&name.as_str())).collect();
    others.sort();
    // Under keys of users, of rows and of the log, and by the key provider.
    let expected = [
        "audit_entries.body",
        "authenticators.name",
        "mails.sealed",
        "profile_entries.sealed",
        "requests.sealed",
        "tenant_keys.wrapped",
        "users.email",
        "users.first_name",
        "users.last_name",
        "users.phone",
        "users.username",
    ];
    assert_eq!(others, expected);
}

#[tokio::test]
async fn everything_opens_under_the_new_key_and_the_former_one_is_gone() {
    for isolation in [Some(Isolation::Schema), Some(Isolation::Shared), None] {
        let scene = Scene::under(Vec::new(), isolation.unwrap_or(Isolation::Schema)).await;
        let scene = if isolation.is_none() { scene.platform().await } else { scene };
        let ada = scene.member("ada", "root-admin").await;
        scene.asks_of_passwords(|settings| settings.password_history = 2).await;
        let former = "a password that bob had before";
        let body =
            json!({"username": "bob", "email": "bob@acme.test", "first_name": "Bobby", "password": former});
        let bob = ada.post(USERS, body).await.expect(201).id();
        ada.patch(&format!("{USERS}{bob}/"), json!({"password": PASSWORD})).await.expect(200);
        let (encoded, password) = cheap();
        let eve = scene.foreigner("eve", &encoded).await;
        scene.keeps_totp(bob).await;
        let fay = scene.enrolled("fay", "client").await;
        scene.keeps_request("grace@acme.test").await;
        scene.keeps_mail().await;
        scene.keeps_captcha().await;
        scene.meets_a_stranger("192.0.2.7").await;
        scene.push().await;
        let (mark, taken) = (scene.edge.mark(scene.tenant.id), scene.edge.state().taken.len());

        scene.rotate().await;
        assert_eq!(scene.versions().await, [2]);
        for column in Column::ALL.into_iter().filter(|column| *column != Column::FirstAdmin) {
            let (all, now) = scene.sealed(column, 2).await;
            assert!(all > 0 && all == now, "{}: {now} of {all}", column.label());
        }
        // Nothing is pushed that has not changed.
        scene.push().await;
        assert_eq!((scene.edge.mark(scene.tenant.id), scene.edge.state().taken.len()), (mark, taken));

        // A control that remembers nothing.
        let scene = scene.restarted().await;
        let ada = ada.at(&scene);
        assert_eq!(ada.get(&format!("{USERS}{bob}/")).await.expect(200).body["email"], "bob@acme.test");
        assert_eq!(ada.get(&format!("{USERS}?search=obb")).await.expect(200).body["count"], 1);
        assert_eq!(ada.get(USERS).await.expect(200).body["results"].as_array().unwrap().len(), 4);
        ada.post(USERS, json!({"username": "BOB@acme.test"})).await.expect(400);
        scene.meets_a_stranger("192.0.2.7").await;
        assert_eq!(addresses_found(&ada, "192.0.2.7").await, 2, "found as before");
        scene.verifies().await;
        scene.chain().await;
        assert!(scene.knows(eve, &password).await, "checked and taken over");
        // Both are pushed again, so the re-encrypted values are decrypted.
        for user in [bob, eve] {
            ada.patch(&format!("{USERS}{user}/"), json!({"roles": ["staff"]})).await.expect(200);
        }
        scene.push().await;
        assert!(scene.edge_signs_in(bob, PASSWORD) && !scene.edge_signs_in(bob, "wrong"));
        assert!(scene.edge_signs_in(eve, &password));
        let fay = scene.enrols(&scene.with_mfa(fay.member.id).await).await;
        let row = scene.row_at_edge(fay.member.id).await;
        assert_eq!((row.authenticators.len(), row.recovery.unwrap().codes.len()), (2, 10));
        let mut tx = scene.control.db.work_tx(scene.tenant.id).await.unwrap();
        let seed = "select wrapped from legacy_totp where tenant_id = $1";
        let seed: Vec<u8> =
            sqlx::query_scalar(seed).bind(scene.tenant.id.uuid()).fetch_one(&mut *tx).await.unwrap();
        let seed = tx.keys().open(Column::LegacyTotp, &format!("{bob}/7"), &seed).unwrap();
        assert_eq!(seed.to_vec(), b"seed");
        let captcha = captcha::own(&mut tx).await.unwrap().unwrap();
        assert_eq!(captcha.secret.as_str(), CAPTCHA_SECRET);
        drop(tx);
        for (action, entries) in [("tenant_key.rotated", 1), ("tenant_key.deleted", 1)] {
            assert_eq!(scene.count_logged(action).await, entries, "{action}");
        }

        // And once more, from a key that was the new one.
        scene.rotate().await;
        assert_eq!(scene.versions().await, [3]);
        assert_eq!(addresses_found(&ada, "192.0.2.7").await, 2);
        scene.verifies().await;
    }
}

#[tokio::test]
async fn what_a_deleted_key_sealed_is_unreadable() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    let (keys, _) = table(&scene, Column::UserKey);
    let kept = format!("public.kept_{}", scene.tenant.id.uuid().simple());
    scene.execute(format!("create table {kept} as select * from {keys}")).await;
    scene.rotate().await;
    let backup = format!(
        "update {keys} k
         set wrapped = kept.wrapped
         from {kept} kept
         where k.user_id = kept.user_id and k.user_id = '{}';
         drop table {kept}",
        bob.id
    );
    scene.execute(backup).await;
    ada.get(&format!("{USERS}{}/", bob.id)).await.expect(500);
    ada.get(&format!("{USERS}{}/", ada.id)).await.expect(200);
    assert_eq!(ada.get(USERS).await.expect(200).body["results"].as_array().unwrap().len(), 1);
    // Nothing waits for it either: no key is left that could open it.
    scene.rotate().await;
}

/// A signing key is made and sealed without a transaction, and stored later.
#[tokio::test]
async fn a_signing_key_that_was_made_before_is_stored_under_the_new_key_or_not_at_all() {
    let scene = Scene::new().await;
    let operator = Actor::operator();
    let private = keys::rsa::generate(2048).unwrap();
    let kid = private.public.key_id();
    let import = async |made: &keys::maker::RestingKey| {
        let tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let (_, tx) = keys::import(&scene.control, tx, &operator, &scene.tenant, made).await?;
        tx.commit().await.unwrap();
        Ok::<_, keys::KeyError>(())
    };
    let signing_keys = async || {
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        keys::store::published(&mut tx).await.unwrap()
    };
    // Sealed under the first key, of which nothing is left when it comes.
    let late = scene.control.keys.keep(scene.tenant.id, &private).await.unwrap();
    scene.rotate().await;
    let refused = import(&late).await;
    assert!(matches!(refused, Err(keys::KeyError::Failure(Failure::KeyReplaced))), "{refused:?}");
    assert_eq!(scene.sealed(Column::SigningKey, 2).await, (2, 2));
    assert!(signing_keys().await.iter().all(|key| key.key.kid != kid && key.pkcs8.is_some()));

    // Sealed under the second key, while the third one takes its place.
    let made = scene.control.keys.keep(scene.tenant.id, &private).await.unwrap();
    scene.gets_key().await.unwrap();
    for _ in 0..2 {
        scene.passes(&[&scene.control]).await;
    }
    import(&made).await.unwrap();
    assert_eq!(scene.sealed(Column::SigningKey, 3).await, (2, 1), "the imported one, and not the active one");
    scene.settle().await;
    assert_eq!((scene.versions().await, scene.sealed(Column::SigningKey, 3).await), (vec![3], (2, 2)));
    let all = signing_keys().await;
    let imported = all.iter().find(|key| key.key.kid == kid).unwrap();
    assert_eq!(imported.pkcs8.as_ref().unwrap()[..], private.pkcs8[..]);
}

#[tokio::test]
async fn tenants_of_every_state_get_a_new_key() {
    let stage = Scene::alone().await;
    let mut asked = new(Isolation::Schema);
    let verifier = Verifier::dummy(control::world::random().unwrap(), control::world::random().unwrap());
    let (username, verifier) = (String::from("first"), verifier.to_phc().to_string());
    asked.admin = Some(FirstAdmin::Known(KnownAdmin { username, email: None, verifier }));
    let key = tenants::prepare(&stage.control).await.unwrap();
    let mut tx = stage.control.db.tenant_tx(stage.control.db.platform().await.unwrap()).await.unwrap();
    let tenant = tenants::create(&stage.control, &mut tx, &Actor::operator(), &key, asked).await.unwrap();
    tx.commit().await.unwrap();

    // While it is being made, it has neither tables nor a log.
    let scene = Scene { tenant, ..stage.clone() };
    scene.rotate().await;
    assert_eq!((scene.versions().await, scene.sealed(Column::FirstAdmin, 2).await), (vec![2], (1, 1)));
    let platform = scene.platform().await;
    for action in ["tenant_key.rotated", "tenant_key.deleted"] {
        assert_eq!(platform.count_logged(action).await, 1);
    }
    // It is made in the middle of a rotation.
    scene.gets_key().await.unwrap();
    provision::run(&scene.control, scene.tenant.id).await.unwrap();
    for _ in 0..2 {
        scene.passes(&[&scene.control]).await;
    }
    scene.settle().await;
    let scene = scene.restarted().await;
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    assert_eq!(users::find_by_name(&mut tx, "first").await.unwrap().roles, ["root-admin"]);
    drop(tx);

    let root = scene.platform().await.member("root", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    root.patch(&path, json!({"status": "suspended"})).await.expect(200);
    scene.rotate().await;
    root.patch(&path, json!({"status": "active"})).await.expect(200);
    scene
        .acting_as(&scene.person(Profile { username: "ada".into(), ..Profile::default() }, &["client"]).await)
        .await
        .get("/api/user/me/")
        .await
        .expect(200);
    root.delete(&path).await.expect(204);
    scene.rotate().await;
    assert_eq!(scene.versions().await, [5]);
    scene.verifies().await;
}

#[tokio::test]
async fn rotations_at_once_are_one() {
    let scene = Scene::shared().await;
    scene.member("ada", "root-admin").await;
    let begun = join_all((0..8).map(|_| scene.gets_key())).await;
    assert_eq!(begun.into_iter().flatten().collect::<Vec<_>>(), [2]);
    assert!(matches!(scene.advance_key().await, State::Spreads(more) if more > Duration::from_secs(13 * 60)));
    scene.passes(&[&scene.control]).await;
    assert!(matches!(scene.advance_key().await, State::Spreads(_)), "others may seal under the former key");
    assert_eq!(scene.gets_key().await, None);
    scene.passes(&[&scene.control]).await;
    join_all((0..4).map(|_| scene.settle())).await;
    assert_eq!(scene.versions().await, [2]);
    for action in ["tenant_key.rotated", "tenant_key.deleted"] {
        assert_eq!(scene.count_logged(action).await, 1, "{action}");
    }
    scene.chain().await;
}

#[tokio::test]
async fn nothing_is_committed_that_a_retired_key_sealed() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let new = |username: &str| NewUser {
        profile: Profile { username: username.into(), ..Profile::default() },
        status: UserStatus::Active,
        roles: vec![],
        branch: None,
        password: None,
        must_change_password: false,
        email_verified: false,
    };
    // Begun in time, as on a machine that was suspended right after.
    let mut late = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    users::create(&scene.control, &mut late, &Actor::operator(), new("late")).await.unwrap();
    scene.rotate().await;
    let refused = late.commit().await;
    assert!(matches!(refused, Err(Failure::KeyReplaced)), "{refused:?}");
    let names = ada.get(USERS).await.expect(200).body;
    assert_eq!(names["count"], 1, "{names}");
    scene.chain().await;

    // Who writes no entry asks for the key beforehand, and is waited for.
    scene.gets_key().await.unwrap();
    let mut tx = scene.control.db.work_tx(scene.tenant.id).await.unwrap();
    assert_eq!(tx.keys().sealing(), 2);
    tx.hold_key().await.unwrap();
    let row = format!("{}/7", ada.id);
    let sealed = tx.keys().seal(Column::LegacyTotp, &row, b"seed").unwrap();
    sqlx::query("insert into legacy_totp values ($1, $2, '7', $3)")
        .bind(scene.tenant.id.uuid())
        .bind(ada.id.uuid())
        .bind(sealed)
        .execute(&mut *tx)
        .await
        .unwrap();
    for _ in 0..2 {
        scene.passes(&[&scene.control]).await;
    }
    let rotating = tokio::spawn({
        let scene = scene.clone();
        async move { scene.settle().await }
    });
    let waits = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'
                     and query like 'select version from platform.tenant_keys%for update'";
    let mut admin = scene.database.admin().await;
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut admin).await.unwrap() == 0 {
        assert!(!rotating.is_finished(), "the key is held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tx.commit().await.unwrap();
    rotating.await.unwrap();
    assert_eq!((scene.versions().await, scene.sealed(Column::LegacyTotp, 3).await), (vec![3], (1, 1)));
    let mut tx = scene.control.db.work_tx(scene.tenant.id).await.unwrap();
    tx.hold_key().await.unwrap();
}

#[tokio::test]
async fn what_does_not_open_keeps_the_former_key_until_it_is_mended() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let mut made = Vec::new();
    for name in ["bob", "cyd"] {
        made.push(ada.post(USERS, json!({"username": name, "password": PASSWORD})).await.expect(201).id());
    }
    let (table, value) = table(&scene, Column::Verifier);
    let swap = format!(
        "update {table} u set {value} = other.{value} from {table} other
         where (u.id, other.id) in (('{0}', '{1}'), ('{1}', '{0}'))",
        made[0], made[1]
    );
    scene.execute(swap.clone()).await;
    scene.gets_key().await.unwrap();
    for _ in 0..2 {
        scene.passes(&[&scene.control]).await;
    }
    let State::Unreadable(2, mut named) = scene.advance_key().await else { panic!() };
    named.sort();
    let mut expected = made.iter().map(|id| format!("users.wrapped_verifier {id}")).collect::<Vec<_>>();
    expected.sort();
    assert_eq!((named, scene.versions().await), (expected, vec![1, 2]));
    let slug = scene.tenant.slug.to_string();
    let failed = scene.cli().run(&["encryption", "rotate", "--tenant", &slug], "").expect(1);
    let state = failed.json["results"][0]["state"].as_str().unwrap().to_owned();
    assert!(
        state.starts_with("2 values do not open, so the former key stays: users.wrapped_verifier "),
        "{state}"
    );
    let status = scene.cli().run(&["encryption", "status", "--tenant", &slug], "").expect(0).json;
    assert_eq!((&status["left"], &status["former"], &status["version"]), (&json!(2), &json!([1]), &json!(2)));
    scene.execute(swap).await;
    scene.settle().await;
    ada.patch(&format!("{USERS}{}/", made[0]), json!({"first_name": "B"})).await.expect(200);
    scene.push().await;
    assert!(made.iter().all(|user| scene.edge_signs_in(*user, PASSWORD)));
}

#[tokio::test]
async fn an_edit_that_is_under_way_is_not_waited_for_and_wins() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = ada.post(USERS, json!({"username": "bob", "password": PASSWORD})).await.expect(201).id();
    scene.gets_key().await.unwrap();
    for _ in 0..2 {
        scene.passes(&[&scene.control]).await;
    }
    let hashed = Successor::of(&scene.control.hasher, scene.tenant.id, "another password").await.unwrap();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let change = Change { password: Some(hashed), ..Change::default() };
    users::change(&scene.control, &mut tx, &Actor::operator(), bob, change).await.unwrap();
    let advanced = tokio::time::timeout(Duration::from_secs(20), scene.advance_key()).await;
    assert_eq!(advanced.expect("the edit is waited for"), State::Unfinished);
    assert_eq!((scene.sealed(Column::Verifier, 2).await, scene.versions().await), ((1, 0), vec![1, 2]));
    tx.commit().await.unwrap();
    scene.settle().await;
    assert_eq!((scene.sealed(Column::Verifier, 2).await, scene.versions().await), ((1, 1), vec![2]));
    scene.push().await;
    assert!(scene.edge_signs_in(bob, "another password"));
}

#[tokio::test]
async fn controls_open_what_others_seal_at_every_moment() {
    let one = Scene::new().await;
    let other = one.clone().restarted().await;
    let ada = one.member("ada", "root-admin").await;
    let new = async |scene: &Scene, name: &str| {
        ada.at(scene).post(USERS, json!({"username": name, "password": PASSWORD})).await.expect(201).id()
    };
    let read = async |ada: &Member, scene: &Scene, users: &[UserId]| {
        for user in users {
            ada.at(scene).get(&format!("{USERS}{user}/")).await.expect(200);
        }
        let list = ada.at(scene).get(USERS).await.expect(200).body;
        assert_eq!(list["results"].as_array().unwrap().len(), users.len() + 1);
    };
    let mut users = vec![new(&one, "u0").await, new(&other, "u1").await];
    let sealing = async |scene: &Scene| scene.control.db.keys(scene.tenant.id).await.unwrap().sealing();

    // `other` has the former keys in memory, as it may for five minutes.
    one.gets_key().await.unwrap();
    users.push(new(&one, "u2").await);
    read(&ada, &other, &users).await;
    assert_eq!((sealing(&one).await, sealing(&other).await), (1, 1));

    // These are over, and `one` encrypts under the new key. `other` reads the keys again by its wall clock.
    other.control.clock.advance(TimeDelta::minutes(6));
    let ada_there = other.acting_as(&one.user(ada.id).await).await;
    users.push(ada_there.post(USERS, json!({"username": "u3"})).await.expect(201).id());
    one.ages(SPREAD).await;
    assert_eq!(sealing(&other).await, 1, "it has read them a moment ago");
    one.control.db.forget_keys(one.tenant.id).await;
    users.push(new(&one, "u4").await);
    assert_eq!(sealing(&one).await, 2);
    read(&ada_there, &other, &users).await;
    users.push(ada_there.post(USERS, json!({"username": "u5"})).await.expect(201).id());
    read(&ada, &one, &users).await;
    assert!(matches!(one.advance_key().await, State::Spreads(_)), "`other` seals under the former key");

    other.control.clock.advance(TimeDelta::minutes(6));
    one.ages(SPREAD).await;
    one.settle().await;
    let ada_there = other.acting_as(&one.user(ada.id).await).await;
    assert_eq!(sealing(&other).await, 2);
    users.push(ada_there.post(USERS, json!({"username": "u6"})).await.expect(201).id());
    read(&ada, &one, &users).await;
    read(&ada_there, &other, &users).await;
}

#[tokio::test]
async fn a_job_does_the_rest_and_one_broken_cell_stops_no_other() {
    let scene = Scene::alone().await;
    let [broken, sound] =
        [scene.neighbour(Isolation::Schema).await, scene.neighbour(Isolation::Shared).await];
    let made = committed_tenant(&scene.control, Isolation::Shared).await;
    let made = Scene { tenant: made, ..scene.clone() };
    let slugs = [&broken, &sound, &made].map(|it| it.tenant.slug.to_string());
    for slug in &slugs {
        let begun = scene.cli().run(&["encryption", "rotate", "--detach", "--tenant", slug], "").expect(0);
        assert_eq!(begun.json["results"][0]["done"], false);
        assert!(begun.stderr.contains("version 2 of the key was made"), "{}", begun.stderr);
    }
    let rotating = scene.cli().run(&["encryption", "status", "--rotating"], "").expect(0).json;
    let names: Vec<_> =
        rotating["results"].as_array().unwrap().iter().map(|it| it["tenant"].as_str().unwrap()).collect();
    assert_eq!(names, slugs);
    let numbers = Numbers::new();
    let measured = async || {
        let _kept = numbers.keep();
        data_key::measure(&scene.control).await.unwrap();
        numbers.gauge("wardgate_tenant_keys_replaced").to_string()
    };
    assert_eq!(measured().await, "3");
    let status = scene.cli().run(&["encryption", "status", "--tenant", &slugs[1]], "").expect(0).json;
    assert!(status["left"].as_i64().unwrap() > 0 && status["due_in"].as_i64().unwrap() > 800, "{status}");

    for it in [&broken, &sound, &made] {
        it.passes(&[]).await;
        it.passes(&[&scene.control]).await;
    }
    let cell = broken.tenant.cell.as_str();
    broken.execute(format!("alter table {cell}.user_keys rename to lost")).await;
    ReplaceTenantKeys {}.run(&scene.control).await.unwrap();
    assert_eq!(
        (broken.versions().await, sound.versions().await, made.versions().await),
        (vec![1, 2], vec![2], vec![2])
    );
    assert_eq!(measured().await, "1");
    broken.execute(format!("alter table {cell}.lost rename to user_keys")).await;
    ReplaceTenantKeys {}.run(&scene.control).await.unwrap();
    assert_eq!(broken.versions().await, [2]);
    assert_eq!(measured().await, "0");
    // A user of a tenant that was not made is the first of one that has a new key.
    provision::run(&scene.control, made.tenant.id).await.unwrap();
    made.member("ada", "root-admin").await.get("/api/user/me/").await.expect(200);
}

#[tokio::test]
async fn so_many_values_at_once_and_the_rest_later() {
    const MOST: u64 = 150;
    let scene = Scene::new().await;
    let users: Vec<_> =
        (1..=scaled(450, 20_000)).map(|n| foreign_user(&json!(n), &format!("u{n}"))).collect();
    scene.import_dump(&users).expect(0);
    scene.gets_key().await.unwrap();
    for _ in 0..2 {
        scene.passes(&[&scene.control]).await;
    }
    let mut rounds = 0;
    while scene.advance_some(MOST).await == State::Unfinished {
        rounds += 1;
    }
    assert!(rounds >= 2, "{rounds}");
    let (all, now) = scene.sealed(Column::ForeignHash, 2).await;
    assert_eq!((all, now), (users.len() as i64, users.len() as i64));
    assert_eq!(scene.versions().await, [2]);
    assert_eq!(scene.everybody().await.len(), users.len());
}

/// Renames a user until it is stopped; returns the last name that was answered 200.
async fn renames(ada: Member, user: UserId, stop: Arc<AtomicBool>, turns: Arc<AtomicU64>) -> String {
    let (path, mut last) = (format!("{USERS}{user}/"), String::new());
    for turn in 0.. {
        let name = format!("n{turn}");
        patiently(|| ada.patch(&path, json!({"first_name": name}))).await.expect(200);
        last = name;
        turns.fetch_add(1, Ordering::SeqCst);
        if stop.load(Ordering::SeqCst) {
            break;
        }
    }
    last
}

/// Each of the writers has done something from beginning to end.
async fn turn_of_each(turns: &[Arc<AtomicU64>]) {
    let seen: Vec<u64> = turns.iter().map(|turn| turn.load(Ordering::SeqCst)).collect();
    while turns.iter().zip(&seen).any(|(turn, seen)| turn.load(Ordering::SeqCst) < seen + 2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one scenario")]
async fn nothing_is_lost_that_others_write_meanwhile() {
    const WRITERS: usize = 4;
    let rotations = scaled(2, 20);
    let one = Scene::alone().await;
    let other = one.clone().restarted().await;
    let scenes = [&one, &other];
    let ada = one.member("ada", "root-admin").await;
    let (encoded, password) = cheap();
    let (mut users, mut foreign) = (Vec::new(), Vec::new());
    for n in 0..WRITERS {
        users.push(ada.post(USERS, json!({"username": format!("u{n}")})).await.expect(201).id());
    }
    for n in 0..rotations * 5 {
        foreign.push(one.foreigner(&format!("f{n}"), &encoded).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let turns: Vec<_> = (0..WRITERS + 2).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let mut writers = Vec::new();
    for (n, user) in users.iter().enumerate() {
        let (ada, stop, turns) = (ada.at(scenes[n % 2]), stop.clone(), turns[n].clone());
        writers.push(tokio::spawn(renames(ada, *user, stop, turns)));
    }
    // Users are made, with passwords.
    let makes = tokio::spawn({
        let (ada, stop, turns) = (ada.at(&other), stop.clone(), turns[WRITERS].clone());
        async move {
            let mut made = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let body = json!({"username": format!("m{}", made.len()), "password": PASSWORD});
                made.push(patiently(|| ada.post(USERS, body.clone())).await.expect(201).id());
                turns.fetch_add(1, Ordering::SeqCst);
            }
            made
        }
    });
    // No user is ever missing.
    let reads = tokio::spawn({
        let (ada, stop, turns, users) =
            (ada.at(&one), stop.clone(), turns[WRITERS + 1].clone(), users.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                let path = format!("{USERS}?ordering=created_at&page_size=50");
                let list = patiently(|| ada.get(&path)).await.expect(200).body;
                let ids: Vec<_> =
                    list["results"].as_array().unwrap().iter().map(|user| user["id"].clone()).collect();
                assert!(users.iter().all(|user| ids.contains(&json!(user))), "{list}");
                turns.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let controls = [&one.control, &other.control];
    let dump: Vec<Value> = (1..=200).map(|n| foreign_user(&json!(n), &format!("i{n}"))).collect();
    for (round, foreign) in foreign.chunks(5).enumerate() {
        one.gets_key().await.unwrap();
        for control in controls {
            control.db.forget_keys(one.tenant.id).await;
        }
        // The keys that it has in memory, an import keeps for five minutes, and here they are over sooner.
        let imports = tokio::task::spawn_blocking({
            let (scene, dump) = (one.clone(), dump.clone());
            move || loop {
                let outcome = scene.import_dump(&dump);
                if outcome.code == 0 {
                    break outcome.json["report"]["new"].as_u64().unwrap();
                }
                assert!(outcome.stderr.contains("key was replaced meanwhile"), "{}", outcome.stderr);
            }
        });
        for _ in 0..2 {
            one.passes(&controls).await;
            // Work that began with the former keys ends; a rotation leaves time for it.
            turn_of_each(&turns).await;
        }
        // Passwords of another service are migrated while their hashes are re-encrypted.
        let asks = async |user: UserId| {
            let answer = patiently(|| Ask::new(&one, Some(user), &password).send()).await.expect(200);
            answer.body["matched"] == json!(true)
        };
        let signs_in = join_all(foreign.iter().map(|user| asks(*user)));
        let (known, ()) = tokio::join!(signs_in, other.settle());
        assert!(known.into_iter().all(|known| known), "round {round}: a right password was refused");
        let new = imports.await.unwrap();
        assert!(round == 0 || new == 0, "{new} users came again");
    }
    stop.store(true, Ordering::SeqCst);
    let mut names = Vec::new();
    for writer in writers {
        names.push(writer.await.unwrap());
    }
    let made = makes.await.unwrap();
    reads.await.unwrap();

    let fresh = one.clone().restarted().await;
    let ada = ada.at(&fresh);
    for (user, name) in users.iter().zip(&names) {
        assert_eq!(ada.get(&format!("{USERS}{user}/")).await.expect(200).body["first_name"], **name);
    }
    fresh.push().await;
    assert!(made.iter().all(|user| fresh.edge_signs_in(*user, PASSWORD)), "{} users", made.len());
    let everybody = fresh.everybody().await;
    assert_eq!(everybody.len(), 1 + WRITERS + made.len() + rotations * 5 + dump.len());
    let newest = u32::try_from(rotations).unwrap() + 1;
    for column in Column::ALL {
        let (all, now) = fresh.sealed(column, newest).await;
        assert_eq!(all, now, "{}", column.label());
    }
    fresh.verifies().await;
    fresh.chain().await;
}

/// `wardgate encryption rotate` on its way.
fn rotates(scene: &Scene) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_wardgate"))
        .args(["encryption", "rotate", "--tenant", &scene.tenant.slug.to_string()])
        .env_clear()
        .envs(&scene.cli().variables)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_rotation_that_is_killed_again_and_again_ends_and_loses_nothing() {
    let kills = scaled(6, 60);
    let mut chance = Chance::new();
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let dump: Vec<Value> =
        (1..=scaled(400, 20_000)).map(|n| foreign_user(&json!(n), &format!("u{n}"))).collect();
    scene.import_dump(&dump).expect(0);
    scene.meets_a_stranger("192.0.2.7").await;
    let spreads = async || {
        for _ in 0..2 {
            scene.passes(&[&scene.control]).await;
        }
    };
    scene.gets_key().await.unwrap();
    spreads().await;
    #[allow(clippy::disallowed_methods, reason = "a duration")]
    let began = std::time::Instant::now();
    assert!(rotates(&scene).wait().unwrap().success());
    let whole = i64::try_from(began.elapsed().as_millis()).unwrap();
    let mut halves = 0;
    for _ in 0..kills {
        // In one of four rounds the command makes the key itself, and is killed while that spreads.
        if chance.between(0, 3) > 0 {
            scene.gets_key().await;
            spreads().await;
        }
        let mut command = rotates(&scene);
        tokio::time::sleep(Duration::from_millis(chance.between(0, whole).unsigned_abs())).await;
        if chance.between(0, 2) == 0 {
            scene.cut_connections().await;
        }
        command.kill().unwrap();
        command.wait().unwrap();
        let newest = u32::try_from(*scene.versions().await.last().unwrap()).unwrap();
        let (all, now) = scene.sealed(Column::ForeignHash, newest).await;
        halves += i32::from(0 < now && now < all);
        scene.control.db.forget_keys(scene.tenant.id).await;
        patiently(|| ada.get(USERS)).await.expect(200);
    }
    eprintln!("{whole} ms for all, {halves} of {kills} killed half way");
    spreads().await;
    scene.settle().await;
    let [version] = scene.versions().await[..] else { panic!() };
    assert!(version > 2, "a key was made");
    for column in Column::ALL {
        let (all, now) = scene.sealed(column, u32::try_from(version).unwrap()).await;
        assert_eq!(all, now, "{}", column.label());
    }
    let fresh = scene.restarted().await;
    assert_eq!(fresh.everybody().await.len(), dump.len() + 1);
    assert_eq!(addresses_found(&ada.at(&fresh), "192.0.2.7").await, 1);
    let entries = fresh.count_logged("tenant_key.rotated").await;
    assert_eq!(entries, usize::try_from(version - 1).unwrap(), "an entry for each key");
    assert_eq!(fresh.count_logged("tenant_key.deleted").await, entries);
    fresh.verifies().await;
    fresh.chain().await;
}

#[tokio::test]
async fn the_command_waits_for_other_controls_and_ends() {
    let scene = Scene::alone().await;
    scene.member("ada", "root-admin").await;
    let mut command = rotates(&scene);
    while scene.versions().await.len() == 1 {
        assert!(command.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(command.try_wait().unwrap().is_none(), "it waits");
    for _ in 0..2 {
        scene.ages(SPREAD).await;
    }
    let ended = loop {
        if let Some(ended) = command.try_wait().unwrap() {
            break ended;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(ended.success());
    assert_eq!(scene.versions().await, [2]);
    let slug = scene.tenant.slug.to_string();
    scene.cli().run(&["encryption", "rotate"], "").expect(2);
    scene.cli().run(&["encryption", "rotate", "--all", "--tenant", &slug], "").expect(2);
    scene.cli().run(&["encryption", "rotate", "--tenant", "nobody"], "").expect(4);
    let all = scene.cli().run(&["encryption", "rotate", "--all", "--detach"], "").expect(0).json;
    assert_eq!(all["count"], 2, "the platform tenant as well");
    assert_eq!(scene.versions().await, [2, 3]);
    assert_eq!(scene.platform().await.versions().await, [1, 2]);
}

/// A key of one tenant says nothing at another.
#[tokio::test]
async fn a_neighbour_in_the_same_cell_keeps_its_key() {
    let scene = Scene::shared().await;
    let neighbour = scene.neighbour(Isolation::Shared).await;
    let (ada, eve) = (scene.member("ada", "root-admin").await, neighbour.member("eve", "root-admin").await);
    scene.rotate().await;
    for (it, version) in [(&scene, 2), (&neighbour, 1)] {
        assert_eq!(it.versions().await, [version]);
        let (all, now) = it.sealed(Column::UserKey, u32::try_from(version).unwrap()).await;
        assert_eq!((all, now), (1, 1));
    }
    ada.get(USERS).await.expect(200);
    eve.get(USERS).await.expect(200);
}
