//! The database of an old service, made by Django's own migrations and hashers.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::actors::Tenant;
use crate::database::Database;
use crate::environment;

/// A Django database.
pub struct Django {
    database: Database,
}

impl Django {
    /// One with these users: fields of `auth_user`, and `password` with the name of its `hasher`.
    ///
    /// # Panics
    /// Where Django does not make it.
    pub async fn of(users: &Value) -> Self {
        let django = Self { database: Database::create().await };
        django.run("migrate", "");
        django.run("load", &users.to_string());
        django
    }

    fn run(&self, command: &str, input: &str) {
        let mut python = environment::python("legacy_service.py");
        python.arg(command).env("LEGACY_SERVICE_DATABASE_URL", self.database.admin_url());
        let mut child = python.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("Python");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("its standard input");
        let done = child.wait_with_output().expect("its end");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Tenant<'_> {
    /// Imports all users of a Django database, waits until the edge has them, and returns the report.
    ///
    /// # Panics
    /// If a user is not imported.
    pub async fn import_from(&self, django: &Django) -> Value {
        let url = django.database.admin_url();
        let arguments = ["import", "django", "--json", "--tenant", &self.slug, "--database-url", &url];
        let said = self.stack().command(&arguments, "");
        self.settle().await;
        serde_json::from_str(&said).expect("a report")
    }
}
