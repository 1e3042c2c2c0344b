//! `bench`: measurements that print ratios, against a PostgreSQL of their own. Those of the Worker are in
//! [`crate::bench_edge`].

use std::path::Path;

use anyhow::{Result, bail};

use crate::cli::{BenchControlOptions, BenchOf, BenchOptions};
use crate::events::Events;
use crate::ports;
use crate::postgres::{self, DATABASE, Durability, SUPERUSER};
use crate::run::run as run_command;
use crate::scratch::Scratch;
use crate::state::State;
use crate::workspace::Workspace;
use crate::{bench_edge, test, tools};

/// The superuser's password of a throwaway server that listens only on loopback.
const PASSWORD: &str = "throwaway";

/// Runs one of them.
pub fn run(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    match &options.of {
        None => bench_edge::run(workspace, bench_edge::ALL, &options.edge),
        Some(BenchOf::Validate(options)) => bench_edge::run(workspace, &["validate"], options),
        Some(BenchOf::Miss(options)) => bench_edge::run(workspace, &["miss"], options),
        Some(BenchOf::Keys(options)) => bench_edge::run(workspace, &["keys"], options),
        Some(BenchOf::Login(options)) => bench_edge::run(workspace, &["login"], options),
        Some(BenchOf::Refresh(options)) => bench_edge::run(workspace, &["refresh"], options),
        Some(BenchOf::Isolation) => test::bench(workspace, "bench_isolation::bench_isolation"),
        Some(BenchOf::Control(options)) => control(workspace, options),
    }
}

/// Its progress goes to standard error; standard output holds only the report.
fn control(workspace: &Workspace, options: &BenchControlOptions) -> Result<()> {
    let events = Events::listen()?;
    eprintln!("Tools: npm packages");
    tools::install(workspace)?;
    events.go_on()?;
    eprintln!("Control: build, optimised (some minutes, the first time)");
    run_command(&mut workspace.cargo(&[
        "bench",
        "--package",
        "wardgate-control",
        "--bench",
        "ratios",
        "--no-run",
    ]))?;
    events.go_on()?;
    eprintln!("PostgreSQL: start one for the measurements");
    match &options.state {
        None => {
            let scratch = Scratch::measured(workspace)?;
            measure(workspace, options, &scratch.database_url)
        }
        Some(folder) => kept(workspace, options, folder),
    }
}

/// The same with a database that is kept, so that the next run need not load it.
fn kept(workspace: &Workspace, options: &BenchControlOptions, folder: &Path) -> Result<()> {
    let state = State::create(folder)?;
    let Some(held) = state.hold()? else {
        bail!("another process runs a server in {}", state.folder().display())
    };
    held.state.ledger().clean()?;
    let port = ports::free()?;
    let server = postgres::start(workspace, &state, port, PASSWORD, Durability::Measured)?;
    let url = format!("postgres://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}");
    let measured = measure(workspace, options, &url);
    drop(server);
    measured
}

fn measure(workspace: &Workspace, options: &BenchControlOptions, database_url: &str) -> Result<()> {
    let mut cargo =
        workspace.cargo(&["bench", "--quiet", "--package", "wardgate-control", "--bench", "ratios", "--"]);
    if options.small {
        cargo.args(["--users", "10000", "--tenants", "20", "--users-each", "500", "--rounds", "100"]);
    }
    if options.json {
        cargo.arg("--json");
    }
    if let Some(file) = &options.plans {
        // Cargo runs it in the folder of the package.
        cargo.arg("--plans").arg(std::path::absolute(file)?);
    }
    cargo.env("WARDGATE_BENCH_DATABASE_URL", database_url);
    run_command(&mut cargo)
}
