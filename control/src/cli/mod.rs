//! The command line: the same functions as the API, for an operator with access to the database.
//!
//! People get tables, programs `--json`. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 settings
//! refused, 4 no such thing, 5 refused (what was asked does not hold or is not allowed now).

mod archive;
mod audit;
mod bootstrap;
mod branch;
mod captcha;
mod claims;
mod confirm;
mod devices;
mod edges;
mod encryption;
mod import;
mod invitations;
mod jobs;
mod keys;
mod known;
mod legacy;
mod lookup;
mod mail;
mod mfa;
mod outcome;
mod password;
mod passwords;
mod policy;
mod profile;
mod role;
mod roles;
mod rotation;
mod search;
mod secrets;
mod session_root;
mod sessions;
mod settings;
mod show;
mod target;
mod tenant;
mod tenant_list;
mod user;
mod user_list;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::control::{self, Control};
use crate::db::migrate;
use crate::tenants;
use crate::{api::openapi, serve};
use outcome::CliError;
use show::{CellOut, Rows, Show, optional};

const EXAMPLES: &str = "\
Examples:
  wardgate migrate
  wardgate tenant create acme --name Acme --host acme.example
  wardgate user create ada --tenant acme --email ada@acme.example --role root-admin --password-stdin
  wardgate keys rotate --tenant acme
  wardgate edges status --json
  wardgate serve

Settings come from the file that WARDGATE_CONFIG names and from the environment, which wins;
wardgate.sample.toml lists them all.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 invalid settings, 4 not found, 5 refused.";

/// Wardgate's control plane: tenants, users, keys, and their copies at the edge.
#[derive(Parser)]
#[command(name = "wardgate", version, after_help = EXAMPLES)]
struct Cli {
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API, push changes to the edge and read its events, until a signal ends it.
    Serve,
    /// Create missing database roles, schema and platform tenant, and migrate every cell.
    #[command(
        after_help = "Idempotent; can be repeated after a kill at any point.\n\nExample:\n  wardgate migrate"
    )]
    Migrate,
    /// Print a token, valid once for an hour, to create the platform's first root-admin.
    #[command(after_help = bootstrap::EXAMPLES)]
    Bootstrap,
    /// Print new secrets for a deployment, in the form of the settings of control and Worker.
    #[command(after_help = secrets::EXAMPLES)]
    Secrets {
        /// A suffix for the ids of the keys: 1 to 16 of A-Z, a-z, 0-9, _ and -.
        #[arg(long, default_value = "1")]
        name: String,
    },
    /// Print the OpenAPI 3.1 document, as GET /api/schema/ serves it.
    #[command(
        after_help = "Needs neither settings nor a database.\n\nExample:\n  wardgate openapi > wardgate.openapi.json"
    )]
    Openapi,
    /// Create, show and change tenants.
    Tenant {
        #[command(subcommand)]
        command: tenant::Command,
    },
    /// Create, show and change users of a tenant.
    User {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: user::Command,
    },
    /// List, create, change and delete roles of a tenant.
    Role {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: role::Command,
    },
    /// List, create, rename, move, archive and delete branches of a tenant.
    Branch {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: branch::Command,
    },
    /// Show and change the sign-in policy of a tenant: second factors, passwords, lifetimes.
    Policy {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: policy::Command,
    },
    /// The CAPTCHA that a tenant asks for: show, set and remove it.
    Captcha {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: captcha::Command,
    },
    /// List and end the sessions of a user.
    Sessions {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: sessions::Command,
    },
    /// List, rotate, revoke and import signing keys of a tenant.
    Keys {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: keys::Command,
    },
    /// Import the users of another service.
    Import {
        #[command(subcommand)]
        command: import::Command,
    },
    /// The index for user searches: its state, rebuilding it, and replacing its key.
    Search {
        #[command(subcommand)]
        command: search::Command,
    },
    /// The secret that refresh tokens of a tenant are signed with: its state, and replacing it.
    SessionRoot {
        #[command(subcommand)]
        command: session_root::Command,
    },
    /// The secret that user names and addresses are hashed with: its state, and replacing it.
    Lookup {
        #[command(subcommand)]
        command: lookup::Command,
    },
    /// The mail server of a tenant: show, set, remove and test it.
    Mail {
        #[command(flatten)]
        of: OfTenant,
        #[command(subcommand)]
        command: mail::Command,
    },
    /// Filters of common and breached passwords: build, query, show.
    Passwords {
        #[command(subcommand)]
        command: passwords::Command,
    },
    /// The copies at the edge: lag, keys, and recovery after a restore.
    Edges {
        #[command(subcommand)]
        command: edges::Command,
    },
    /// Background jobs of all tenants: list, retry and cancel them.
    Jobs {
        #[command(subcommand)]
        command: jobs::Command,
    },
    /// Verify the audit logs, and archive old entries.
    Audit {
        #[command(subcommand)]
        command: audit::Command,
    },
    /// The data keys of tenants: which key-encryption key wraps them, and replacing them.
    Encryption {
        #[command(subcommand)]
        command: encryption::Command,
    },
}

