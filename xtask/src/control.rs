//! Control: its binary as a server, and its command line as everything else.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Deserialize;

use crate::program::{Program, Running};
use crate::run::run;
use crate::state::State;
use crate::workspace::Workspace;

/// The exit code of `show` for what does not exist.
const NOT_FOUND: i32 = 4;

/// The service's binary, pointed at one state.
pub struct Control {
    binary: PathBuf,
    settings: PathBuf,
}

/// A list as the command line shows it.
#[derive(Deserialize)]
struct Listed {
    count: u64,
}

/// A tenant as the command line shows it.
#[derive(Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Its short name.
    pub slug: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// The issuer of its tokens.
    pub issuer: String,
}

/// A person as the command line shows one.
#[derive(Deserialize)]
pub struct User {
    /// Their id.
    pub id: String,
    /// Their name at sign-in.
    pub username: String,
    /// Their address.
    pub email: String,
    /// Their roles.
    pub roles: Vec<String>,
}

/// A person to be made.
pub struct NewUser<'a> {
    /// Where.
    pub tenant: &'a str,
    /// Their name at sign-in.
    pub username: &'a str,
    /// Their address.
    pub email: &'a str,
    /// Their password, which travels by standard input.
    pub password: &'a str,
}

/// Builds the binary, and the mailbox's. Cargo chooses the features of dependencies by the packages that are selected:
/// the whole workspace, as in tests, so that what was built for one is not built again for the other.
pub fn build(workspace: &Workspace) -> Result<()> {
    run(&mut workspace.cargo(&["build", "--workspace", "--bin", "wardgate", "--bin", "wardgate-mailbox"]))
}

impl Control {
    /// The built binary with the settings of this state.
    pub fn of(workspace: &Workspace, state: &State) -> Self {
        Self { binary: workspace.control_binary(), settings: state.path("control.toml") }
    }

    /// A command of its command line.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("WARDGATE_CONFIG", &self.settings);
        command
    }

    /// Starts the server.
    pub fn serve(&self, state: &State) -> Result<Running> {
        let mut program = Program::new("control", &self.binary, Signal::TERM);
        program.command().arg("serve").env("WARDGATE_CONFIG", &self.settings);
        program.start(state)
    }

    /// Brings the database to the binary's version.
    pub fn migrate(&self) -> Result<()> {
        self.answer(&["migrate"], "").map(|_| ())
    }

    /// The tenant, made where it does not exist yet.
    pub fn ensure_tenant(&self, slug: &str, name: &str, host: &str, issuer: &str) -> Result<Tenant> {
        let shown = self.answer(&["tenant", "show", slug, "--json"], "")?;
        let text = match shown {
            Some(text) => text,
            None => self.made(
                &[
                    &["tenant", "create", slug, "--name", name, "--host", host, "--issuer", issuer, "--json"]
                        [..],
                    // The administrator of a tenant for development signs in by password alone, and once.
                    &["--set", "second_factor_roles=", "--set", "step_up_secs=0"],
                ]
                .concat(),
                "",
            )?,
        };
        serde_json::from_str(&text).context("`wardgate tenant` answered something else")
    }

    /// Sets settings of a tenant, each as `name=value`.
    pub fn set(&self, tenant: &str, settings: &[&str]) -> Result<()> {
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        let words: Vec<&str> = ["tenant", "edit", tenant, "--json"].into_iter().chain(set).collect();
        self.made(&words, "").map(|_| ())
    }

    /// The root administrator, made where they do not exist yet.
    pub fn ensure_administrator(&self, user: &NewUser<'_>) -> Result<User> {
        let (name, tenant) = (user.username, user.tenant);
        let text = match self.answer(&["user", "show", name, "--tenant", tenant, "--json"], "")? {
            Some(text) => text,
            None => {
                let who = ["user", "create", name, "--tenant", tenant, "--email", user.email];
                let how = ["--role", "root-admin", "--password-stdin", "--json"];
                self.made(&[&who[..], &how[..]].concat(), user.password)?
            }
        };
        serde_json::from_str(&text).context("`wardgate user` answered something else")
    }

    /// Whether the edge has confirmed everything that was committed.
    pub fn edge_has_all(&self) -> Result<bool> {
        let behind = self.made(&["edges", "status", "--behind", "--json"], "")?;
        let behind: Listed =
            serde_json::from_str(&behind).context("`wardgate edges status` answered something else")?;
        Ok(behind.count == 0)
    }

    fn made(&self, arguments: &[&str], input: &str) -> Result<String> {
        self.answer(arguments, input)?
            .with_context(|| format!("`wardgate {}` found nothing", arguments.join(" ")))
    }

    /// The output of the command; `None` if it reports that the object does not exist.
    fn answer(&self, arguments: &[&str], input: &str) -> Result<Option<String>> {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe was asked for")?.write_all(input.as_bytes())?;
        let done = child.wait_with_output()?;
        match done.status.code() {
            Some(0) => Ok(Some(String::from_utf8_lossy(&done.stdout).into_owned())),
            Some(NOT_FOUND) => Ok(None),
            _ => bail!(
                "`wardgate {}` failed:\n{}",
                arguments.join(" "),
                String::from_utf8_lossy(&done.stderr).trim()
            ),
        }
    }
}
