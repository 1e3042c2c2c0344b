//! `postgres`: a server for the end-to-end tests, which kill it and start it again.

use std::io::Read;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use crate::cli::PostgresOptions;
use crate::events::{Event, Events};
use crate::ports;
use crate::postgres::{self, DATABASE, Durability, SUPERUSER};
use crate::state::State;
use crate::workspace::Workspace;

/// A superuser that only loopback meets, of a server that only tests use.
const PASSWORD: &str = "throwaway";

/// Runs until standard input closes, a signal comes, or the server ends. Prints one line of JSON
/// when it is ready: `{"url","pid"}`. The data stays, so that the same folder can be started again.
pub fn run(workspace: &Workspace, options: &PostgresOptions) -> Result<()> {
    let events = Events::listen()?;
    let state = State::create(&options.state)?;
    let Some(held) = state.hold()? else {
        bail!("another process runs a server in {}", state.folder().display())
    };
    held.state.ledger().clean()?;
    let port = if options.port == 0 { ports::free()? } else { options.port };
    let mut server = postgres::start(workspace, &state, port, PASSWORD, Durability::Thrown)?;
    let url = format!("postgres://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}");
    println!("{}", json!({"url": url, "pid": server.pid()}));
    let parent = events.sender();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = parent.send(Event::Stop);
    });
    while !matches!(events.next(Duration::from_secs(3600)), Some(Event::Stop)) && server.ended().is_none() {}
    Ok(())
}
