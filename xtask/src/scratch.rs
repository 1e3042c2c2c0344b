//! A state folder and a PostgreSQL for one command, thrown away at its end.

use std::fs;

use anyhow::{Context, Result};

use crate::ports;
use crate::postgres::{self, DATABASE, Durability, SUPERUSER};
use crate::program::Running;
use crate::secrets::password;
use crate::state::{Held, State};
use crate::workspace::Workspace;

const PREFIX: &str = "wardgate-scratch-";

/// Runs until it is dropped.
pub struct Scratch {
    held: Option<Held>,
    postgres: Option<Running>,
    /// The superuser's URL.
    pub database_url: String,
}

impl Scratch {
    /// Starts a server on a free port, after throwing away what killed commands left.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        Self::with(workspace, Durability::Thrown)
    }

    /// The same for measurements.
    pub fn measured(workspace: &Workspace) -> Result<Self> {
        Self::with(workspace, Durability::Measured)
    }

    fn with(workspace: &Workspace, durability: Durability) -> Result<Self> {
        sweep();
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?.keep();
        // The folder is ours and empty, and `create` marks it before anything else goes in.
        let state = State::create(&folder)?;
        let held = state.hold()?.context("nobody else knows this folder")?;
        let (port, password) = (ports::free()?, password()?);
        let postgres = postgres::start(workspace, &state, port, &password, durability)?;
        let database_url = format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{DATABASE}");
        Ok(Self { held: Some(held), postgres: Some(postgres), database_url })
    }

    /// The folder.
    pub fn state(&self) -> Option<&State> {
        self.held.as_ref().map(|held| &held.state)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.postgres = None;
        if let Some(held) = self.held.take() {
            // A folder that cannot be deleted now is deleted by the next run.
            let _ = held.destroy();
        }
    }
}

/// Deletes folders that no process holds any more.
fn sweep() {
    postgres::sweep_orphans();
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let state = if ours { State::find(&entry.path()) } else { None };
        if let Some(Ok(Some(held))) = state.map(|state| state.hold()) {
            let _ = held.state.ledger().clean();
            let _ = held.destroy();
        }
    }
}
