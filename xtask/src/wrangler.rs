//! `wrangler`: the pinned one under the pinned Node, since few machines have a Node new enough for it.
//!
//! `wrangler dev` is pointed at what `dev` left in the state folder: the same D1 and KV, the same secrets, the
//! same address.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, bail};

use crate::cli::StateOption;
use crate::ports::Ports;
use crate::secrets::Secrets;
use crate::state::{Held, State};
use crate::tools::{self, node_command};
use crate::workspace::Workspace;
use crate::{dev, greeting};

/// Becomes wrangler, in the clone, where wrangler.toml is.
pub fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    tools::install(workspace)?;
    let mut wrangler = node_command(workspace)?;
    // It runs in a terminal of a developer, so it may ask.
    wrangler.env_remove("CI").current_dir(&workspace.root);
    wrangler.arg(workspace.npm("wrangler/bin/wrangler.js")).args(arguments);
    let held = if is_local_dev(arguments) { Some(hold(workspace)?) } else { None };
    if let Some(held) = &held {
        wrangler.args(local(&held.state, arguments)?);
        held.keep_over_exec()?;
    }
    Err(wrangler.exec()).context("cannot run wrangler")
}

/// `wrangler dev`, unless it asks for help or runs at Cloudflare.
fn is_local_dev(arguments: &[OsString]) -> bool {
    let elsewhere = ["--help", "-h", "--remote", "-r"];
    arguments.first().is_some_and(|verb| verb == "dev")
        && !arguments.iter().any(|argument| elsewhere.iter().any(|other| argument == other))
}

/// Locks the state against any `dev`: D1 is a SQLite file, and of two programs that write to it one sometimes gets
/// SQLITE_BUSY, which the Worker answers with 503.
fn hold(workspace: &Workspace) -> Result<Held> {
    let option = StateOption { state: std::env::var_os("WARDGATE_STATE").map(Into::into) };
    let state = State::find(&dev::folder(workspace, &option))
        .filter(|state| state.path("edge.vars").is_file())
        .context("nothing is prepared for `wrangler dev`: run `./wardgate dev --prepare` first")?;
    match state.hold()? {
        Some(held) => Ok(held),
        None => bail!("{}. `wrangler dev` would use the same database", greeting::who_runs(&state)),
    }
}

/// The arguments that `wrangler dev` needs, except those that were given already.
fn local(state: &State, said: &[OsString]) -> Result<Vec<OsString>> {
    let secrets = Secrets::read(&state.path("secrets.json"))?.context("the state has no secrets")?;
    let port = Ports::from_base(secrets.port_base).edge.to_string();
    let options: [(&str, OsString); 4] = [
        ("--persist-to", state.path("edge").into()),
        ("--env-file", state.path("edge.vars").into()),
        ("--ip", "127.0.0.1".into()),
        ("--port", port.into()),
    ];
    let is_said = |name: &str| {
        said.iter().filter_map(|argument| argument.to_str()).any(|argument| {
            argument.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    let missing = options.into_iter().filter(|(name, _)| !is_said(name));
    Ok(missing.flat_map(|(name, value)| [name.into(), value]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn wrangler_dev_gets_what_nobody_said() {
        let parent = tempfile::tempdir().unwrap();
        let state = State::create(&parent.path().join("state")).unwrap();
        Secrets::generate(9000, true).unwrap().write(&state.path("secrets.json")).unwrap();
        let folder = state.folder().display();
        let all =
            format!("--persist-to {folder}/edge --env-file {folder}/edge.vars --ip 127.0.0.1 --port 9007");
        assert_eq!(local(&state, &words("dev")).unwrap(), words(&all));
        let said = words("dev --port=1 --persist-to x --local");
        let rest = format!("--env-file {folder}/edge.vars --ip 127.0.0.1");
        assert_eq!(local(&state, &said).unwrap(), words(&rest));
        for (line, is_local) in [
            ("dev", true),
            ("dev --local", true),
            ("dev --remote", false),
            ("dev --help", false),
            ("deploy", false),
        ] {
            assert_eq!(is_local_dev(&words(line)), is_local, "{line}");
        }
    }
}
