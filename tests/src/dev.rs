//! `./wardgate dev` on a state folder of one test's own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rand::Rng as _;
use serde_json::Value;

use crate::process::{Process, Talk};
use crate::{environment, wait};

/// It may have to build the Worker first.
const START: Duration = Duration::from_secs(1800);

/// `./wardgate VERB --state FOLDER`.
#[must_use]
pub fn command(verb: &str, state: &Path) -> Command {
    let mut command = wardgate(state);
    command.arg(verb).arg("--state").arg(state).env_remove("WARDGATE_STATE");
    command
}

/// `./wardgate`, whose commands of the service work on this state.
#[must_use]
pub fn wardgate(state: &Path) -> Command {
    let mut command = Command::new(environment::xtask());
    for other in ["DATABASE_URL", "WARDGATE_CONFIG", "WARDGATE_TENANT"] {
        command.env_remove(other);
    }
    command.env("WARDGATE_STATE", state);
    command
}

/// A base for `--port-base` whose ports are free.
///
/// # Panics
/// Where none of a hundred tries finds them.
#[must_use]
pub fn port_base() -> u16 {
    let mut rng = rand::rng();
    let free = |base: &u16| (7..=13).all(|at| std::net::TcpListener::bind(("127.0.0.1", base + at)).is_ok());
    let mut bases = (0..100).map(|_| rng.random_range(12_000..30_000));
    bases.find(free).expect("free ports")
}

/// Starts `dev` and waits until every part runs: the process, and the content of its `dev.json`.
///
/// # Panics
/// Where it ends instead.
pub async fn start(state: &Path, base: u16) -> (Process, Value) {
    let mut dev = command("dev", state);
    dev.args(["--port-base", &base.to_string()]);
    let mut dev = Process::start("development", dev, Talk::No);
    let (told, _) = wait::until_within(START, "dev to be ready", async || {
        assert!(dev.ended().is_none(), "dev ended:\n{}", dev.log_tail());
        let told: Value = serde_json::from_slice(&std::fs::read(state.join("dev.json")).ok()?).ok()?;
        (told["pid"] == dev.pid() && told["ready"] == true).then_some(told)
    })
    .await;
    (dev, told)
}
