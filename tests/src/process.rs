//! Programs of the stack. They die with the test process, however it ends.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::environment;

/// A running program and its log.
pub struct Process {
    name: String,
    child: Child,
    log: File,
    lines: Option<Receiver<Value>>,
}

/// Whether a program's standard output is read, and its standard input held open until we end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// Its output is its log.
    No,
    /// It says JSON, one object a line, and ends when we do.
    Json,
}

impl Process {
    /// Starts `command`; its log is kept where the environment asks for logs.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: Command, talk: Talk) -> Self {
        let log = log_file(name);
        let mut command = if talk == Talk::Json { command } else { guarded(&command) };
        command.stderr(log.try_clone().expect("a second handle of the log"));
        if talk == Talk::Json {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle of the log"));
        }
        let mut child = spawn(command).unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let lines = child.stdout.take().map(read_lines);
        Self { name: name.to_owned(), child, log, lines }
    }

    /// Sends one line to a program that reads commands, and returns its reply.
    ///
    /// # Panics
    /// If it does not reply within `limit`, or has ended.
    #[track_caller]
    pub fn ask(&mut self, what: &Value, limit: Duration) -> Value {
        self.try_ask(what, limit).unwrap_or_else(|| self.silent())
    }

    /// The same; `None` if it does not reply.
    pub fn try_ask(&mut self, what: &Value, limit: Duration) -> Option<Value> {
        let told = self.child.stdin.as_mut()?.write_all(format!("{what}\n").as_bytes());
        told.ok().and_then(|()| self.hear(limit))
    }

    /// The next thing that the program says.
    ///
    /// # Panics
    /// If it does not reply within `limit`, or has ended.
    #[track_caller]
    pub fn said(&mut self, limit: Duration) -> Value {
        self.hear(limit).unwrap_or_else(|| self.silent())
    }

    fn hear(&self, limit: Duration) -> Option<Value> {
        self.lines.as_ref().and_then(|lines| lines.recv_timeout(limit).ok())
    }

    #[track_caller]
    fn silent(&self) -> ! {
        panic!("{} said nothing; the end of its log:\n{}", self.name, self.log_tail())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it was started as.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of its log, for the message of a failure.
    #[must_use]
    pub fn log_tail(&self) -> String {
        const TAIL: u64 = 4000;
        let size = self.log.metadata().map_or(0, |about| about.len());
        let mut bytes = vec![0; usize::try_from(size.min(TAIL)).unwrap_or(0)];
        // Read by position: the program goes on writing through the same open file.
        let read = self.log.read_at(&mut bytes, size.saturating_sub(TAIL)).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of the log of {}:\n{}", self.name, self.log_tail());
        }
        // A program that reads commands ends itself and its children when its input closes.
        if self.lines.is_some() {
            self.child.stdin.take();
            let _ = self.child.wait();
        }
        self.kill();
    }
}

/// Kills a process that is not our child.
///
/// # Panics
/// Where it is not there.
pub fn kill_9(pid: u32) {
    send(pid, Signal::KILL);
}

/// Asks a process to end, as Ctrl-C does.
///
/// # Panics
/// Where it is not there.
pub fn interrupt(pid: u32) {
    send(pid, Signal::INT);
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("a living process");
}

/// Every process that a process has started, and those that these have.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let all: Vec<_> = std::fs::read_dir("/proc").expect("a /proc").flatten().collect();
    let parents: Vec<(u32, u32)> = all
        .iter()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process is there. One that ended and was not waited for is not.
#[must_use]
pub fn lives(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // Its state stands after the name, which may hold anything but ends with the last parenthesis.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// An unnamed file, unless logs are asked for.
fn log_file(name: &str) -> File {
    match environment::log_folder() {
        Some(folder) => {
            let path = folder.join(format!("{name}.log"));
            let options = File::options().read(true).append(true).create(true).open(&path);
            options.unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()))
        }
        None => tempfile::tempfile().expect("a file for a log"),
    }
}

/// The same command, but the kernel kills it when this process ends. Without `setpriv` it may outlive a killed test
/// run.
fn guarded(command: &Command) -> Command {
    if !std::path::Path::new("/usr/bin/setpriv").exists() {
        return copy_of(command, Command::new(command.get_program()));
    }
    let mut guard = Command::new("/usr/bin/setpriv");
    guard.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    copy_of(command, guard)
}

fn copy_of(command: &Command, mut copy: Command) -> Command {
    copy.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        copy.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => copy.env(name, value),
            None => copy.env_remove(name),
        };
    }
    copy
}

type Job = (Command, Sender<std::io::Result<Child>>);

/// Starts a program on a thread that never ends: Linux ties the death signal to the thread that
/// started a program, and a test's own thread ends with its test.
fn spawn(command: Command) -> std::io::Result<Child> {
    static STARTER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in jobs {
                // There is no receiver only if the test is over.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (sender, answer) = channel();
    let gone = || std::io::Error::other("the starting thread is gone");
    starter.lock().unwrap_or_else(PoisonError::into_inner).send((command, sender)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Reads what a program says until it ends, so that it never waits for us.
fn read_lines(output: impl std::io::Read + Send + 'static) -> Receiver<Value> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while output.read_line(&mut line).is_ok_and(|size| size > 0) {
            if let Ok(said) = serde_json::from_str(&line)
                && sender.send(said).is_err()
            {
                break;
            }
            line.clear();
        }
        // The stack may be gone while the program still winds up: it must not block on a full pipe.
        let _ = std::io::copy(&mut output.take(u64::MAX), &mut std::io::sink());
    });
    lines
}
