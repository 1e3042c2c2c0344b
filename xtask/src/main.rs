//! The program of `./wardgate` and `cargo xtask`: set-up, builds, development, tests and checks.
//!
//! Nothing here is deployed. The script `wardgate` checks that cargo and npm exist and then runs this program. `cli`
//! lists the commands; `dev`, `test`, `check`, `bench` and `doctor` are the long ones; `stack` starts and stops the
//! processes, and the other files are its parts.
#![allow(clippy::print_stdout, reason = "a command for people")]

mod bench;
mod bench_edge;
mod bundle;
mod check;
mod cli;
mod clients;
mod control;
mod dev;
mod dev_json;
mod dev_vars;
mod doctor;
mod edge;
mod edge_migrations;
mod events;
mod file_rules;
mod greeting;
mod imports;
mod ledger;
mod mail;
mod ports;
mod postgres;
mod program;
mod readiness;
mod run;
mod scratch;
mod scripts;
mod secrets;
mod server;
mod service;
mod settings;
mod stack;
mod state;
mod steps;
mod test;
mod tools;
mod wait;
mod workspace;
mod wrangler;

use std::process::ExitCode;

use clap::Parser;

use crate::bundle::Kind;
use crate::cli::{Cli, Verb};
use crate::events::{Events, Stopped};
use crate::steps::Steps;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run(&Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Stopped>() => {
            println!("\nStopped.");
            // The exit code of a program that Ctrl-C ended, as shells report it.
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nwardgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    // The script had to leave the folder that relative paths of the command line count from.
    if let Some(folder) = std::env::var_os("WARDGATE_FROM") {
        std::env::set_current_dir(folder)?;
    }
    match verb {
        Verb::Dev(options) => dev::run(&workspace, options),
        Verb::Stop(option) => dev::stop(&workspace, option),
        Verb::Restart(option) => dev::restart(&workspace, option),
        Verb::Bundle(options) => {
            let kind = if options.test { Kind::Test } else { Kind::Production };
            let events = Events::listen()?;
            let mut steps = Steps::new(2, &events);
            steps.step("Tools: Wasm target, npm packages", || tools::install(&workspace))?;
            steps.noted("Worker: build the bundle", || bundle::build(&workspace, kind))?;
            Ok(())
        }
        Verb::Mail(options) => mail::run(&workspace, options),
        Verb::Service(arguments) => service::run(&workspace, arguments),
        Verb::Test(options) => test::run(&workspace, options),
        Verb::Check => check::run(&workspace),
        Verb::Bench(options) => bench::run(&workspace, options),
        Verb::Wrangler(options) => wrangler::run(&workspace, &options.arguments),
        Verb::Doctor(option) => doctor::run(&workspace, option),
        Verb::Postgres(options) => server::run(&workspace, options),
    }
}
