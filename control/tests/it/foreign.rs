//! Passwords as another service hashed them: what the edge may ask, what it learns, what happens then.

use chrono::TimeDelta;
use control::legacy::passwords::{seal_foreign, sweep};
use control::legacy::service::{foreign_hashes_added, foreign_hashes_removed};
use control::users::{self, Change, Successor};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::refusal::Refusal;
use shared::ids::UserId;
use shared::wire::password::{PATH, PasswordIn};
use shared::wire::signature::{Message, ServiceKey, Tag, content_digest};

use crate::forward::edge_key;
use crate::scale::Numbers;
use crate::scene::{Answer, PASSWORD, Scene, key};

/// By Django, of `Corr3ct-horse` unless they say otherwise.
const STOCK: &str = include_str!("../../../foreign/vectors/django_hash_vectors.json");
const PASSWORDS: &str = include_str!("../../../foreign/vectors/django_passwords.json");

/// The encoded hash of a case with a hasher, and its password.
fn vector(hasher: &str, case: &str) -> (String, String) {
    let all: Vec<Value> = serde_json::from_str(PASSWORDS).unwrap();
    let found = all.iter().find(|it| it["hasher"] == hasher && it["case"] == case);
    let found = found.unwrap_or_else(|| panic!("no vector {hasher} {case}"));
    (found["encoded"].as_str().unwrap().into(), found["password"].as_str().unwrap().into())
}

pub fn cheap() -> (String, String) {
    vector("pbkdf2_sha256", "spaces")
}

/// A question on its way, with what a forger might change.
pub struct Ask<'a> {
    scene: &'a Scene,
    key: ServiceKey,
    tag: Tag,
    method: Method,
    path: &'a str,
    skew: i64,
    body: String,
    /// Sent in place of the body that was signed.
    swapped: Option<String>,
}

impl<'a> Ask<'a> {
    pub fn new(scene: &'a Scene, user: Option<UserId>, password: &str) -> Self {
        let question = PasswordIn { tenant: scene.tenant.id, user, password: password.into() };
        Self {
            scene,
            key: edge_key(),
            tag: Tag::Password,
            method: Method::POST,
            path: PATH,
            skew: 0,
            body: serde_json::to_string(&question).unwrap(),
            swapped: None,
        }
    }

    pub async fn send(self) -> Answer {
        let digest = content_digest(self.body.as_bytes());
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let message = Message {
            method: self.method.as_str(),
            authority: "control.test",
            path,
            query,
            content_digest: Some(&digest),
            headers: &[],
        };
        let now = self.scene.control.clock.now().timestamp() + self.skew;
        let signed = self.key.sign(self.tag, &message, u64::try_from(now).unwrap());
        let url = format!("http://{}{}", self.scene.api, self.path);
        let request = reqwest::Client::new()
            .request(self.method, url)
            .header("content-type", "application/json")
            .header("content-digest", digest)
            .header("signature-input", signed.input)
            .header("signature", signed.signature)
            .body(self.swapped.unwrap_or(self.body));
        Answer::to(request).await
    }
}

impl Scene {
    /// Whether control says that it is the password.
    pub async fn knows(&self, user: impl Into<Option<UserId>>, password: &str) -> bool {
        let answer = Ask::new(self, user.into(), password).send().await.expect(200);
        assert_eq!(answer.body, json!({"matched": answer.body["matched"]}));
        answer.body["matched"].as_bool().unwrap()
    }

    /// The answer for an unknown user.
    pub async fn guessed(&self) -> Answer {
        Ask::new(self, None, "Corr3ct-horse").send().await
    }

    /// Its status.
    pub async fn guess(&self) -> u16 {
        self.guessed().await.status
    }

    /// A user whose password another service hashed.
    pub async fn foreigner(&self, username: &str, encoded: &str) -> UserId {
        let user = self.member(username, "client").await;
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let (wrapped, format) = seal_foreign(tx.keys(), user.id, encoded).unwrap().expect("a hash");
        sqlx::query("update users set foreign_hash = $2, foreign_format = $3 where id = $1")
            .bind(user.id.uuid())
            .bind(wrapped)
            .bind(format)
            .execute(&mut *tx)
            .await
            .unwrap();
        foreign_hashes_added(&mut tx).await.unwrap();
        let tenant = self.tenant.id;
        tx.changes().user(tenant, user.id, control::db::changes::Priority::InTurn);
        tx.commit().await.unwrap();
        user.id
    }

    /// Whether the edge sees a foreign password there, and whether the tenant has any.
    async fn foreign_at_edge(&self, user: UserId) -> (bool, bool) {
        self.push().await;
        let row = self.edge.user(self.tenant.id, user).unwrap();
        assert!(!row.foreign || row.verifier.is_none(), "a foreign person with a verifier");
        (row.foreign, self.edge.state().documents[&self.tenant.id].foreign.is_some())
    }

