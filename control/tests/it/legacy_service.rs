//! The legacy service: a database of its own, which Django made.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::scene::Database;

pub struct LegacyService {
    database: Database,
}

impl LegacyService {
    /// With Django's tables.
    pub async fn new() -> Self {
        let old = Self { database: Database::empty().await };
        old.python(&["migrate"], None);
        old
    }

    /// With these users.
    pub async fn of(users: Value) -> Self {
        let old = Self::new().await;
        old.load(&users);
        old
    }

    pub fn url(&self) -> String {
        self.database.admin_url()
    }

    /// Makes users, or changes them, as Django does.
    pub fn load(&self, users: &Value) {
        self.python(&["load"], Some(users));
    }

    /// The same in a schema of their own.
    pub async fn schema(&self, name: &str, users: &Value) {
        self.sql(&format!("create schema {name}")).await;
        self.python(&["migrate", name], None);
        self.python(&["load", name], Some(users));
    }

    pub fn dump(&self, file: &Path, form: &str) {
        self.python(&["dump", file.to_str().unwrap(), form], None);
    }

    pub async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn python(&self, arguments: &[&str], input: Option<&Value>) {
        let python = std::env::var_os("WARDGATE_TEST_PYTHON").expect(
            "WARDGATE_TEST_PYTHON is not set: it names a Python with tests/clients/python/requirements.txt",
        );
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/python");
        let mut child = Command::new(python)
            .arg(folder.join("legacy_service.py"))
            .args(arguments)
            .env("LEGACY_SERVICE_DATABASE_URL", self.url())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("PYTHONPATH")
            .env_remove("DJANGO_SETTINGS_MODULE")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let text = input.map(Value::to_string).unwrap_or_default();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
