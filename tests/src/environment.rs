//! Where the parts are, as `./wardgate test` says by environment variables.

use std::path::PathBuf;
use std::process::Command;

/// A variable that these tests cannot do without.
///
/// # Panics
/// Where it is missing, so that a test that could not run fails by its name instead of passing.
#[must_use]
pub fn variable(name: &str) -> String {
    let hint = "run these tests by `./wardgate test`, or one of them by `./wardgate test --only NAME`";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {hint}"))
}

/// URL of a throwaway PostgreSQL, as its superuser.
#[must_use]
pub fn database_url() -> String {
    variable("WARDGATE_TEST_DATABASE_URL")
}

/// Control's binary.
#[must_use]
pub fn control_binary() -> PathBuf {
    variable("WARDGATE_TEST_BIN").into()
}

/// Node with the script that runs the test bundle on workerd.
#[must_use]
pub fn workerd() -> Command {
    let mut command = Command::new(variable("WARDGATE_TEST_NODE"));
    command.arg(variable("WARDGATE_TEST_WORKERD_SCRIPT"));
    command.arg("--bundle").arg(variable("WARDGATE_TEST_EDGE_BUNDLE"));
    command.args(["--entry", "test.mjs"]);
    command
}

/// A Python program of `tests/clients`, with the packages that are pinned there.
#[must_use]
pub fn python(program: &str) -> Command {
    let mut command = Command::new(variable("WARDGATE_TEST_PYTHON"));
    command.arg(clients().join("python").join(program)).env("PYTHONDONTWRITEBYTECODE", "1");
    // Django variables of the developer's shell must not reach ours.
    command.env_remove("PYTHONPATH").env_remove("DJANGO_SETTINGS_MODULE");
    command
}

/// A program that a package of the pinned Python brings.
#[must_use]
pub fn packaged(program: &str) -> Command {
    Command::new(PathBuf::from(variable("WARDGATE_TEST_PYTHON")).with_file_name(program))
}

/// nginx.
#[must_use]
pub fn nginx() -> Command {
    Command::new(variable("WARDGATE_TEST_NGINX"))
}

/// A Node program of `tests/clients`, with the packages that are pinned there.
#[must_use]
pub fn node(program: &str) -> Command {
    let mut command = Command::new(variable("WARDGATE_TEST_NODE"));
    command.arg(clients().join("node").join(program));
    command
}

/// Chromium or Chrome.
#[must_use]
pub fn chromium() -> PathBuf {
    variable("WARDGATE_TEST_CHROMIUM").into()
}

fn clients() -> PathBuf {
    variable("WARDGATE_TEST_CLIENTS").into()
}

/// The program behind `./wardgate`.
#[must_use]
pub fn xtask() -> PathBuf {
    variable("WARDGATE_TEST_XTASK").into()
}

/// The clone.
///
/// # Panics
/// Where the script that runs workerd is not in it.
#[must_use]
pub fn workspace() -> PathBuf {
    let script = PathBuf::from(variable("WARDGATE_TEST_WORKERD_SCRIPT"));
    script.parent().and_then(std::path::Path::parent).expect("a folder").to_owned()
}

/// The pinned wrangler without `./wardgate`, as a developer of their own has it. It asks nothing and sends no
/// telemetry.
#[must_use]
pub fn wrangler() -> Command {
    let mut command = Command::new(variable("WARDGATE_TEST_NODE"));
    command.arg(workspace().join("node_modules/wrangler/bin/wrangler.js"));
    command.env("WRANGLER_SEND_METRICS", "false").env("CI", "1");
    command
}

/// How many of something a test brings: `whole` under `./wardgate test --long`, else `part`.
#[must_use]
pub fn scaled<T>(part: T, whole: T) -> T {
    if std::env::var_os("WARDGATE_TEST_LONG").is_some_and(|text| text == "1") { whole } else { part }
}

/// The folder in which logs of the parts are kept, if it is set.
#[must_use]
pub fn log_folder() -> Option<PathBuf> {
    std::env::var_os("WARDGATE_TEST_LOGS").map(PathBuf::from)
}