    pub async fn count_logged(&self, action: &str) -> usize {
        self.logged().await.iter().filter(|logged| *logged == action).count()
    }

    async fn set_password(&self, user: UserId, password: &str) {
        let hashed = Successor::of(&self.control.hasher, self.tenant.id, password).await.unwrap();
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let change = Change { password: Some(hashed), ..Change::default() };
        let actor = control::audit::Actor::operator();
        users::change(&self.control, &mut tx, &actor, user, change).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn every_format_signs_in_and_is_ours_afterwards() {
    let scene = Scene::new().await;
    let vectors: Vec<Value> = serde_json::from_str(STOCK).unwrap();
    let vectors: Vec<_> =
        vectors.iter().filter(|v| v["hasher"] != "md5" && v["hasher"] != "unusable").collect();
    let mut users = Vec::new();
    for vector in &vectors {
        let name = vector["hasher"].as_str().unwrap();
        users.push(scene.foreigner(name, vector["encoded"].as_str().unwrap()).await);
    }
    assert_eq!(users.len(), 6);
    for (at, &user) in users.iter().enumerate() {
        assert_eq!(scene.foreign_at_edge(user).await, (true, true), "{}", vectors[at]["hasher"]);
        let before = scene.user(user).await;
        assert!(!scene.knows(user, "Corr3ct-horsf").await);
        assert!(scene.knows(user, "Corr3ct-horse").await, "{}", vectors[at]["hasher"]);
        let last = at + 1 == users.len();
        assert_eq!(scene.foreign_at_edge(user).await, (false, !last));
        // It ends no session.
        let after = scene.user(user).await;
        let epochs = |it: &users::User| (it.access_epoch, it.session_epoch, it.password_epoch, it.updated_at);
        assert_eq!(epochs(&before), epochs(&after));
        // Until the edge has learnt of it, it asks again.
        assert!(scene.knows(user, "Corr3ct-horse").await);
        assert!(!scene.knows(user, "Corr3ct-horsf").await);
    }
    assert_eq!(scene.count_logged("user.password_taken_over").await, 6);
    assert!(scene.edge.user(scene.tenant.id, users[0]).unwrap().verifier.is_some());
}

#[tokio::test]
async fn what_is_no_hash_is_no_password() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let keys = scene.control.db.keys(scene.tenant.id).await.unwrap();
    for encoded in ["", "!unusable", "md5$salt$21f3dcf1dd9b1ad35a3ac0710f01ebb9", "pbkdf2_sha256$9999999$s$x"]
    {
        assert!(seal_foreign(&keys, ada.id, encoded).unwrap().is_none());
    }
    assert!(!scene.knows(ada.id, "").await);
    assert!(!scene.knows(ada.id, "Corr3ct-horse").await);
    assert!(!scene.knows(None, "Corr3ct-horse").await);
}

#[tokio::test]
async fn the_old_hash_takes_bytes_as_typed_and_the_new_one_any_form() {
    let scene = Scene::new().await;
    let ((of_nfd, nfd), (_, nfc)) = (vector("pbkdf2_sha256", "nfd"), vector("pbkdf2_sha256", "nfc"));
    assert_ne!(nfd, nfc);
    let ada = scene.foreigner("ada", &of_nfd).await;
    assert!(!scene.knows(ada, &nfc).await);
    assert!(scene.knows(ada, &nfd).await);
    // Now Argon2id of the NFKC form: both get in.
    assert!(scene.knows(ada, &nfc).await);
    assert!(scene.knows(ada, &nfd).await);

    let (encoded, spaced) = vector("scrypt", "spaces");
    let bob = scene.foreigner("bob", &encoded).await;
    assert!(!scene.knows(bob, spaced.trim()).await);
    assert!(scene.knows(bob, &spaced).await);
    assert!(!scene.knows(bob, spaced.trim()).await);
    assert!(scene.knows(bob, &spaced).await);
}

#[tokio::test]
async fn lengths_that_no_password_has_never_match() {
    let scene = Scene::new().await;
    for hasher in ["pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "scrypt"] {
        for (case, fits) in [("empty", false), ("1025 bytes", false), ("1024 bytes", true)] {
            let (encoded, password) = vector(hasher, case);
            let user = scene.foreigner(&format!("{hasher}-{}", password.len()), &encoded).await;
            assert_eq!(scene.knows(user, &password).await, fits, "{hasher} {case}");
        }
    }
}

#[tokio::test]
async fn only_the_edge_may_ask_and_only_for_now() {
    let scene = Scene::new().await;
    let (encoded, password) = cheap();
    let ada = scene.foreigner("ada", &encoded).await;
    let good = || Ask::new(&scene, Some(ada), "wrong");
    let right = Ask::new(&scene, Some(ada), &password).body;
    let forgeries = [
        ("stale", Ask { skew: -61, ..good() }),
        ("tagged for forwarding", Ask { tag: Tag::Forward, ..good() }),
        ("tagged for a push", Ask { tag: Tag::Push, ..good() }),
        ("by another key", Ask { key: ServiceKey::parse(&key("e1", 5)).unwrap(), ..good() }),
        ("another body", Ask { swapped: Some(right), ..good() }),
        ("no body", Ask { swapped: Some(String::new()), ..good() }),
        ("another method", Ask { method: Method::PUT, ..good() }),
        ("a query", Ask { path: "/internal/v1/password?a=1", ..good() }),
    ];
    for (what, forgery) in forgeries {
        let answer = forgery.send().await;
        assert_eq!((answer.status, &answer.body), (401, &Refusal::unsigned().body), "{what}");
    }
    for method in [Method::POST, Method::GET, Method::OPTIONS] {
        let answer = scene.anonymous(method, PATH, None).await.expect(401);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    Ask { body: "{}".into(), ..good() }.send().await.expect(400);
    assert!(scene.knows(ada, &password).await);
}

#[tokio::test]
async fn what_strangers_guess_is_hashed_in_a_share_of_their_own() {
    let scene = Scene::new().await;
    let (encoded, password) = cheap();
    let bob = scene.foreigner("bob", &encoded).await;
    let numbers = Numbers::new();
    let _kept = numbers.keep();
    assert_eq!(scene.guess().await, 200);
    assert!(scene.knows(bob, &password).await);
    // One check each, and the hash that takes the foreign one's place.
    assert_eq!((numbers.asked_for("passwords"), numbers.asked_for("strangers_passwords")), (0, 3));
}

#[tokio::test]
async fn twenty_checks_an_hour_and_then_nobody_is_there() {
    let scene = Scene::new().await;
    let (encoded, password) = cheap();
    let (ada, bob) = (scene.foreigner("ada", &encoded).await, scene.foreigner("bob", &encoded).await);
    // At once: the ceiling is one statement.
    let wrong = join_all((0..21).map(|_| scene.knows(ada, "wrong"))).await;
    assert!(wrong.iter().all(|matched| !matched));
    assert!(!scene.knows(ada, &password).await);
    assert!(scene.knows(bob, &password).await);
    scene.control.clock.advance(TimeDelta::seconds(3400));
    assert!(!scene.knows(ada, &password).await);
    scene.control.clock.advance(TimeDelta::seconds(201));
    assert!(scene.knows(ada, &password).await);
}

#[tokio::test]
async fn who_may_not_sign_in_keeps_the_old_hash() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let (encoded, password) = cheap();
    for status in ["suspended", "inactive"] {
        let user = scene.foreigner(status, &encoded).await;
        let path = format!("/api/user/users/{user}/");
        root.patch(&path, json!({"status": status})).await.expect(200);
        assert!(!scene.knows(user, &password).await);
        assert_eq!(scene.foreign_at_edge(user).await, (true, true));
        root.patch(&path, json!({"status": "active"})).await.expect(200);
        assert!(scene.knows(user, &password).await);
    }
}

#[tokio::test]
async fn many_at_once_are_one_replacement() {
    let scene = Scene::new().await;
    let (encoded, password) = cheap();
    let ada = scene.foreigner("ada", &encoded).await;
    let matched = join_all((0..8).map(|_| scene.knows(ada, &password))).await;
    assert_eq!(matched, [true; 8]);
    assert_eq!(scene.count_logged("user.password_taken_over").await, 1);
}

#[tokio::test]
async fn a_password_set_meanwhile_wins() {
    let scene = Scene::new().await;
    let (encoded, password) = cheap();
    let ada = scene.foreigner("ada", &encoded).await;
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let hashed = Successor::of(&scene.control.hasher, scene.tenant.id, PASSWORD).await.unwrap();
    let change = Change { password: Some(hashed), ..Change::default() };
    let actor = control::audit::Actor::operator();
    users::change(&scene.control, &mut tx, &actor, ada, change).await.unwrap();
    // The row is changed and not committed: the check reads the old hash, matches, and waits.
    let (matched, ()) = tokio::join!(scene.knows(ada, &password), async {
        let mut admin = scene.database.admin().await;
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'
                and query like '%from users%for no key update%'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut admin).await.unwrap() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        tx.commit().await.unwrap();
    });
    assert!(!matched);
    assert!(scene.knows(ada, PASSWORD).await);
    assert!(!scene.knows(ada, &password).await);
}

