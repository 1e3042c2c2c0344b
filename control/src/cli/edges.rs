//! `wardgate edges`: what the edge has and what it is missing.

use clap::Subcommand;

use super::outcome::CliError;
use super::show::{Show, optional};
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::edges::{reseed, status};
use crate::http::time;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Lag of every tenant.
    #[command(after_help = "Example:\n  wardgate edges status --behind")]
    Status {
        /// Only tenants that lag or are halted.
        #[arg(long)]
        behind: bool,
    },
    /// After this database was restored from a backup: begin a new history for a tenant. Every
    /// session of the tenant ends, and the edge gets a snapshot.
    #[command(after_help = "Example:\n  wardgate edges reseed acme --yes")]
    Reseed {
        /// Slug or id.
        tenant: String,
        /// Yes, every session ends.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Status { behind } => {
            let rows = status::all(control, behind).await?;
            show.table(&["tenant", "rev", "mark", "lag", "confirmed", "state"], &rows, |row| {
                vec![
                    row.slug.clone(),
                    format!("{}/{}", row.history, row.rev),
                    row.mark.to_string(),
                    row.lag.to_string(),
                    optional(row.confirmed_at.map(time::text)),
                    match (&row.halted, &row.last_error) {
                        (Some(why), _) => format!("halted: {why}"),
                        (None, Some(error)) => error.clone(),
                        (None, None) => String::from("ok"),
                    },
                ]
            });
            Ok(())
        }
        Command::Reseed { yes: false, .. } => {
            Err(CliError::Refused("every session of the tenant will end: say --yes".into()))
        }
        Command::Reseed { tenant, yes: true } => {
            let tenant = made_tenant(control, &tenant).await?;
            let history = reseed::reseed(control, &Actor::operator(), tenant.id).await?;
            let line =
                format!("{} begins history {history}; a running `serve` sends the snapshot", tenant.slug);
            show.one(&serde_json::json!({ "tenant": tenant.id, "history": history }), &line);
            Ok(())
        }
    }
}
