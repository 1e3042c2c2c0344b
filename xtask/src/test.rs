//! `test`: every test there is, against a PostgreSQL and a Worker of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::bundle::{self, Kind};
use crate::cli::TestOptions;
use crate::clients::Clients;
use crate::events::Events;
use crate::run::{output, run as run_command};
use crate::scratch::Scratch;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{clients, edge, tools};

/// Sets up and runs cargo's tests.
pub fn run(workspace: &Workspace, options: &TestOptions) -> Result<()> {
    let events = Events::listen()?;
    let mut steps = Steps::new(7 + usize::from(options.only.is_some()), &events);
    steps.step("Tools: Wasm target, npm packages", || tools::install(workspace))?;
    let clients = steps
        .step("Clients: Python and npm packages, a browser, gateways", || Clients::install(workspace))?;
    steps.noted("Worker: build the bundle of the tests", || bundle::build(workspace, Kind::Test))?;
    // The same packages for building and running: another selection has other features and would be compiled again.
    steps.step("Tests: build", || run_command(&mut workspace.cargo(&["test", "--workspace", "--no-run"])))?;
    if let Some(name) = &options.only {
        steps.noted("Tests: find", || found(workspace, name))?;
    }
    let scratch = steps.step("PostgreSQL: start one for the tests", || Scratch::start(workspace))?;
    let answers = tempfile::tempdir()?;
    let passed =
        steps.step("Tests: run", || run_tests(workspace, options, &scratch, &clients, answers.path()));
    let described = steps.step("OpenAPI: hold the document against every answer that the tests saw", || {
        hold_document(workspace, options, answers.path())
    });
    let passed = passed.and(described);
    println!(
        "\n{} in {}.",
        if passed.is_ok() { "Every test passed" } else { "Not every test passed" },
        steps.elapsed()
    );
    passed
}

/// To cargo a name that no test has is a success.
fn found(workspace: &Workspace, name: &str) -> Result<String> {
    let list = ["test", "--workspace", "--quiet", "--lib", "--bins", "--tests", name, "--", "--list"];
    match tests_in(&output(&mut workspace.cargo(&list))?) {
        0 => bail!("no test's name contains `{name}`"),
        count => Ok(format!("{count} tests")),
    }
}

fn tests_in(list: &str) -> usize {
    list.lines().filter(|line| line.ends_with(": test")).count()
}

/// Runs one measurement of the end-to-end tests, which an ordinary run leaves out.
pub fn bench(workspace: &Workspace, name: &str) -> Result<()> {
    let events = Events::listen()?;
    eprintln!("Tools: Wasm target, npm packages");
    tools::install(workspace)?;
    let clients = Clients::install(workspace)?;
    events.go_on()?;
    eprintln!("Worker: build the bundle of the tests");
    bundle::build(workspace, Kind::Test)?;
    run_command(&mut workspace.cargo(&["test", "--workspace", "--no-run"]))?;
    events.go_on()?;
    eprintln!("PostgreSQL: start one for the measurement");
    let (scratch, answers) = (Scratch::start(workspace)?, tempfile::tempdir()?);
    let mut cargo = workspace.cargo(&["test", "--quiet", "--workspace", "--test", "it", name]);
    cargo.args(["--", "--exact", "--ignored", "--nocapture"]);
    place(workspace, &mut cargo, &scratch, &clients, answers.path())?;
    run_command(&mut cargo)
}

/// The tests get their settings by environment variables; variables that must not reach them are removed.
fn run_tests(
    workspace: &Workspace,
    options: &TestOptions,
    scratch: &Scratch,
    clients: &Clients,
    answers: &Path,
) -> Result<()> {
    let mut cargo = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    if let Some(name) = &options.only {
        cargo.arg(name);
    }
    if options.long {
        cargo.env("WARDGATE_TEST_LONG", "1");
    }
    // Tests wait more than they work: for a commit, a push, a time limit.
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let threads = 1 + std::thread::available_parallelism()?.get();
        cargo.env("RUST_TEST_THREADS", threads.to_string());
    }
    place(workspace, &mut cargo, scratch, clients, answers)?;
    run_command(&mut cargo)
}

/// Says where the parts are.
fn place(
    workspace: &Workspace,
    cargo: &mut Command,
    scratch: &Scratch,
    clients: &Clients,
    answers: &Path,
) -> Result<()> {
    for other in ["DATABASE_URL", "WARDGATE_CONFIG", "WARDGATE_TENANT", "WARDGATE_STATE"] {
        cargo.env_remove(other);
    }
    cargo.env("WARDGATE_TEST_DATABASE_URL", &scratch.database_url);
    cargo.env("WARDGATE_TEST_BIN", workspace.control_binary());
    cargo.env("WARDGATE_TEST_EDGE_BUNDLE", Kind::Test.folder(workspace));
    cargo.env("WARDGATE_TEST_NODE", tools::node(workspace)?);
    cargo.env("WARDGATE_TEST_WORKERD_SCRIPT", edge::script(workspace));
    cargo.env("WARDGATE_TEST_PYTHON", &clients.python);
    cargo.env("WARDGATE_TEST_CHROMIUM", &clients.browser);
    cargo.env("WARDGATE_TEST_NGINX", &clients.nginx);
    cargo.env("WARDGATE_TEST_CLIENTS", clients::folder(workspace));
    cargo.env("WARDGATE_TEST_XTASK", std::env::current_exe()?);
    cargo.env("WARDGATE_TEST_ANSWERS", answers);
    Ok(())
}

/// Every answer is in the document, and the document lists for the edge's routes what was answered alone.
/// Where only some tests ran, what they have not seen says nothing.
fn hold_document(workspace: &Workspace, options: &TestOptions, answers: &Path) -> Result<()> {
    let document = tempfile::NamedTempFile::new()?;
    fs::write(&document, output(Command::new(workspace.control_binary()).arg("openapi").env_clear())?)?;
    let mut check = Command::new(workspace.target.join("debug").join("answers"));
    check.arg(answers).arg(document.path());
    if options.only.is_some() {
        check.arg("--part");
    }
    run_command(&mut check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_and_benchmarks_are_not() {
        assert_eq!(
            tests_in("cli::tests::a: test\ncli::tests::b: test\nx: benchmark\n\n2 tests, 1 benchmark\n"),
            2
        );
        assert_eq!(tests_in("0 tests, 0 benchmarks\n"), 0);
    }
}