#[tokio::test]
async fn the_flag_falls_with_the_last_one_however_it_goes() {
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    let (encoded, password) = cheap();
    // A password set, a user deleted, a sign-in.
    for (round, way) in ["set", "deleted", "signed in"].into_iter().enumerate() {
        let user = scene.foreigner(&format!("u{round}"), &encoded).await;
        assert_eq!(scene.foreign_at_edge(user).await, (true, true), "{way}");
        match way {
            "set" => scene.set_password(user, PASSWORD).await,
            "deleted" => {
                root.delete(&format!("/api/user/users/{user}/")).await.expect(204);
            }
            _ => assert!(scene.knows(user, &password).await),
        }
        scene.push().await;
        assert!(scene.edge.state().documents[&scene.tenant.id].foreign.is_none(), "{way}");
    }
    // Two last ones at once, and one that comes while the last one goes.
    for round in 0..10 {
        let (one, two) = (format!("a{round}"), format!("b{round}"));
        let (one, two) = (scene.foreigner(&one, &encoded).await, scene.foreigner(&two, &encoded).await);
        let (first, second) = tokio::join!(scene.knows(one, &password), scene.knows(two, &password));
        assert!(first && second);
        scene.push().await;
        assert!(scene.edge.state().documents[&scene.tenant.id].foreign.is_none(), "round {round}");
        let last = scene.foreigner(&format!("c{round}"), &encoded).await;
        let name = format!("d{round}");
        let (_, new) = tokio::join!(scene.knows(last, &password), scene.foreigner(&name, &encoded));
        assert_eq!(scene.foreign_at_edge(new).await, (true, true), "round {round}");
        scene.set_password(new, PASSWORD).await;
    }
}

