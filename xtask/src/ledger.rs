//! The processes that were started, so that the next start can stop those that a killed run left behind.
//!
//! The system reuses pids, so a process is identified by its pid and its start time.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::state::write_private;
use crate::wait::until;

/// How long a program may take to end in good order before it is killed.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// One process, distinct from every later one with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process's number.
    pub pid: u32,
    started: String,
}

impl Identity {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: start_of(pid)? })
    }

    /// Whether it still runs.
    pub fn lives(&self) -> bool {
        start_of(self.pid).is_some_and(|started| started == self.started)
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.lives()) {
            // It may end between the question and the signal, and that is all that can go wrong.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end, waits, and kills it when it does not.
    pub fn end(&self, signal: Signal) {
        self.signal(signal);
        if until(PATIENCE, || !self.lives()).is_err() {
            self.signal(Signal::KILL);
            let _ = until(PATIENCE, || !self.lives());
        }
    }
}

/// The start time of a running process, in a unit of the system; `None` if it does not run.
#[cfg(target_os = "linux")]
fn start_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; what follows it is fixed
    // (proc(5)): the state is the first and the start the twentieth. A zombie has ended.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, ticks) = (fields.first()?, fields.get(19)?);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (*state != "Z").then(|| format!("{}:{ticks}", boot.trim()))
}

/// The start time of a running process, in a unit of the system; `None` if it does not run.
#[cfg(not(target_os = "linux"))]
fn start_of(pid: u32) -> Option<String> {
    let mut ps = std::process::Command::new("ps");
    let text = crate::run::output(ps.args(["-o", "lstart=", "-p", &pid.to_string()])).ok()?;
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name for messages.
    pub name: String,
    /// The process.
    pub identity: Identity,
    signal: i32,
}

/// The file, in the order in which things were started.
pub struct Ledger {
    file: PathBuf,
}

impl Ledger {
    /// The ledger in this file, which need not exist.
    pub fn at(file: PathBuf) -> Self {
        Self { file }
    }

    /// The entries of the file. A damaged file counts as empty: a kill can come at any moment, though the rename
    /// makes it unlikely.
    pub fn entries(&self) -> Vec<Entry> {
        fs::read(&self.file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// The running process of this name.
    pub fn living(&self, name: &str) -> Option<Identity> {
        self.entries()
            .into_iter()
            .map(|entry| (entry.name, entry.identity))
            .find(|(n, i)| n == name && i.lives())
            .map(|(_, i)| i)
    }

    /// Writes a process down, in place of an earlier one of that name.
    pub fn record(&self, name: &str, pid: u32, signal: Signal) -> Result<()> {
        let Some(identity) = Identity::of(pid) else { return Ok(()) };
        let mut entries = self.entries();
        entries.retain(|entry| entry.name != name);
        entries.push(Entry { name: name.to_owned(), identity, signal: signal.as_raw() });
        write_private(&self.file, &serde_json::to_vec_pretty(&entries)?)
            .context("cannot write down what was started")
    }

    /// Stops every process that still runs, except this one, the last started first, and returns their names.
    pub fn clean(&self) -> Result<Vec<String>> {
        let mut stopped = Vec::new();
        for entry in self.entries().into_iter().rev() {
            if entry.identity.lives() && entry.identity.pid != std::process::id() {
                entry.identity.end(Signal::from_named_raw(entry.signal).unwrap_or(Signal::TERM));
                stopped.push(entry.name);
            }
        }
        self.clear()?;
        Ok(stopped)
    }

    /// Forgets everything.
    pub fn clear(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("cannot clear the ledger")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn what_was_left_behind_is_stopped_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("pids.json"));
        let mut child = sleeper();
        ledger.record("sleeper", child.id(), Signal::TERM).unwrap();
        assert!(ledger.living("sleeper").is_some());
        assert_eq!(ledger.clean().unwrap(), ["sleeper"]);
        assert!(ledger.entries().is_empty());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_recycled_pid_is_spared() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("pids.json"));
        let mut child = sleeper();
        let identity = Identity { pid: child.id(), started: "another time".into() };
        let entry = Entry { name: "old".into(), identity, signal: Signal::TERM.as_raw() };
        write_private(&ledger.file, &serde_json::to_vec(&[entry]).unwrap()).unwrap();
        assert!(ledger.clean().unwrap().is_empty());
        assert!(child.try_wait().unwrap().is_none(), "it must still run");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_name_is_written_down_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("pids.json"));
        ledger.record("self", std::process::id(), Signal::TERM).unwrap();
        ledger.record("self", std::process::id(), Signal::INT).unwrap();
        assert_eq!(ledger.entries().len(), 1);
    }
}
