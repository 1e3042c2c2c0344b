//! `doctor`: what is installed, what is missing, and what runs.

use std::process::Command;

use anyhow::Result;

use crate::bundle::Kind;
use crate::cli::StateOption;
use crate::dev_json::DevJson;
use crate::program::{is_root, setpriv_exists};
use crate::run::output;
use crate::state::State;
use crate::workspace::Workspace;
use crate::{clients, dev, tools};

/// Says it all. Nothing is installed or changed.
pub fn run(workspace: &Workspace, option: &StateOption) -> Result<()> {
    println!("Installed");
    for (what, program) in
        [("C compiler", "cc"), ("Rust", "rustc"), ("cargo", "cargo"), ("Node", "node"), ("npm", "npm")]
    {
        let version = output(Command::new(program).arg("--version").current_dir(&workspace.root)).ok();
        let first = version.as_deref().and_then(|text| text.lines().next());
        line(what, first.unwrap_or("missing"));
    }
    line(
        "Wasm target",
        said(tools::rust_parts_are_there().unwrap_or(false), "there, with rust-src", "missing: dev adds it"),
    );
    line(
        "npm packages",
        said(tools::npm_is_current(&workspace.root)?, "as pinned", "missing or old: dev installs them"),
    );
    let node = tools::node(workspace).and_then(|node| output(Command::new(node).arg("--version")));
    line("Node for us", node.as_deref().map_or("missing: dev installs it", str::trim));
    line("PostgreSQL", &database(workspace));
    for_tests(workspace)?;
    if cfg!(target_os = "linux") {
        line("setpriv", said(setpriv_exists(), "there", "missing: it is part of util-linux"));
    }
    println!("\nBuilt");
    line("Worker", said(Kind::Production.folder(workspace).is_dir(), "build/edge", "not yet"));
    line("control", said(workspace.control_binary().is_file(), "the debug binary", "not yet"));
    println!("\nRuns");
    running(State::find(&dev::folder(workspace, option)).as_ref())
}

fn line(what: &str, found: &str) {
    println!("  {what:<14} {found}");
}

fn said<'a>(yes: bool, then: &'a str, otherwise: &'a str) -> &'a str {
    if yes { then } else { otherwise }
}

/// Requirements of `test` alone.
fn for_tests(workspace: &Workspace) -> Result<()> {
    let or_missing =
        |found: Result<String>| found.unwrap_or_else(|_| "missing: test says how to get it".to_owned());
    line("Python", &or_missing(clients::Python::find().map(|python| python.version)));
    line("browser", &or_missing(clients::browser().map(|path| path.display().to_string())));
    let nginx = clients::nginx(workspace).map(|path| path.display().to_string());
    line("nginx", nginx.as_deref().unwrap_or("missing: test unpacks Debian's"));
    line(
        "test clients",
        said(clients::are_current(workspace)?, "as pinned", "missing or old: test installs them"),
    );
    Ok(())
}

fn database(workspace: &Workspace) -> String {
    if std::env::var_os("DATABASE_URL").is_some() {
        return "the server of DATABASE_URL".to_owned();
    }
    let ours = tools::postgres_package(workspace).join("native/bin/postgres");
    match output(Command::new(ours).arg("--version")) {
        Ok(version) if is_root() => format!("{}, run as nobody", version.trim()),
        Ok(version) => version.trim().to_owned(),
        Err(_) => "missing: dev installs it".to_owned(),
    }
}

fn running(state: Option<&State>) -> Result<()> {
    let Some(state) = state else {
        line("dev", "was never started here");
        return Ok(());
    };
    let dev = DevJson::read(state).filter(|_| state.hold().is_ok_and(|held| held.is_none()));
    match dev {
        Some(dev) => {
            line(
                "dev",
                &format!("pid {}, since {}, on {}", dev.pid, dev.started_at, dev.state_dir.display()),
            );
            for (what, url, pid) in [
                ("edge", &dev.edge.url, dev.edge.pid),
                ("control", &dev.control.url, dev.control.pid),
                ("mail", &dev.mail.url, dev.mail.pid),
                ("PostgreSQL", &dev.postgres.owner_url, dev.postgres.pid),
            ] {
                let pid = pid.map_or("not running".to_owned(), |pid| format!("pid {pid}"));
                line(what, &format!("{url}   {pid}"));
            }
        }
        None => line("dev", "nothing runs"),
    }
    for entry in state.ledger().entries().iter().filter(|entry| entry.identity.lives()) {
        line("process", &format!("{} {}", entry.identity.pid, entry.name));
    }
    Ok(())
}