#[tokio::test]
async fn two_last_ones_wait_for_each_other() {
    let scene = Scene::alone().await;
    let (encoded, _) = cheap();
    let (ada, bob) = (scene.foreigner("ada", &encoded).await, scene.foreigner("bob", &encoded).await);
    let going = async |user: UserId| {
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        sqlx::query("update users set foreign_hash = null, foreign_format = null where id = $1")
            .bind(user.uuid())
            .execute(&mut *tx)
            .await
            .unwrap();
        tx
    };
    let (mut first, mut second) = (going(ada).await, going(bob).await);
    foreign_hashes_removed(&mut first).await.unwrap();
    // The second looks while the first has gone, but not yet for others to see.
    let looked = async {
        foreign_hashes_removed(&mut second).await.unwrap();
        second.commit().await.unwrap();
    };
    let seen = async {
        let mut admin = scene.database.admin().await;
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like '%no key update%'";
        for _ in 0..6000 {
            if sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut admin).await.unwrap() > 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        first.commit().await.unwrap();
    };
    tokio::join!(looked, seen);
    scene.push().await;
    assert!(scene.edge.state().documents[&scene.tenant.id].foreign.is_none());
}

#[tokio::test]
async fn after_the_date_the_rest_need_a_reset() {
    let scene = Scene::alone().await;
    let (encoded, password) = cheap();
    let ada = scene.foreigner("ada", &encoded).await;
    let until = scene.control.clock.now() + TimeDelta::seconds(60);
    let mut admin = scene.database.admin().await;
    sqlx::query("update platform.tenants set foreign_until = $2 where id = $1")
        .bind(scene.tenant.id.uuid())
        .bind(until)
        .execute(&mut admin)
        .await
        .unwrap();
    sweep(&scene.control).await.unwrap();
    assert_eq!(scene.foreign_at_edge(ada).await, (true, true));
    scene.control.clock.advance(TimeDelta::seconds(61));
    assert!(!scene.knows(ada, &password).await);
    sweep(&scene.control).await.unwrap();
    assert_eq!(scene.foreign_at_edge(ada).await, (false, false));
    assert!(scene.edge.user(scene.tenant.id, ada).unwrap().verifier.is_none());
}

#[tokio::test]
async fn editing_names_leaves_the_old_services_ids_alone() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    for kind in ["legacy_user", "legacy_token"] {
        sqlx::query(
            "insert into identifiers (tenant_id, hash, user_id, kind, version) values ($1, $2, $3, $4, 1)",
        )
        .bind(scene.tenant.id.uuid())
        .bind(format!("hash of {kind}"))
        .bind(ada.id.uuid())
        .bind(kind)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let change = Change { username: Some("lovelace".into()), ..Change::default() };
    let actor = control::audit::Actor::operator();
    users::change(&scene.control, &mut tx, &actor, ada.id, change).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from identifiers where user_id = $1")
        .bind(ada.id.uuid())
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(left, 3);
}
