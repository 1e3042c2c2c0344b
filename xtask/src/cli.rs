//! The command line of `./wardgate`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Build, run, test and measure Wardgate on this machine.
#[derive(Parser)]
#[command(
    name = "wardgate",
    bin_name = "./wardgate",
    disable_version_flag = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub verb: Verb,
}

const AFTER_HELP: &str = "\
Any other command goes to the service's own command line, connected to the running `dev`:
  ./wardgate user create ada --email ada@acme.test --role staff
  ./wardgate tenant list            ./wardgate keys rotate            ./wardgate edges status
`./wardgate service --help` lists them; the tenant is `acme` unless --tenant is given.

To begin:
  ./wardgate dev       builds and runs everything, then prints commands to try
  ./wardgate test      runs every test, beside a running dev or without one; --long with full counts";

/// One verb.
#[derive(Subcommand)]
pub enum Verb {
    /// Build and run everything on this machine: PostgreSQL, control, and the Worker
    Dev(DevOptions),
    /// Stop the dev that runs on this state folder
    Stop(StateOption),
    /// Start the parts of the running dev that have ended
    Restart(StateOption),
    /// Run every test, against its own PostgreSQL and Worker
    Test(TestOptions),
    /// Check format, imports, lints, SQL metadata, documentation, and the Worker's bundle
    Check,
    /// Measure costs of operations as ratios
    Bench(BenchOptions),
    /// Print the last mail that control sent in dev; or manage the tenant's mail server
    Mail(MailOptions),
    /// Build the Worker into build/edge
    Bundle(BundleOptions),
    /// Run the pinned wrangler: deploys the Worker; `wrangler dev` runs what `dev --prepare` has set up
    Wrangler(WranglerOptions),
    /// Show what is installed, what is missing, and what runs
    Doctor(StateOption),
    /// Run a PostgreSQL of our own until standard input closes; prints its address as JSON
    #[command(hide = true)]
    Postgres(PostgresOptions),
    /// The service's own command line
    #[command(external_subcommand)]
    Service(Vec<OsString>),
}

/// Which state folder.
#[derive(Args, Clone)]
pub struct StateOption {
    /// Folder of databases, secrets and logs, relative to the current folder [default: .wardgate in the
    /// clone]
    #[arg(long, value_name = "DIR", env = "WARDGATE_STATE")]
    pub state: Option<PathBuf>,
}

/// Options of `dev`.
#[derive(Args)]
pub struct DevOptions {
    /// Which state folder.
    #[command(flatten)]
    pub state: StateOption,
    /// Base of the ports: the edge listens on N+7, control on N+8, its metrics on N+9, PostgreSQL on N+10, SMTP on N+12,
    /// the page with the mails on N+13 [default: 8780]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1017..=65_522))]
    pub port_base: Option<u16>,
    /// Delete the state first: the folder's content, never a database of DATABASE_URL
    #[arg(long)]
    pub reset: bool,
    /// Return when everything runs, and leave it running
    #[arg(long)]
    pub detach: bool,
    /// Set everything up for `wrangler dev`, and exit
    #[arg(long, conflicts_with = "detach")]
    pub prepare: bool,
}

/// Options of `mail`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = MAIL_HELP)]
pub struct MailOptions {
    /// The command; `last` if absent.
    #[command(subcommand)]
    pub verb: Option<MailVerb>,
    /// The output format.
    #[command(flatten)]
    pub shape: MailShape,
}

/// The commands of `mail`. The service's command line has a command `mail`, too, without these two.
#[derive(Subcommand)]
pub enum MailVerb {
    /// Print the last mail, with its links
    Last(MailShape),
    /// List the mails, the newest first
    List(MailShape),
    /// The service's own `mail`
    #[command(external_subcommand)]
    Service(Vec<OsString>),
}

