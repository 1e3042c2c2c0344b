//! Programs that run beside us until they are stopped, and that do not outlive us.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Signal, getuid};

use crate::ledger::Identity;
use crate::state::State;

/// The user and group id of `nobody`, for programs that refuse to run as root.
const NOBODY: &str = "65534";

/// Whether we are root.
pub fn is_root() -> bool {
    getuid().is_root()
}

/// A program to be started.
pub struct Program {
    name: &'static str,
    stop: Signal,
    command: Command,
}

/// A program that was started.
pub struct Running {
    /// Its name for messages.
    pub name: &'static str,
    child: Child,
    identity: Option<Identity>,
    stop: Signal,
}

impl Program {
    /// A program that `stop` asks to end, also when we are killed and can no longer ask.
    pub fn new(name: &'static str, program: impl AsRef<OsStr>, stop: Signal) -> Self {
        Self { name, stop, command: guarded(program.as_ref(), stop, false) }
    }

    /// The same, under root as an unprivileged user.
    pub fn unprivileged(name: &'static str, program: impl AsRef<OsStr>, stop: Signal) -> Self {
        Self { name, stop, command: guarded(program.as_ref(), stop, is_root()) }
    }

    /// Arguments, environment and streams are set here.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it with its output in the state's log of that name, and writes it down there.
    pub fn start(mut self, state: &State) -> Result<Running> {
        let log = state.log(self.name)?;
        self.command.stderr(log.try_clone()?).stdout(log);
        self.spawn(state)
    }

    /// The same with its standard output piped to us, and a standard input that closes when this program ends.
    pub fn start_talking(mut self, state: &State) -> Result<Running> {
        let log = state.log(self.name)?;
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        self.spawn(state)
    }

    /// A process group of its own keeps the terminal's Ctrl-C away: we stop things in order.
    fn spawn(mut self, state: &State) -> Result<Running> {
        let child =
            self.command.process_group(0).spawn().with_context(|| format!("cannot start {}", self.name))?;
        state.ledger().record(self.name, child.id(), self.stop)?;
        let identity = Identity::of(child.id());
        Ok(Running { name: self.name, child, identity, stop: self.stop })
    }
}

impl Running {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its standard output, once, where it talks.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) {
        if self.ended().is_none()
            && let Some(identity) = &self.identity
        {
            identity.end(self.stop);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// On Linux the kernel passes our death on to the program: `setpriv`, part of every distribution's
/// util-linux, asks for that and drops privileges without a line of unsafe code here. Elsewhere the
/// next start finds what was left in the ledger.
fn guarded(program: &OsStr, death: Signal, unprivileged: bool) -> Command {
    if !cfg!(target_os = "linux") || !setpriv_exists() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    if unprivileged {
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    }
    command.arg("--pdeathsig").arg(signal_name(death)).arg("--").arg(program);
    command
}

/// Whether the guard above can be had; the doctor asks too.
pub fn setpriv_exists() -> bool {
    ["/usr/bin/setpriv", "/bin/setpriv"].iter().any(|path| Path::new(path).exists())
}

fn signal_name(signal: Signal) -> &'static str {
    if signal == Signal::INT { "INT" } else { "TERM" }
}

/// A command of an unprivileged user where we are root, for what is run once to its end.
pub fn unprivileged_command(program: impl AsRef<OsStr>) -> Command {
    guarded(program.as_ref(), Signal::TERM, is_root())
}
