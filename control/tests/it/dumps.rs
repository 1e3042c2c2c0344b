//! Dumps that nobody would like to import: what they cannot do here.

use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::scene::Scene;

/// By Django, of `Corr3ct-horse`, with cheap parameters.
const PASSWORDS: &str = include_str!("../../../foreign/vectors/django_passwords.json");

fn hash() -> String {
    let all: Vec<Value> = serde_json::from_str(PASSWORDS).unwrap();
    all.iter().find(|it| it["hasher"] == "pbkdf2_sha256").unwrap()["encoded"].as_str().unwrap().into()
}

fn user(id: &Value, username: &str, password: &str) -> Value {
    json!({"model": "auth.user", "pk": id, "fields": {"username": username, "password": password}})
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
    assert!(refused.stderr.contains("the source has nobody"), "{}", refused.stderr);
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
