//! `wardgate passwords`: filters of common and breached passwords. Needs no database, and settings only if no option
//! names the filter.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use shared::passwords::Password;

use super::outcome::CliError;
use super::password::typed;
use super::show::{Rows, Show};
use crate::passwords::filter::{BuildError, Built, Filter, FilterError, Form, Header, build};
use crate::passwords::{Filters, common};
use crate::settings;
use crate::world::Clock;

/// Lines between two lines of progress output.
const NOTED: u64 = 50_000_000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Bloom filters of passwords: a few bits per password.
    Filter {
        #[command(subcommand)]
        command: FilterCommand,
    },
}

#[derive(Subcommand)]
pub(super) enum FilterCommand {
    /// Build a filter from a file of breached or common passwords, for the setting `passwords.filter`.
    #[command(
        after_help = "The file is the one that haveibeenpwned.com's downloader writes, with all SHA-1 hashes, `<hash>:<count>` a line; \
                      or with --words one password a line. It is read twice. Memory: the size of the filter, which is \
                      1.8 bytes a password at the default rate of false positives, 1.2 at 0.01.\n\n\
                      Examples:\n  wardgate passwords filter build pwnedpasswords.txt --out pwned.filter --least-count 10\n  \
                      wardgate passwords filter build our-products.txt --words --out ours.filter"
    )]
    Build(Build),
    /// Check whether a password is listed: exit code 5 if it is. It is prompted for at a terminal, else the first line of
    /// standard input.
    #[command(
        after_help = "Examples:\n  echo 'correct horse' | wardgate passwords filter check\n  wardgate passwords filter check --filter pwned.filter"
    )]
    Check(Which),
    /// Show filters: number of passwords, rate of false positives, source and date. Each file is read in full and compared
    /// with its checksum.
    #[command(
        after_help = "Examples:\n  wardgate passwords filter info\n  wardgate passwords filter info --filter pwned.filter"
    )]
    Info(Which),
}

#[derive(clap::Args)]
pub(super) struct Which {
    /// A filter file. Default: the filters that the settings name.
    #[arg(long, value_name = "FILTER")]
    filter: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Build {
    /// The list of passwords or hashes.
    list: PathBuf,
    /// The file to write. An existing file is replaced when the new one is complete.
    #[arg(long, value_name = "FILTER")]
    out: PathBuf,
    /// The list has one password a line instead of hashes.
    #[arg(long, conflicts_with = "least_count")]
    words: bool,
    /// Leave out passwords that were seen less often.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    least_count: u64,
    /// The rate of false positives: 0.000001 to 0.1. Each password is looked up twice, as it is and in lower case.
    #[arg(long, value_name = "RATE", default_value_t = 0.001, value_parser = rate)]
    false_positives: f64,
    /// The source that `info` shows. Default: the name of the list's file.
    #[arg(long)]
    source: Option<String>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.000_001..=0.1).contains(rate));
    rate.ok_or_else(|| String::from("expected a number from 0.000001 to 0.1"))
}

/// A filter, as it is shown.
#[derive(Serialize)]
struct Shown {
    filter: String,
    bytes: u64,
    #[serde(flatten)]
    header: Header,
}

const FILTERS: Rows<Shown> = Rows {
    names: ["filter", "filters"],
    head: &["filter", "passwords", "seen", "false positives", "size", "made at", "source"],
    line: |row| {
        vec![
            row.filter.clone(),
            HumanCount(row.header.entries).to_string(),
            row.header.least_count.to_string(),
            format!("{:.6}", row.header.false_positives),
            HumanBytes(row.bytes).to_string(),
            row.header.made_at.format("%Y-%m-%d").to_string(),
            row.header.source.clone(),
        ]
    },
};

impl Shown {
    fn of(name: &str, filter: &Filter) -> Self {
        Self { filter: name.to_owned(), bytes: filter.size_bytes(), header: filter.header().clone() }
    }
}

pub(super) fn run(show: Show, command: Command) -> Result<(), CliError> {
    let Command::Filter { command } = command;
    match command {
        FilterCommand::Build(args) => build_filter(show, &args),
        FilterCommand::Check(which) => check(show, &which),
        FilterCommand::Info(which) => which.each(|filters| {
            let shown: Vec<_> = filters.iter().map(|(name, filter)| Shown::of(name, filter)).collect();
            show.list(&FILTERS, &shown);
            Ok(())
        }),
    }
}

impl Which {
    /// Opens the filters, each with its name.
    fn each(&self, then: impl FnOnce(&[(&str, &Filter)]) -> Result<(), CliError>) -> Result<(), CliError> {
        if let Some(path) = &self.filter {
            let filter = Filter::open(path).map_err(|error| refused(path, &error))?;
            return then(&[(&path.display().to_string(), &filter)]);
        }
        let filters = Filters::of(&settings::load()?.passwords)?;
        let own = filters.own()?.map(|own| ("passwords.filter", own));
        then(&[("common", common()?)].into_iter().chain(own).collect::<Vec<_>>())
    }
}

fn refused(path: &Path, error: &FilterError) -> CliError {
    let said = format!("{}: {error}", path.display());
    match error {
        FilterError::Io(_) => CliError::Failed(said),
        FilterError::Foreign | FilterError::Damaged | FilterError::OtherRule => CliError::Refused(said),
    }
}

fn build_filter(show: Show, args: &Build) -> Result<(), CliError> {
    let name = args.list.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let wanted = Built {
        form: if args.words { Form::Words } else { Form::Pwned },
        least_count: args.least_count,
        false_positives: args.false_positives,
        source: args.source.as_deref().unwrap_or(&name),
        made_at: Clock::default().now(),
    };
    let progress = |lines: u64| {
        if lines.is_multiple_of(NOTED) {
            show.note(&format!("{} lines", HumanCount(lines)));
        }
    };
    let filter = build(&args.list, &wanted, progress).map_err(|error| match error {
        BuildError::Io(_) => CliError::Failed(format!("{}: {error}", args.list.display())),
        BuildError::Line { .. } | BuildError::Empty | BuildError::Changed => {
            CliError::Refused(format!("{}: {error}", args.list.display()))
        }
    })?;
    let saved = filter.save(&args.out);
    saved.map_err(|error| CliError::Failed(format!("{}: {error}", args.out.display())))?;
    let shown = Shown::of(&args.out.display().to_string(), &filter);
    show.one(&shown, &format!("built: {}", (FILTERS.line)(&shown).join("  ")));
    Ok(())
}

fn check(show: Show, which: &Which) -> Result<(), CliError> {
    which.each(|filters| {
        let asked = typed("Password: ")?;
        let parsed = Password::parse(&asked)
            .map_err(|_| CliError::Refused(String::from("no password has so many bytes")))?;
        let listing = filters.iter().filter(|(_, filter)| filter.lists(parsed.expose()));
        let listing: Vec<_> = listing.map(|(name, _)| *name).collect();
        if listing.is_empty() {
            show.one(&serde_json::json!({ "listed": [] }), "not listed");
            return Ok(());
        }
        if show.json {
            show.one(&serde_json::json!({ "listed": listing }), "");
        }
        Err(CliError::Refused(format!("listed: {}", listing.join(", "))))
    })
}