#[derive(clap::Args)]
struct OfTenant {
    /// The tenant's slug or id.
    #[arg(long, global = true, env = "WARDGATE_TENANT", default_value = "platform")]
    tenant: String,
}

/// Parses the arguments, runs the command and prints the outcome.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    let show = Show { json: cli.json };
    match dispatch(cli, show).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show.error(&error);
            error.exit_code()
        }
    }
}

async fn dispatch(cli: Cli, show: Show) -> Result<(), CliError> {
    if let Command::Secrets { name } = &cli.command {
        return secrets::run(show, name);
    }
    if let Command::Openapi = &cli.command {
        // There is no table of it.
        Show { json: true }.one(openapi::document(), "");
        return Ok(());
    }
    if let Command::Tenant { command: tenant::Command::Settings } = &cli.command {
        settings::list(show);
        return Ok(());
    }
    if let Command::Audit { command: audit::Command::Verify { exports, proof, .. } } = &cli.command
        && !exports.is_empty()
    {
        return audit::verify_exports(show, exports, proof);
    }
    if let Command::Passwords { command } = cli.command {
        return passwords::run(show, command);
    }
    let settings = crate::settings::load()?;
    let control = control::new(settings)?;
    match cli.command {
        Command::Secrets { .. } | Command::Openapi | Command::Passwords { .. } => {}
        Command::Serve => serve::run(control).await?,
        Command::Migrate => migrate_all(&control, show).await?,
        Command::Bootstrap => bootstrap::run(&control, show).await?,
        Command::Tenant { command } => tenant::run(&control, show, command).await?,
        Command::User { of, command } => user::run(&control, show, &of.tenant, command).await?,
        Command::Role { of, command } => role::run(&control, show, &of.tenant, command).await?,
        Command::Branch { of, command } => branch::run(&control, show, &of.tenant, command).await?,
        Command::Policy { of, command } => policy::run(&control, show, &of.tenant, command).await?,
        Command::Captcha { of, command } => captcha::run(&control, show, &of.tenant, command).await?,
        Command::Sessions { of, command } => sessions::run(&control, show, &of.tenant, command).await?,
        Command::Keys { of, command } => keys::run(&control, show, &of.tenant, command).await?,
        Command::Import { command } => import::run(&control, show, command).await?,
        Command::Search { command } => search::run(&control, show, command).await?,
        Command::SessionRoot { command } => session_root::run(&control, show, command).await?,
        Command::Lookup { command } => lookup::run(&control, show, command).await?,
        Command::Mail { of, command } => mail::run(&control, show, &of.tenant, command).await?,
        Command::Edges { command } => edges::run(&control, show, command).await?,
        Command::Jobs { command } => jobs::run(&control, show, command).await?,
        Command::Audit { command } => audit::run(&control, show, command).await?,
        Command::Encryption { command } => encryption::run(&control, show, command).await?,
    }
    Ok(())
}

const CELLS: Rows<CellOut> = Rows {
    names: ["cell", "cells"],
    head: &["cell", "version", "error"],
    line: |row| vec![row.cell.clone(), optional(row.version), optional(row.error.clone())],
};

/// A cell that cannot be migrated is reported and makes the run fail, after all others were migrated.
async fn migrate_all(control: &Control, show: Show) -> Result<(), CliError> {
    let database = &control.settings.database;
    migrate::platform(database).await?;
    tenants::ensure_platform(control).await?;
    let outcomes = migrate::cells(database, &control.roles).await?;
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| CellOut {
            cell: outcome.cell.to_string(),
            version: outcome.version.as_ref().ok().copied(),
            error: outcome.version.as_ref().err().map(ToString::to_string),
        })
        .collect();
    let broken = rows.iter().filter(|row| row.error.is_some()).count();
    show.list(&CELLS, &rows);
    if broken == 0 { Ok(()) } else { Err(CliError::Failed(format!("{broken} cells were not migrated"))) }
}
