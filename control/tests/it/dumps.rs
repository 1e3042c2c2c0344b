//! Malformed and malicious dumps: they cause no harm.

use std::collections::BTreeMap;

use control::legacy::import::dump::Dump;
use control::legacy::import::found::Columns;
use control::legacy::import::moment::Zone;
use control::legacy::import::{self, Mapping, Options, Source};
use serde_json::{Value, json};
use shared::user::UserStatus;

use crate::cli::Outcome;
use crate::scene::{Database, Scene};

/// By Django, of `Corr3ct-horse`, with cheap parameters.
const PASSWORDS: &str = include_str!("../../../foreign/vectors/django_passwords.json");

fn hash() -> String {
    let all: Vec<Value> = serde_json::from_str(PASSWORDS).unwrap();
    all.iter().find(|it| it["hasher"] == "pbkdf2_sha256").unwrap()["encoded"].as_str().unwrap().into()
}

fn user(id: &Value, username: &str, password: &str) -> Value {
    json!({"model": "auth.user", "pk": id, "fields": {"username": username, "password": password}})
}

/// A user of a dump with a password of the legacy service.
pub fn foreign_user(id: &Value, username: &str) -> Value {
    user(id, username, &hash())
}

impl Scene {
    pub fn import_dump(&self, users: &[Value]) -> Outcome {
        self.import_file(Value::from(users).to_string().as_bytes(), &[])
    }

    /// Imports what a file of these bytes has.
    fn import_file(&self, bytes: &[u8], more: &[&str]) -> Outcome {
        let random: [u8; 8] = control::world::random().unwrap();
        let file = std::env::temp_dir().join(format!("wardgate-{}.json", u64::from_le_bytes(random)));
        std::fs::write(&file, bytes).unwrap();
        let outcome = self.import(&[&["--dump", file.to_str().unwrap()], more].concat());
        std::fs::remove_file(file).unwrap();
        outcome
    }
}

#[tokio::test]
async fn who_was_deleted_here_does_not_come_back() {
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    let dump = [user(&json!(1), "ada", &hash()), user(&json!(2), "bob", &hash())];
    scene.import_dump(&dump).expect(0);
    let bob = scene.everybody().await["bob"]["id"].as_str().unwrap().to_owned();
    root.delete(&format!("/api/user/users/{bob}/")).await.expect(204);
    let again = scene.import_dump(&dump).expect(5);
    let said = again.json["report"]["refused"].clone();
    assert_eq!(said, json!([{"id": "2", "column": "id", "reason": "was deleted here"}]));
    assert!(!scene.everybody().await.contains_key("bob"));
}

#[tokio::test]
async fn a_source_without_users_settles_nothing() {
    let scene = Scene::alone().await;
    let other = json!({"model": "accounts.person", "pk": 1, "fields": {"username": "ada"}});
    let refused = scene.import_dump(&[other]).expect(5);
    assert!(refused.stderr.contains("the source has no users"), "{}", refused.stderr);
    assert!(refused.stderr.contains("accounts.person (1)"), "{}", refused.stderr);
    scene.import_dump(&[user(&json!(1), "ada", &hash())]).expect(0);
    let tenant = scene.cli().run(&["tenant", "show", scene.tenant.slug.as_str()], "").expect(0).json;
    assert_eq!(tenant["user_id"], "integer");
}

#[tokio::test]
async fn an_id_beyond_all_numbers_leaves_room_for_others() {
    let scene = Scene::alone().await;
    let greatest = [user(&json!(1), "ada", &hash()), user(&json!(i64::MAX), "bob", &hash())];
    scene.import_dump(&greatest).expect(0);
    scene.member("new", "client").await;
    assert_eq!(scene.everybody().await["new"]["legacy_id"], Value::Null);
}

#[tokio::test]
async fn passwords_of_too_many_kinds_stop_everything() {
    let scene = Scene::alone().await;
    let argon2 = |kib| {
        let (salt, tag) = ("V2ZtZG9OenhaTHBiSlQyQWtLZkR4YQ", "bYuhlFBWYkA+4svntYc2/FsfasxgWBT/kbefGzre+gg");
        format!("argon2$argon2id$v=19$m={kib},t=1,p=1${salt}${tag}")
    };
    let users: Vec<_> = (0..9).map(|at| user(&json!(at + 1), &format!("p{at}"), &argon2(64 + at))).collect();
    let stopped = scene.import_dump(&users).expect(5);
    assert!(stopped.stderr.contains("9 sets of parameters of 9 kinds"), "{}", stopped.stderr);
    assert_eq!(scene.everybody().await.len(), 0);
    scene.import_dump(&users[..8]).expect(0);
    assert_eq!(scene.everybody().await.len(), 8);
}