/// Options of `mail last` and `mail list`.
#[derive(Args, Clone)]
pub struct MailShape {
    /// Which state folder.
    #[command(flatten)]
    pub state: StateOption,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const MAIL_HELP: &str = "\
Any other command goes to the service, as in `./wardgate mail show`: `./wardgate service mail --help` lists them.
While dev runs, a page shows the mails, too; dev prints its address.

Examples:
  ./wardgate mail
  ./wardgate mail --json
  ./wardgate mail list
  ./wardgate mail test ada@acme.test";

/// Options of `bundle`.
#[derive(Args)]
pub struct BundleOptions {
    /// Build the bundle of the end-to-end tests, into build/edge-test
    #[arg(long)]
    pub test: bool,
}

/// Options of `test`.
#[derive(Args)]
pub struct TestOptions {
    /// Only tests whose name contains NAME
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Run with full counts instead of reduced ones: a hundred thousand users, thousands of cases
    #[arg(long)]
    pub long: bool,
}

/// Options of `bench`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = BENCH_HELP)]
pub struct BenchOptions {
    /// Of what; without one, everything of the Worker.
    #[command(subcommand)]
    pub of: Option<BenchOf>,
    /// How.
    #[command(flatten)]
    pub edge: BenchEdgeOptions,
}

/// The benchmarks.
#[derive(Subcommand)]
pub enum BenchOf {
    /// Validation of tokens that the isolate knows, against an empty Worker, jose, hono/jwt, Clerk and OpenAuth
    Validate(BenchEdgeOptions),
    /// Validation of more tokens than the isolate remembers, against jose and an empty Worker
    Miss(BenchEdgeOptions),
    /// The public keys, against an empty Worker
    Keys(BenchEdgeOptions),
    /// Sign-ins, against better-auth, OpenAuth and Argon2id alone; and Argon2id in Wasm against native
    Login(BenchEdgeOptions),
    /// Refreshes, against better-auth and OpenAuth
    Refresh(BenchEdgeOptions),
    /// Sign-ins of one tenant while another is under attack, with the budget of hashes and without it
    #[command(
        after_help = "Takes some minutes. Ends with 1 if a sign-in takes more than twice its quiet time with the \
                            budget on.\n\nExample:\n  ./wardgate bench isolation"
    )]
    Isolation,
    /// Lists, encrypted columns and the audit log over a million users: ratios from one run, compared with the promised
    /// limits
    #[command(after_help = BENCH_CONTROL_HELP)]
    Control(BenchControlOptions),
}

const BENCH_HELP: &str = "\
Without a name it measures validate, miss, keys, login and refresh: some ten minutes, and as long to build the first time.
Each is the processor time that the server takes for a request, as a ratio to another server that runs in turns with it;
docs/benchmarks.md says how to read the table. Needs Linux. Ends with 1 if a server is not what it is taken for, as when
it accepts a forged token; a goal that is missed is a line in the table.

Examples:
  ./wardgate bench
  ./wardgate bench validate --rounds 31
  ./wardgate bench --json > report.json";

/// Options of what is measured of the Worker.
#[derive(Args)]
pub struct BenchEdgeOptions {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Slices of each pair; the ratio is the median over them [default: 7 to 15]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub rounds: Option<u32>,
}

const BENCH_CONTROL_HELP: &str = "\
Needs about 15 GB of disk and half an hour, most of it for loading the users; docs/benchmarks.md explains the table.
Exits with 1 if a ratio is above its promised limit.

Examples:
  ./wardgate bench control --small
  ./wardgate bench control --plans plans.txt
  ./wardgate bench control --state /var/tmp/wardgate-bench --json > report.json";

/// Options of `bench control`.
#[derive(Args)]
pub struct BenchControlOptions {
    /// A quick run: 10,000 users in one tenant, 20 tenants of 500
    #[arg(long)]
    pub small: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Write the query plans of the main statements into FILE
    #[arg(long, value_name = "FILE")]
    pub plans: Option<PathBuf>,
    /// Keep the loaded database in DIR for the next run
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// Arguments of `wrangler`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct WranglerOptions {
    /// Arguments of wrangler
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// Options of `postgres`.
#[derive(Args)]
pub struct PostgresOptions {
    /// Folder of the cluster's own state, made when it is not there.
    #[arg(long)]
    pub state: PathBuf,
    /// Port, or 0 for a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mail_is_shared_with_the_service() {
        let parsed = |words: &[&str]| match Cli::try_parse_from([&["wardgate", "mail"], words].concat()) {
            Ok(Cli { verb: Verb::Mail(MailOptions { verb, shape }) }) => (verb, shape),
            _ => panic!("{words:?}"),
        };
        assert!(matches!(parsed(&[]), (None, MailShape { json: false, .. })));
        assert!(matches!(parsed(&["--json"]), (None, MailShape { json: true, .. })));
        assert!(matches!(
            parsed(&["last", "--json"]),
            (Some(MailVerb::Last(MailShape { json: true, .. })), _)
        ));
        assert!(matches!(parsed(&["list"]), (Some(MailVerb::List(_)), _)));
        for words in [&["show"][..], &["set", "h", "--from", "a@b", "--json"], &["test", "a@b"], &["remove"]]
        {
            let (Some(MailVerb::Service(passed)), _) = parsed(words) else { panic!("{words:?}") };
            assert_eq!(passed, words);
        }
    }
}
