//! Every other verb: the service's own command line, pointed at what `dev` runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::CommandFactory;

use crate::cli::{Cli, StateOption};
use crate::control;
use crate::dev_json::DevJson;
use crate::settings::TENANT;
use crate::state::State;
use crate::workspace::Workspace;

/// The service's verbs that work on nothing that `dev` runs.
const WITHOUT_SETTINGS: [&str; 3] = ["secrets", "openapi", "help"];
/// How alike a word must be to one of ours to be taken for a slip; none of the service's verbs is.
const ALIKE: f64 = 0.85;

/// Becomes the service's binary. What the environment says already is left alone.
pub fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    // `service` only leads here: `./wardgate service --help`.
    let arguments = arguments.get(usize::from(first(arguments) == Some("service"))..).unwrap_or_default();
    if let Some(ours) = first(arguments).and_then(meant) {
        let typed = first(arguments).unwrap_or_default();
        bail!("there is no verb `{typed}`: did you mean `./wardgate {ours}`? `./wardgate help` lists them");
    }
    let running = running(workspace);
    if running.is_none() && needs_settings(arguments) && !settings_are_said() {
        bail!(
            "no dev runs here: `./wardgate dev` starts one. For another control WARDGATE_CONFIG names its settings"
        );
    }
    if !workspace.control_binary().is_file() {
        control::build(workspace)?;
    }
    let mut command = Command::new(workspace.control_binary());
    command.args(arguments);
    if let Some(state) = running
        && std::env::var_os("WARDGATE_CONFIG").is_none()
    {
        command.env("WARDGATE_CONFIG", state.path("control.toml"));
    }
    if std::env::var_os("WARDGATE_TENANT").is_none() {
        command.env("WARDGATE_TENANT", TENANT);
    }
    Err(command.exec()).context("cannot run the service's binary")
}

fn first(arguments: &[OsString]) -> Option<&str> {
    arguments.first().map(OsString::as_os_str).and_then(OsStr::to_str)
}

/// The verb of ours that a word was meant to be.
fn meant(word: &str) -> Option<String> {
    let ours = Cli::command();
    let ours = ours.get_subcommands().filter(|verb| !verb.is_hide_set()).map(clap::Command::get_name);
    // A word that is a verb of ours came by `service`, or both have it, as `mail`.
    let alike = ours.map(|verb| (strsim::jaro(word, verb), verb));
    let alike = alike.filter(|(likeness, verb)| *likeness > ALIKE && *verb != word);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, verb)| verb.to_owned())
}

/// The state of the dev that runs. One that was killed has left its file behind, and holds nothing any more.
fn running(workspace: &Workspace) -> Option<State> {
    let option = StateOption { state: std::env::var_os("WARDGATE_STATE").map(Into::into) };
    let state = State::find(&crate::dev::folder(workspace, &option))?;
    DevJson::read(&state)?;
    state.hold().is_ok_and(|held| held.is_none()).then_some(state)
}

fn needs_settings(arguments: &[OsString]) -> bool {
    let asks_for_help =
        |word: &OsString| ["--help", "-h", "--version", "-V", "settings"].iter().any(|it| word == it);
    match first(arguments) {
        None => false,
        Some(verb) => !WITHOUT_SETTINGS.contains(&verb) && !arguments.iter().any(asks_for_help),
    }
}

fn settings_are_said() -> bool {
    ["WARDGATE_CONFIG", "WARDGATE_DATABASE_APP_URL"].iter().any(|name| std::env::var_os(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_a_verb_of_the_service() {
        for (slip, verb) in [("tset", "test"), ("chekc", "check"), ("budnle", "bundle"), ("docter", "doctor")]
        {
            assert_eq!(meant(slip).as_deref(), Some(verb), "{slip}");
        }
        let service = [
            "serve",
            "migrate",
            "bootstrap",
            "secrets",
            "openapi",
            "tenant",
            "user",
            "keys",
            "import",
            "edges",
            "mail",
            "--json",
        ];
        for verb in service {
            assert_eq!(meant(verb), None, "{verb}");
        }
    }

    #[test]
    fn some_verbs_need_no_dev() {
        let needs = |words: &[&str]| needs_settings(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(needs(&["user", "list"]) && needs(&["migrate"]));
        for words in [
            &["secrets"][..],
            &["user", "--help"],
            &["openapi"],
            &["tenant", "settings"],
            &["help", "user"],
            &[],
        ] {
            assert!(!needs(words), "{words:?}");
        }
    }
}
