//! Users of a Django service come here: from a database that Django itself made, and from its dump.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::tenant::settings::Cookies;
use shared::tokens::claims::UserIdForm;

use crate::cli::{Cli, Outcome};
use crate::legacy_service::LegacyService;
use crate::scene::Scene;

const PASSWORD: &str = "Corr3ct-horse";

impl Scene {
    /// The command line of this stage.
    pub fn cli(&self) -> Cli {
        Cli { variables: self.database.variables(&self.edge.url) }
    }

    /// `wardgate import django` into this tenant.
    pub fn import(&self, arguments: &[&str]) -> Outcome {
        let slug = self.tenant.slug.to_string();
        let all = ["import", "django", "--tenant", &slug];
        self.cli().run(&[&all, arguments].concat(), "")
    }

    pub fn import_from(&self, old: &LegacyService, arguments: &[&str]) -> Outcome {
        self.import(&[&["--database-url", &old.url()], arguments].concat())
    }

    /// All users by user name, as the API shows them, with the legacy service's id.
    pub async fn everybody(&self) -> HashMap<String, Value> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let rows: Vec<(Value,)> = sqlx::query_as(
            r#"select jsonb_build_object(
                'id', id, 'status', status, 'date_joined', to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS'),
                'last_login', to_char(last_login at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS'),
                'legacy_id', legacy_id, 'foreign', foreign_format, 'verifier', wrapped_verifier is not null,
                'roles', (
                    select coalesce(jsonb_agg(role order by role), '[]') from user_roles r
                    where r.user_id = u.id and r.created_at = u.created_at
                )
            ) from users u"#,
        )
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        let mut everybody = HashMap::new();
        for (mut row,) in rows {
            let id = UserId::parse(row["id"].as_str().unwrap()).unwrap();
            let user = control::users::find(&mut tx, id).await.unwrap();
            let username = user.username.expose().to_owned();
            row["username"] = json!(username);
            row["mfa_enabled"] = json!(user.mfa_enabled);
            row["email"] = json!(user.email.as_ref().map(|email| email.expose()));
            row["first_name"] = json!(user.first_name.expose());
            row["last_name"] = json!(user.last_name.expose());
            everybody.insert(username, row);
        }
        everybody
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap()
    }
}

pub fn report(outcome: &Outcome) -> &Value {
    &outcome.json["report"]
}

/// How many are read, new, changed, unchanged, kept, refused.
pub fn counts(outcome: &Outcome) -> [u64; 6] {
    let report = report(outcome);
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"));
    let refused = report["refused"].as_array().unwrap().len() as u64;
    [number("read"), number("new"), number("changed"), number("unchanged"), number("kept"), refused]
}

/// Of who does not come: id and column, in order.
fn refused(outcome: &Outcome) -> Vec<(String, String)> {
    let all = report(outcome)["refused"].as_array().unwrap();
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let mut all: Vec<_> = all.iter().map(|it| (text(&it["id"]), text(&it["column"]))).collect();
    all.sort();
    all
}

fn id(user: &Value) -> shared::ids::UserId {
    shared::ids::UserId::parse(user["id"].as_str().unwrap()).unwrap()
}

