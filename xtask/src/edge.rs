//! The Worker on workerd, by way of `workerd.mjs`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Deserialize;

use crate::bundle::Kind;
use crate::events::{Event, Events};
use crate::ports::Ports;
use crate::postgres::log_tail;
use crate::program::{Program, Running};
use crate::state::State;
use crate::tools::{node, node_environment};
use crate::workspace::Workspace;

/// What the script says, one line each.
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

/// The running script and what it said.
pub struct Edge {
    /// Node, which ends workerd when it ends.
    pub program: Running,
    /// The Worker without miniflare's entry.
    pub direct_url: String,
    /// workerd's process.
    pub workerd_pid: u32,
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
    wait_until_ready(running, &state.log_path("edge"), events)
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

fn wait_until_ready(mut program: Running, log: &Path, events: &Events) -> Result<Edge> {
    loop {
        match events.next(Duration::from_secs(60)) {
            Some(Event::Edge(Message::Ready { direct_url, workerd_pid, .. })) => {
                return Ok(Edge { program, direct_url, workerd_pid });
            }
            Some(_) if program.ended().is_none() => events.go_on()?,
            _ => bail!("the Worker did not start; the end of its log:\n{}", log_tail(log)),
        }
    }
}
