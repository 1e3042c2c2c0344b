//! `cargo bench -p wardgate-control --bench ratios`: what operations cost next to each other, on one machine in one
//! run. `./wardgate bench control` starts a PostgreSQL for it; `docs/benchmarks.md` has figures and says how to read them.
#![allow(clippy::print_stdout, reason = "a command for people")]

mod bench;

use std::path::PathBuf;
use std::process::ExitCode;

use bench::{Options, Outcome};
use clap::Parser;

/// Measures control against PostgreSQL; exits with 1 if a ratio is above its promised limit.
#[derive(Parser)]
struct Arguments {
    /// A superuser of the PostgreSQL to measure on. Databases and roles are made there.
    #[arg(long, env = "WARDGATE_BENCH_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Users of the one large tenant.
    #[arg(long, default_value_t = 1_000_000)]
    users: u32,
    /// How many small tenants there are.
    #[arg(long, default_value_t = 1_000)]
    tenants: u32,
    /// Users of each small tenant.
    #[arg(long, default_value_t = 1_000)]
    users_each: u32,
    /// How often each operation is measured.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write the plans of the main statements to this file.
    #[arg(long, value_name = "FILE")]
    plans: Option<PathBuf>,
    /// An argument that cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Outcome<ExitCode> {
    let Arguments { database_url, users, tenants, users_each, rounds, json, plans, bench: _ } =
        Arguments::parse();
    let seconds = if users < 100_000 { 0.5 } else { 2.0 };
    let name = format!("bench_{users}_{tenants}_{users_each}");
    let options = Options { database_url, name, users, tenants, users_each, rounds, seconds };
    let (report, text) = bench::run(&options).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    if let Some(file) = plans {
        std::fs::write(&file, text)?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
