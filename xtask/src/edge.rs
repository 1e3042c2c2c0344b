//! The Worker on workerd, by way of `workerd.mjs`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Deserialize;

use crate::bundle::Kind;
use crate::events::{Event, Events};
use crate::ledger::Identity;
use crate::ports::Ports;
use crate::postgres::log_tail;
use crate::program::{Program, Running};
use crate::state::State;
use crate::tools::{node, node_environment};
use crate::workspace::Workspace;

/// The messages of the script, one line each.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Message {
    /// The Worker answers.
    Ready {
        /// Without miniflare's entry.
        direct_url: String,
        /// workerd's own process.
        workerd_pid: u32,
    },
    /// workerd crashed and is back.
    Restarted {
        /// The new process.
        workerd_pid: u32,
    },
}

/// The running script and what it said. Dropping it stops both processes.
pub struct Edge {
    /// Node, which ends workerd when it ends in good order.
    pub program: Running,
    /// The Worker without miniflare's entry.
    pub direct_url: String,
    /// workerd's process.
    pub workerd_pid: u32,
    workerd: Option<Identity>,
}

impl Edge {
    /// Records a new workerd, also in the ledger, so that a later start can stop it.
    pub fn set_workerd(&mut self, state: &State, pid: u32) -> Result<()> {
        self.workerd_pid = pid;
        self.workerd = Identity::of(pid);
        state.ledger().record("workerd", pid, Signal::TERM)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.program.stop();
        // A Node that was killed left it running, with the port.
        if let Some(workerd) = &self.workerd {
            workerd.end(Signal::TERM);
        }
    }
}

/// The script's path.
pub fn script(workspace: &Workspace) -> PathBuf {
    workspace.root.join("xtask/workerd.mjs")
}

/// Starts the production bundle on these ports and waits until it answers.
pub fn start(workspace: &Workspace, state: &State, ports: Ports, events: &Events) -> Result<Edge> {
    let mut program = Program::new("edge", node(workspace)?, Signal::TERM);
    let command = program.command().envs(node_environment(workspace)?).current_dir(&workspace.root);
    command.arg(script(workspace)).arg("--bundle").arg(Kind::Production.folder(workspace));
    command.arg("--vars").arg(state.path("edge.vars")).arg("--state").arg(state.path("edge"));
    command.args(["--port", &ports.edge.to_string(), "--direct-port", &ports.direct.to_string()]);
    let mut running = program.start_talking(state)?;
    let output = running.take_output().context("a pipe was asked for")?;
    let sender = events.sender();
    std::thread::spawn(move || forward(output, &sender));
    wait_until_ready(running, state, events)
}

/// Ends with the pipe.
fn forward(output: impl std::io::Read, sender: &Sender<Event>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Ok(message) = serde_json::from_str(&line)
            && sender.send(Event::Edge(message)).is_err()
        {
            return;
        }
    }
}

fn wait_until_ready(mut program: Running, state: &State, events: &Events) -> Result<Edge> {
    loop {
        match events.next(Duration::from_secs(60)) {
            Some(Event::Edge(Message::Ready { direct_url, workerd_pid, .. })) => {
                let mut edge = Edge { program, direct_url, workerd_pid, workerd: None };
                edge.set_workerd(state, workerd_pid)?;
                return Ok(edge);
            }
            Some(_) if program.ended().is_none() => events.go_on()?,
            _ => {
                bail!("the Worker did not start; the end of its log:\n{}", log_tail(&state.log_path("edge")))
            }
        }
    }
}
