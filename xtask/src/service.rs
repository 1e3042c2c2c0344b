//! Every other verb: the service's own command line, pointed at what `dev` runs.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cli::StateOption;
use crate::control;
use crate::dev_json::DevJson;
use crate::settings::TENANT;
use crate::state::State;
use crate::workspace::Workspace;

/// Becomes the service's binary. What the environment says already is left alone.
pub fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    if !workspace.control_binary().is_file() {
        control::build(workspace)?;
    }
    let mut command = Command::new(workspace.control_binary());
    // `service` only leads here: `./wardgate service --help`.
    command
        .args(arguments.iter().skip(usize::from(arguments.first().is_some_and(|first| first == "service"))));
    if std::env::var_os("WARDGATE_CONFIG").is_none() {
        let option = StateOption { state: std::env::var_os("WARDGATE_STATE").map(Into::into) };
        let running = State::find(&crate::dev::folder(workspace, &option))
            .filter(|state| DevJson::read(state).is_some());
        if let Some(state) = running {
            command.env("WARDGATE_CONFIG", state.path("control.toml"));
        } else if !arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
            eprintln!("No dev runs here, so the service has to find its settings itself.");
        }
    }
    if std::env::var_os("WARDGATE_TENANT").is_none() {
        command.env("WARDGATE_TENANT", TENANT);
    }
    Err(command.exec()).context("cannot run the service's binary")
}
