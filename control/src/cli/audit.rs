//! `wardgate audit`: whether the audit logs are what was written.

use clap::Subcommand;
use serde::Serialize;

use super::outcome::CliError;
use super::show::{Rows, Show};
use super::target::made_tenant;
use crate::audit::Finding;
use crate::audit::verify::{Log, logs, verify};
use crate::control::Control;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Read the log of every tenant, or of one, and name the first entry of each that was changed, removed,
    /// inserted or moved, or from which on the end was cut off.
    #[command(
        after_help = "Exit code 5 if an entry of any log is not what was written.\n\nExamples:\n  wardgate audit verify\n  wardgate audit verify --tenant acme --json"
    )]
    Verify {
        /// The tenant's slug or id. Default: all tenants.
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// What was found of one tenant's log.
#[derive(Serialize)]
struct Verified {
    tenant: String,
    entries: i64,
    intact: bool,
    finding: Option<Finding>,
}

const LOGS: Rows<Verified> = Rows {
    names: ["log", "logs"],
    head: &["tenant", "entries", "state"],
    line: |row| {
        let state = row.finding.as_ref().map_or_else(
            || String::from("intact"),
            |finding| format!("entry {}: {}", finding.position, finding.detail),
        );
        vec![row.tenant.clone(), row.entries.to_string(), state]
    },
};

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Verify { tenant } => {
            let logs = match tenant {
                Some(name) => {
                    let tenant = made_tenant(control, &name).await?;
                    vec![Log { tenant: tenant.id, slug: tenant.slug.to_string() }]
                }
                None => logs(control).await?,
            };
            let mut rows = Vec::with_capacity(logs.len());
            for log in logs {
                rows.push(verified(control, log).await?);
            }
            show.list(&LOGS, &rows);
            match rows.iter().filter(|row| !row.intact).count() {
                0 => Ok(()),
                broken => Err(CliError::Refused(format!("{broken} of {} logs are not intact", rows.len()))),
            }
        }
    }
}

async fn verified(control: &Control, log: Log) -> Result<Verified, CliError> {
    let mut tx = control.db.work_tx(log.tenant).await?;
    let found = verify(&mut tx, 0, i64::MAX).await?;
    let (entries, finding) = found.map_or((0, None), |found| (found.head, found.finding));
    Ok(Verified { tenant: log.slug, entries, intact: finding.is_none(), finding })
}
