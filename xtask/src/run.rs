//! Commands that run to their end.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use signal_hook::consts::SIGINT;

use crate::events::Stopped;

/// Runs a command whose output belongs on the terminal; anything but success is an error that names
/// it.
pub fn run(command: &mut Command) -> Result<()> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {}", shown(command)))?;
    if status.signal() == Some(SIGINT) {
        // Ctrl-C reaches the whole foreground: it was meant for us.
        return Err(Stopped.into());
    }
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command quietly and returns what it printed; on failure the error carries all of it.
pub fn output(command: &mut Command) -> Result<String> {
    let done =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", shown(command)))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        bail!("{} ended with {}\n{}{}", shown(command), done.status, text, errors);
    }
    Ok(text)
}

/// The program and its arguments, for a message; never its environment, where secrets are.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    format!("`{}`", words.join(" "))
}