#[tokio::test]
async fn times_without_a_zone_are_said_and_read_by_the_one_that_is_named() {
    let times = |id: u32, name: &str, joined: &str, login: Value| {
        json!({"model": "auth.user", "pk": id, "fields": {
            "username": name, "password": "!", "date_joined": joined, "last_login": login}})
    };
    let dump = [
        times(1, "ada", "2019-07-02T03:04:05.678", json!("2019-07-02T03:04:05Z")),
        times(2, "bob", "2019-10-27T02:30:00", json!("2019-03-31T02:30:00")),
        times(3, "cyd", "2019-01-02T03:04:05+01:00", Value::Null),
    ];
    let file = Value::from(&dump[..]).to_string();
    let scene = Scene::alone().await;
    let checked = scene.import_file(file.as_bytes(), &["--check"]).expect(0).json["report"].clone();
    assert_eq!((&checked["time_zone"], &checked["local_times"]), (&json!("UTC"), &json!(3)));
    assert_eq!(checked["unclear_times"], json!([]));
    let berlin = ["--time-zone", "Europe/Berlin"];
    let came = scene.import_file(file.as_bytes(), &berlin).expect(0).json["report"].clone();
    assert_eq!((&came["time_zone"], &came["local_times"]), (&json!("Europe/Berlin"), &json!(3)));
    let (twice, never) = (
        "occurs twice there, when the clock was set back: read as the first",
        "does not occur there, when the clock was set forward: read as if it had not been",
    );
    assert_eq!(
        came["unclear_times"],
        json!([
            {"id": "2", "column": "date_joined", "reason": twice},
            {"id": "2", "column": "last_login", "reason": never},
        ])
    );
    let here = scene.everybody().await;
    let moment = |name: &str, field: &str| here[name][field].as_str().unwrap().to_owned();
    assert_eq!(moment("ada", "date_joined"), "2019-07-02T01:04:05.678");
    assert_eq!(moment("ada", "last_login"), "2019-07-02T03:04:05.000");
    assert_eq!(moment("bob", "date_joined"), "2019-10-27T00:30:00.000");
    assert_eq!(moment("bob", "last_login"), "2019-03-31T01:30:00.000");
    assert_eq!(moment("cyd", "date_joined"), "2019-01-02T02:04:05.000");
    let unknown = scene.import_file(file.as_bytes(), &["--time-zone", "Europe/Berlim"]).expect(2);
    assert!(unknown.stderr.contains("did you mean Europe/Berlin?"), "{}", unknown.stderr);
}

#[tokio::test]
async fn times_of_a_database_have_a_zone_if_its_columns_have() {
    let scene = Scene::alone().await;
    let old = Database::empty().await;
    let sql = "create table auth_user (
            id integer, username text, password text, date_joined timestamp, last_login timestamptz
        );
        insert into auth_user values
            (1, 'ada', '!', '2019-07-02 03:04:05.678', '2019-07-02 03:04:05+00'),
            (2, 'bob', '!', '2019-10-27 02:30:00', null)";
    sqlx::raw_sql(sql).execute(&mut old.admin().await).await.unwrap();
    let url = old.admin_url();
    let came = scene.import(&["--database-url", &url, "--time-zone", "Europe/Berlin"]).expect(0);
    let report = &came.json["report"];
    assert_eq!((&report["local_times"], &report["unclear_times"][0]["id"]), (&json!(2), &json!("2")));
    let here = scene.everybody().await;
    assert_eq!(here["ada"]["date_joined"], "2019-07-02T01:04:05.678");
    assert_eq!(here["ada"]["last_login"], "2019-07-02T03:04:05.000");
    assert_eq!(here["bob"]["date_joined"], "2019-10-27T00:30:00.000");
    let wrong = scene.import(&["--database-url", &url, "--user-table", "people"]).expect(1);
    assert!(wrong.stderr.contains("With a column `password` there are auth_user"), "{}", wrong.stderr);
}

#[tokio::test]
async fn what_is_no_dump_is_told_what_it_is() {
    let scene = Scene::alone().await;
    let users = Value::from(vec![user(&json!(1), "ada", "!")]).to_string();
    let mark = [0xef, 0xbb, 0xbf];
    scene.import_file(&[&mark[..], users.as_bytes()].concat(), &["--check"]).expect(0);
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(users.bytes().flat_map(|byte| [byte, 0])).collect();
    for (bytes, said) in [
        (&utf16[..], "UTF-16"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gunzip -c"),
        (b"<?xml version=\"1.0\"?><django-objects/>", "XML"),
        (b"SQLite format 3\0\x10\0\x01", "SQLite"),
        (b"[{\"name\": \"ada\"}]", "not what `manage.py dumpdata` writes"),
        (
            b"[{\"model\": \"auth.user\", \"fields\": {\"username\": \"ada\", \"password\": \"!\"}}]",
            "--natural-primary",
        ),
    ] {
        let refused = scene.import_file(bytes, &[]).expect(1);
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    let mysql = scene.import(&["--database-url", "mysql://ada:s3cret@db/app"]).expect(1);
    assert!(mysql.stderr.contains("dumpdata") && !mysql.stderr.contains("s3cret"), "{}", mysql.stderr);
}

/// Reading a large service takes hours, during which its administrators continue to work.
#[tokio::test]
async fn what_was_set_while_an_import_read_stays() {
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    let options = Options {
        tenant: scene.tenant.clone(),
        mapping: Mapping {
            roles: BTreeMap::new(),
            superusers: None,
            staff: None,
            others: Some("client".into()),
            with_totp: UserStatus::Pending,
        },
        user_id: None,
        check: false,
    };
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    root.patch(&path, json!({"settings": {"access_ttl_secs": 600}})).await.expect(200);
    let file = std::env::temp_dir().join(format!("wardgate-{}.json", scene.tenant.id));
    std::fs::write(&file, Value::from(vec![user(&json!(1), "ada", &hash())]).to_string()).unwrap();
    let dump = Dump {
        file: file.clone(),
        user_model: "auth.user".into(),
        columns: Columns::default(),
        role_column: None,
        zone: Zone::default(),
    };
    import::run(&scene.control, Source::Dump(dump), &options).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let tenant = root.get(&path).await.expect(200).body;
    let settings = &tenant["settings"];
    assert_eq!(
        (&settings["access_ttl_secs"], &settings["cookies"], &tenant["user_id"]),
        (&json!(600), &json!("plain"), &json!("integer"))
    );
}
