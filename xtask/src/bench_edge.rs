//! `bench validate|miss|keys|login|refresh`: what the Worker costs beside other Workers.
//!
//! The stack runs as `dev` runs it. What is compared with what, and all that is measured, is in `bench/`, which is
//! Node's: the other Workers are JavaScript, and miniflare starts them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::bundle::{self, HashAlone, Kind};
use crate::cli::BenchEdgeOptions;
use crate::control::{self, Control};
use crate::dev_json::{self, DevJson};
use crate::events::Events;
use crate::run::run as run_command;
use crate::scratch::Scratch;
use crate::secrets::Secrets;
use crate::settings::TENANT;
use crate::stack::{People, Stack};
use crate::tools::{self, node_command};
use crate::workspace::Workspace;
use crate::{greeting, ports};

/// All of them, in an order in which none uses up the limits of the next.
pub const ALL: &[&str] = &["validate", "miss", "keys", "login", "refresh"];

/// Tokens must outlive the measurement, and the budget of hashes would end one of sign-ins.
const SETTINGS: &[&str] = &["access_ttl_secs=900", "hashes_per_sec=0"];

/// Measures. What it says of itself goes to standard error: standard output is the report's.
pub fn run(workspace: &Workspace, suites: &[&str], options: &BenchEdgeOptions) -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "processor time of a process is read from /proc, which Linux alone has"
    );
    let events = Events::listen()?;
    eprintln!("Tools: Wasm target, npm packages");
    tools::install(workspace)?;
    tools::install_npm(&folder(workspace), || Ok(()))?;
    events.go_on()?;
    eprintln!("Worker, Argon2id alone, control: build");
    bundle::build(workspace, Kind::Production)?;
    let hash_alone = bundle::hash_alone(workspace)?;
    control::build(workspace)?;
    events.go_on()?;
    eprintln!("PostgreSQL, the Worker and control: start");
    let scratch = Scratch::start(workspace)?;
    let state = scratch.state().context("it was made just now")?;
    let secrets = Secrets::generate(ports::free_base()?, false)?;
    let mut stack = Stack::new(workspace, &events, state.clone(), secrets, Some(&scratch.database_url))?;
    let people = start(workspace, &mut stack)?;
    DevJson::of(&stack, &people, greeting::now()).publish(&stack)?;
    measure(workspace, &stack, &hash_alone, suites, options)
}

/// The folder of what is measured against.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("bench")
}

fn start(workspace: &Workspace, stack: &mut Stack<'_>) -> Result<People> {
    stack.migrate()?;
    stack.start_edge()?;
    stack.start_mailbox()?;
    stack.start_control()?;
    let people = stack.ensure_people()?;
    Control::of(workspace, &stack.state).set(TENANT, SETTINGS)?;
    stack.settle()?;
    Ok(people)
}

fn measure(
    workspace: &Workspace,
    stack: &Stack<'_>,
    hash_alone: &HashAlone,
    suites: &[&str],
    options: &BenchEdgeOptions,
) -> Result<()> {
    let mut node = node_command(workspace)?;
    node.arg(folder(workspace).join("main.mjs")).args(suites);
    node.arg("--stack").arg(dev_json::path(&stack.state));
    node.arg("--argon2-wasm").arg(&hash_alone.wasm).arg("--argon2-native").arg(&hash_alone.native);
    if let Some(rounds) = options.rounds {
        node.arg("--rounds").arg(rounds.to_string());
    }
    if options.json {
        node.arg("--json");
    }
    run_command(&mut node)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::run::output;

    /// What the frame refuses, it refuses: a target that accepts a forged token, a refusal under load.
    #[test]
    fn the_frame_holds() {
        let workspace = Workspace::find().unwrap();
        let tests = folder(&workspace).join("frame/frame.test.mjs");
        output(node_command(&workspace).unwrap().arg("--test").arg(tests)).unwrap();
    }

    #[test]
    fn every_package_is_pinned() {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/package.json")).unwrap();
        let package: serde_json::Value = serde_json::from_str(&text).unwrap();
        let versions = package["dependencies"].as_object().unwrap();
        assert!(versions.len() > 4);
        for (name, version) in versions {
            let version = version.as_str().unwrap();
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{name} {version}");
        }
    }

    /// A suite that the command line has and the scripts have not would end with an error of theirs.
    #[test]
    fn every_suite_is_there() {
        let suites =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/suites.mjs")).unwrap();
        for name in ALL {
            assert!(suites.contains(&format!("\n  {name}: {{")), "{name}");
        }
    }
}
