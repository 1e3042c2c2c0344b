//! The mailbox: the program that takes control's mails in `dev`, and `mail`, which prints them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::cli::{MailOptions, MailShape, MailVerb};
use crate::control;
use crate::events::Events;
use crate::ports::Ports;
use crate::program::{Program, Running};
use crate::readiness;
use crate::service;
use crate::state::State;
use crate::workspace::Workspace;

/// The name of the program in logs and in the ledger.
pub const NAME: &str = "mailbox";

/// Where a state keeps its mails.
pub fn folder(state: &State) -> PathBuf {
    state.path("mails")
}

/// The page that shows them.
pub fn page(ports: Ports) -> String {
    format!("http://127.0.0.1:{}/mail", ports.mail)
}

/// Starts the program and waits until its page answers; SMTP listens before that.
pub fn start(workspace: &Workspace, state: &State, ports: Ports, events: &Events) -> Result<Running> {
    let mut program = Program::new(NAME, workspace.mailbox_binary(), Signal::TERM);
    let command = program.command().arg("serve").arg("--folder").arg(folder(state));
    command.args(["--smtp-port", &ports.smtp.to_string(), "--page-port", &ports.mail.to_string()]);
    let mut running = program.start(state)?;
    readiness::wait(&page(ports), &mut running, &state.log_path(NAME), events)?;
    Ok(running)
}

/// `mail`: ours, or the service's. Ours needs no dev that runs.
pub fn run(workspace: &Workspace, options: &MailOptions) -> Result<()> {
    match &options.verb {
        None => print(workspace, "last", &options.shape),
        Some(MailVerb::Last(shape)) => print(workspace, "last", shape),
        Some(MailVerb::List(shape)) => print(workspace, "list", shape),
        Some(MailVerb::Service(arguments)) => {
            let words = std::iter::once(OsString::from("mail")).chain(arguments.iter().cloned());
            service::run(workspace, &words.collect::<Vec<_>>())
        }
    }
}

/// Becomes the program that knows how mails are kept.
fn print(workspace: &Workspace, verb: &str, shape: &MailShape) -> Result<()> {
    let folder_of_state = crate::dev::folder(workspace, &shape.state);
    let Some(state) = State::find(&folder_of_state) else {
        bail!("nothing was ever started in {}: `./wardgate dev` starts it", folder_of_state.display());
    };
    if !workspace.mailbox_binary().is_file() {
        control::build(workspace)?;
    }
    let mut command = Command::new(workspace.mailbox_binary());
    command.arg(verb).arg("--folder").arg(folder(&state));
    if shape.json {
        command.arg("--json");
    }
    Err(command.exec()).context("cannot run the mailbox")
}