/// A user of every kind.
fn users() -> Value {
    let hashers = ["pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "bcrypt", "scrypt", "md5"];
    let mut users: Vec<Value> = hashers
        .iter()
        .map(|hasher| json!({"username": hasher, "password": PASSWORD, "hasher": hasher}))
        .collect();
    users.extend([
        json!({"username": "Ada", "email": "Ada@Acme.test", "first_name": "Ada", "last_name": "Lovelace",
            "password": PASSWORD, "is_superuser": true, "is_staff": true,
            "date_joined": "2019-01-02T03:04:05.678000Z", "last_login": "2025-06-07T08:09:10Z"}),
        json!({"username": "bob", "password": PASSWORD, "is_staff": true, "groups": ["editors", "beta"]}),
        json!({"username": "cyd", "password": PASSWORD, "is_active": false, "groups": ["beta"]}),
        json!({"username": "dan", "password": null}),
        json!({"username": "eve", "password": PASSWORD, "devices": [true, false]}),
        json!({"username": "fay", "password": PASSWORD, "devices": [false]}),
    ]);
    Value::Array(users)
}

const ROLES: [&str; 4] = ["--role", "editors=co-admin", "--role", "beta="];

#[tokio::test]
async fn users_of_a_real_django_database_come() {
    let scene = Scene::alone().await;
    let old = LegacyService::of(users()).await;
    let came = scene.import_from(&old, &ROLES).expect(0);
    assert_eq!(counts(&came), [13, 13, 0, 0, 0, 0]);
    let said = report(&came);
    assert_eq!(said["roles"], json!({"client": 11, "co-admin": 1, "root-admin": 1, "staff": 1}));
    assert_eq!(
        said["without_password"],
        json!({"the algorithm is not supported": 1, "none is set there": 1})
    );
    assert_eq!(said["passwords"]["scrypt$8$8$1"], 1, "{said}");
    assert_eq!((&said["with_totp"], &said["totp_people"]), (&json!(1), &json!("pending")));
    assert_eq!((&said["authenticators"], &said["without_authenticator"]), (&json!(1), &json!(0)));

    let here = scene.everybody().await;
    let ada = &here["Ada"];
    assert_eq!(ada["email"], "Ada@Acme.test");
    assert_eq!((&ada["first_name"], &ada["last_name"]), (&json!("Ada"), &json!("Lovelace")));
    assert!(ada["date_joined"].as_str().unwrap().starts_with("2019-01-02T03:04:05.678"), "{ada}");
    assert!(ada["last_login"].as_str().unwrap().starts_with("2025-06-07T08:09:10"), "{ada}");
    assert_eq!(ada["roles"], json!(["root-admin"]));
    assert_eq!(here["bob"]["roles"], json!(["co-admin", "staff"]));
    assert_eq!(here["cyd"]["roles"], json!(["client"]));
    let statuses = ["cyd", "dan", "eve", "fay"].map(|name| here[name]["status"].as_str().unwrap().to_owned());
    assert_eq!(statuses, ["inactive", "active", "active", "active"]);
    assert_eq!((&here["eve"]["mfa_enabled"], &here["fay"]["mfa_enabled"]), (&json!(true), &json!(false)));
    assert_eq!(scene.number("select count(*) from legacy_totp where wrapped is null").await, 1);

    // The edge has them, as ever by the pusher.
    scene.push().await;
    let (users_there, identifiers) = scene.edge.counts(scene.tenant.id);
    assert_eq!((users_there, identifiers), (13, 13 + 1 + 13));
    let row = scene.edge.user(scene.tenant.id, id(ada)).unwrap();
    assert_eq!(
        (row.foreign, row.legacy_id, row.verifier),
        (true, ada["legacy_id"].as_str().map(Into::into), None)
    );
    assert!(!scene.edge.user(scene.tenant.id, id(&here["md5"])).unwrap().foreign);
    {
        let state = scene.edge.state();
        let document = &state.documents[&scene.tenant.id];
        assert_eq!((document.user_id, document.settings.cookies), (UserIdForm::Integer, Cookies::Plain));
        assert_eq!(document.settings.min_password_length, 8);
        assert!(document.foreign.is_some());
    }
    for (name, gets_in) in [
        ("Ada", true),
        ("bcrypt", true),
        ("argon2", true),
        ("md5", false),
        ("dan", false),
        ("cyd", false),
        // The edge asks for a code next.
        ("eve", true),
    ] {
        assert_eq!(scene.knows(id(&here[name]), PASSWORD).await, gets_in, "{name}");
    }
    let logged = scene.logged().await;
    assert_eq!(logged.iter().filter(|it| *it == "user.imported").count(), 13);
    assert_eq!(logged.iter().filter(|it| *it == "tenant.imported").count(), 1);
}

#[tokio::test]
async fn the_same_twice_is_the_same_once_and_what_changed_there_follows() {
    let scene = Scene::alone().await;
    let old = LegacyService::of(users()).await;
    scene.import_from(&old, &ROLES).expect(0);
    let first = scene.everybody().await;
    let again = scene.import_from(&old, &ROLES).expect(0);
    assert_eq!(counts(&again), [13, 0, 0, 13, 0, 0]);
    assert_eq!(scene.everybody().await, first);

    // Bob changes there, cyd there and here, Ada here alone; pbkdf2_sha1's owner has signed in here.
    assert!(scene.knows(id(&first["pbkdf2_sha1"]), PASSWORD).await);
    let root = scene.acting_as(&scene.user(id(&first["Ada"])).await).await;
    root.patch(&format!("/api/user/users/{}/", id(&first["cyd"])), json!({"first_name": "Cyd"}))
        .await
        .expect(200);
    root.patch(&format!("/api/user/users/{}/", id(&first["Ada"])), json!({"first_name": "A."}))
        .await
        .expect(200);
    let before = scene.user(id(&first["bob"])).await;
    old.load(&json!([
        {"username": "bob", "email": "bob@acme.test", "password": "An0ther-horse", "is_staff": true, "groups": ["beta"]},
        {"username": "cyd", "last_name": "Charisse", "password": PASSWORD, "is_active": false, "groups": ["beta"]},
        {"username": "new", "password": PASSWORD},
    ]));
    old.sql("update auth_user set last_login = '2026-01-01T00:00:00Z' where username = 'fay'").await;
    let third = scene.import_from(&old, &ROLES).expect(0);
    assert_eq!(counts(&third), [14, 1, 1, 11, 1, 0]);
    let here = scene.everybody().await;
    assert_eq!((&here["bob"]["email"], &here["bob"]["roles"]), (&json!("bob@acme.test"), &json!(["staff"])));
    let bob = scene.user(id(&here["bob"])).await;
    assert!(bob.session_epoch > before.session_epoch && bob.password_epoch > before.password_epoch);
    assert!(!scene.knows(bob.id, PASSWORD).await);
    assert!(scene.knows(bob.id, "An0ther-horse").await);
    assert_eq!((&here["cyd"]["first_name"], &here["cyd"]["last_name"]), (&json!("Cyd"), &json!("")));
    assert_eq!(here["Ada"]["first_name"], "A.");
    assert!(here["fay"]["last_login"].as_str().unwrap().starts_with("2026-01-01"));
    // A user who has signed in here keeps the password that is hashed here.
    assert_eq!(
        (&here["pbkdf2_sha1"]["foreign"], &here["pbkdf2_sha1"]["verifier"]),
        (&json!(null), &json!(true))
    );
    // Settings that an administrator changed since are not set again.
    assert_eq!(counts(&scene.import_from(&old, &ROLES).expect(0)), [14, 0, 0, 13, 1, 0]);
}

#[tokio::test]
async fn a_check_writes_nothing_and_names_who_would_not_come() {
    let scene = Scene::alone().await;
    let taken = scene.member("taken", "client").await;
    let old = LegacyService::of(json!([
        {"id": 1, "username": "ada", "password": PASSWORD},
        {"id": 2, "username": "a b", "password": PASSWORD},
        {"id": 3, "username": "cyd", "email": "bad", "password": PASSWORD},
        {"id": 4, "username": "Taken", "password": PASSWORD},
        {"id": 5, "username": "eve", "email": "same@acme.test", "password": PASSWORD},
        {"id": 6, "username": "fay", "email": "Same@ACME.test", "password": PASSWORD},
        {"id": 7, "username": "gus@acme.test", "password": PASSWORD},
        {"id": 8, "username": "hal", "email": "gus@acme.test", "password": PASSWORD},
        {"id": 9, "username": "ida", "first_name": "a\u{1}b", "password": PASSWORD, "groups": ["lost"]},
    ]))
    .await;
    let logged = scene.logged().await;
    let checked = scene.import_from(&old, &["--check"]).expect(5);
    assert_eq!(counts(&checked), [9, 1, 0, 0, 0, 8]);
    let expected = [
        ("2", "username"),
        ("3", "email"),
        ("4", "username"),
        ("5", "email"),
        ("6", "email"),
        ("7", "username"),
        ("8", "email"),
        ("9", "first_name"),
    ];
    assert_eq!(refused(&checked), expected.map(|(id, column)| (id.to_owned(), column.to_owned())));
    // By id and reason: no name, no address, no hash.
    let text = checked.json.to_string();
    for personal in ["same@acme", "Same@", "gus", "cyd", "pbkdf2_sha256$20000$"] {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
    let reason = |of: &str| {
        let all = report(&checked)["refused"].as_array().unwrap();
        all.iter().find(|it| it["id"] == of).unwrap()["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason("5"), "is also the email of 6: neither comes");
    assert_eq!(reason("7"), "is also the email of 8: neither comes");
    assert_eq!(reason("8"), "is also the username of 7: neither comes");
    assert_eq!(reason("4"), format!("belongs to the person {} here", taken.id));
    assert_eq!(scene.everybody().await.len(), 1);
    assert_eq!(scene.logged().await, logged);
    let tenant = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    drop(tenant);

    // Without --check the others are imported, and the refused ones are still reported.
    let came = scene.import_from(&old, &[]).expect(5);
    assert_eq!((counts(&came), refused(&came)), (counts(&checked), refused(&checked)));
    assert_eq!(scene.everybody().await.len(), 2);
}

#[tokio::test]
async fn groups_that_nobody_mapped_stop_everything() {
    let scene = Scene::alone().await;
    let old = LegacyService::of(users()).await;
    for arguments in [&[][..], &["--check"], &["--role", "editors=staff"]] {
        let stopped = scene.import_from(&old, arguments).expect(5);
        assert_eq!(report(&stopped)["unmapped"]["beta"], 2, "{arguments:?}");
        assert_eq!(scene.everybody().await.len(), 0);
    }
    let unknown = scene.import_from(&old, &["--role", "editors=king", "--role", "beta="]).expect(5);
    assert!(unknown.stderr.contains("no role `king`"), "{}", unknown.stderr);
    let active = scene.import_from(&old, &[&ROLES[..], &["--totp-people", "active"]].concat()).expect(0);
    assert_eq!(report(&active)["totp_people"], "active");
    assert_eq!(scene.everybody().await["eve"]["status"], "active");
}

#[tokio::test]
async fn a_dump_brings_the_same_users_as_the_database() {
    let (by_url, by_json, by_lines) = (Scene::alone().await, Scene::alone().await, Scene::alone().await);
    let old = LegacyService::of(users()).await;
    let file = |form: &str| -> PathBuf {
        let random: [u8; 8] = control::world::random().unwrap();
        std::env::temp_dir().join(format!("wardgate-{}.{form}", u64::from_le_bytes(random)))
    };
    let (json_file, lines_file) = (file("json"), file("jsonl"));
    old.dump(&json_file, "json");
    old.dump(&lines_file, "jsonl");
    let from_url = by_url.import_from(&old, &ROLES).expect(0);
    let from_json =
        by_json.import(&[&["--dump", json_file.to_str().unwrap()], &ROLES[..]].concat()).expect(0);
    // An operator who began with the database still has it in the environment.
    let mut cli = by_lines.cli();
    cli.variables.insert("WARDGATE_IMPORT_DATABASE_URL", "postgres://nowhere.invalid/app".to_owned());
    cli.variables.insert("WARDGATE_TENANT", by_lines.tenant.slug.to_string());
    let arguments = ["import", "django", "--dump", lines_file.to_str().unwrap()];
    let from_lines = cli.run(&[&arguments, &ROLES[..]].concat(), "").expect(0);
    assert_eq!(report(&from_url), report(&from_json));
    assert_eq!(report(&from_url), report(&from_lines));
    let plain = |mut all: HashMap<String, Value>| {
        for user in all.values_mut() {
            user["id"] = Value::Null;
        }
        all
    };
    let expected = plain(by_url.everybody().await);
    assert_eq!(plain(by_json.everybody().await), expected);
    assert_eq!(plain(by_lines.everybody().await), expected);
    assert_eq!(by_lines.number("select count(*) from legacy_totp").await, 1);
    // Once more from the database: no user has changed.
    assert_eq!(counts(&by_json.import_from(&old, &ROLES).expect(0)), [13, 0, 0, 13, 0, 0]);

    let half = std::fs::read_to_string(&json_file).unwrap();
    std::fs::write(&json_file, &half[..half.len() - 100]).unwrap();
    let cut = Scene::alone().await;
    let failed = cut.import(&[&["--dump", json_file.to_str().unwrap()], &ROLES[..]].concat()).expect(1);
    assert!(failed.stderr.contains("line"), "{}", failed.stderr);
    assert_eq!(cut.everybody().await.len(), 0);
    for file in [json_file, lines_file] {
        std::fs::remove_file(file).unwrap();
    }
}

#[tokio::test]
async fn a_table_of_ones_own_and_a_role_column() {
    let scene = Scene::alone().await;
    let old = LegacyService::of(json!([{"username": "ada", "password": PASSWORD}])).await;
    old.sql(
        "create table accounts_person (
            key uuid primary key, login text, mail text, password text, kind text, enabled smallint
        );
        insert into accounts_person
        select gen_random_uuid(), username, 'ada@acme.test', password, 'boss', 1 from auth_user;
        insert into accounts_person
        select gen_random_uuid(), 'bob', null, password, 'guest', 0 from auth_user",
    )
    .await;
    let table = ["--user-table", "accounts_person", "--role-column", "kind"];
    let wrong = scene.import_from(&old, &table).expect(1);
    assert!(wrong.stderr.contains("--column id=NAME, of key, login, mail"), "{}", wrong.stderr);
    let columns = [
        "--column",
        "id=key",
        "--column",
        "username=login",
        "--column",
        "email=mail",
        "--column",
        "is_active=enabled",
    ];
    let unmapped =
        scene.import_from(&old, &[&table[..], &columns, &["--role", "boss=root-admin"]].concat()).expect(5);
    assert_eq!(report(&unmapped)["unmapped"], json!({"guest": 1}));
    let roles = ["--role", "boss=root-admin", "--role", "guest="];
    scene.import_from(&old, &[&table[..], &columns, &roles].concat()).expect(0);
    let here = scene.everybody().await;
    assert_eq!(
        (&here["ada"]["roles"], &here["ada"]["email"]),
        (&json!(["root-admin"]), &json!("ada@acme.test"))
    );
    assert_eq!((&here["bob"]["roles"], &here["bob"]["status"]), (&json!(["client"]), &json!("inactive")));
    assert!(scene.knows(id(&here["ada"]), PASSWORD).await);
    // Ids that are not numbers are kept as text, and users that are created here have none.
    scene.push().await;
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].user_id, UserIdForm::String);
    scene.member("new", "client").await;
    assert_eq!(scene.everybody().await["new"]["legacy_id"], Value::Null);
    // The form is settled: a later import does not change it in passing.
    let other = ["--user-id", "integer"];
    let refused = scene.import_from(&old, &[&table[..], &columns, &roles, &other].concat()).expect(5);
    assert!(refused.stderr.contains("wardgate tenant set-user-id"), "{}", refused.stderr);
    scene.import_from(&old, &[&table[..], &columns, &roles, &["--user-id", "string"]].concat()).expect(0);
}

#[tokio::test]
async fn every_schema_comes_to_its_own_tenant() {
    let acme = Scene::alone().await;
    let other = crate::scene::new_tenant(&acme.control, control::tenants::Isolation::Shared).await;
    let old = LegacyService::new().await;
    old.schema("acme", &json!([{"id": 1, "username": "ada", "password": PASSWORD}])).await;
    old.schema("initech", &json!([{"id": 1, "username": "bob", "password": PASSWORD}])).await;
    let (one, two) = (format!("acme={}", acme.tenant.slug), format!("initech={}", other.slug));
    let arguments =
        ["import", "django", "--database-url", &old.url(), "--map-schema", &one, "--map-schema", &two];
    let mut cli = acme.cli();
    cli.variables.insert("WARDGATE_TENANT", "platform".to_owned());
    cli.run(&arguments, "").expect(0);
    let initech = Scene { tenant: other, ..acme };
    assert_eq!(initech.everybody().await.keys().collect::<Vec<_>>(), ["bob"]);
}

#[tokio::test]
async fn numbers_go_on_above_the_greatest_that_came() {
    let scene = Scene::alone().await;
    let old = LegacyService::of(json!([
        {"id": 7, "username": "ada", "password": PASSWORD},
        {"id": 41, "username": "bob", "password": PASSWORD},
    ]))
    .await;
    scene.import_from(&old, &[]).expect(0);
    let made = futures::future::join_all((0..8).map(|at| {
        let scene = &scene;
        async move { scene.member(&format!("new{at}"), "client").await }
    }))
    .await;
    let here = scene.everybody().await;
    let mut given: Vec<u64> =
        (0..8).map(|at| here[&format!("new{at}")]["legacy_id"].as_str().unwrap().parse().unwrap()).collect();
    given.sort_unstable();
    assert_eq!(given, (42..50).collect::<Vec<_>>());
    scene.push().await;
    let row = scene.edge.user(scene.tenant.id, made[0].id).unwrap();
    assert!(row.legacy_id.is_some());
    // A number that was assigned here is not that of another imported user.
    old.load(&json!([{"id": 42, "username": "late", "password": PASSWORD}, {"id": 60, "username": "later", "password": PASSWORD}]));
    let late = scene.import_from(&old, &[]).expect(5);
    assert_eq!(refused(&late), [("42".to_owned(), "id".to_owned())]);
    scene.member("last", "client").await;
    assert_eq!(scene.everybody().await["last"]["legacy_id"], "61");
}
