//! `wrangler`: the pinned one under the pinned Node, since few machines have a Node new enough for it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::tools::{self, node_command};
use crate::workspace::Workspace;

/// Becomes wrangler, in the clone, where wrangler.toml is.
pub fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    tools::install(workspace)?;
    let mut wrangler = node_command(workspace)?;
    // Somebody sits there: it may ask.
    wrangler.env_remove("CI").current_dir(&workspace.root);
    wrangler.arg(workspace.npm("wrangler/bin/wrangler.js")).args(arguments);
    Err(wrangler.exec()).context("cannot run wrangler")
}
