//! Where things are: the clone, cargo's target folder, and what is built into them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::run::output;

/// The clone and cargo's target folder.
pub struct Workspace {
    /// The clone's root.
    pub root: PathBuf,
    /// Cargo's target folder, wherever the settings of the machine put it.
    pub target: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo, since only it knows all the ways in which the target folder can be set.
    pub fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
        let mut command = Command::new(cargo());
        command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(manifest);
        let text = output(&mut command)?;
        let found: Metadata = serde_json::from_str(&text).context("cargo metadata was not understood")?;
        Ok(Self { root: found.workspace_root, target: found.target_directory })
    }

    /// A command of cargo that runs in the clone.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// The control plane's binary as `cargo build` leaves it.
    pub fn control_binary(&self) -> PathBuf {
        self.target.join("debug").join("wardgate")
    }

    /// The mailbox's binary, built with it.
    pub fn mailbox_binary(&self) -> PathBuf {
        self.target.join("debug").join("wardgate-mailbox")
    }

    /// A file of an npm package.
    pub fn npm(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join("node_modules").join(path)
    }
}

/// The cargo that runs us, so that a nested build cannot pick another tool chain.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or("cargo".into())
}
