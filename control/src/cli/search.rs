//! `wardgate search`: the index for user searches.

use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::Show;
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::tenants::Tenant;
use crate::users::search::rebuild::{self, Outcome};

/// The interval between two checks of a rebuild by a running `serve`.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show whether the index of a tenant is complete, and how many users it has.
    #[command(after_help = "Example:\n  wardgate search status acme")]
    Status {
        /// Slug or id.
        tenant: String,
    },
    /// Rebuild an incomplete index of a tenant, after a crash of PostgreSQL or a restore. A running `serve` does it within a
    /// minute; this command shows its progress.
    #[command(
        after_help = "Can be repeated after a kill at any point.\n\nExample:\n  wardgate search rebuild acme"
    )]
    Rebuild {
        /// Slug or id.
        tenant: String,
    },
    /// Replace the key of a tenant's index and rebuild the index, after a leak of the key. User searches of the tenant are
    /// answered 503 meanwhile; all else is served.
    #[command(
        after_help = "If the command is killed, a running `serve` completes the rebuild.\n\nExample:\n  wardgate search rotate acme --yes"
    )]
    Rotate {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Status { tenant } => {
            let tenant = made_tenant(control, &tenant).await?;
            status(control, show, &tenant).await
        }
        Command::Rebuild { tenant } => {
            let tenant = made_tenant(control, &tenant).await?;
            rebuild(control, &tenant).await?;
            status(control, show, &tenant).await
        }
        Command::Rotate { tenant, yes } => {
            let tenant = made_tenant(control, &tenant).await?;
            yes.to(&format!(
                "stops searches for users of tenant `{}` until the index is rebuilt",
                tenant.slug
            ))?;
            let tx = control.db.tenant_tx(tenant.id).await?;
            rebuild::rotate(control, tx, &Actor::operator()).await?;
            rebuild(control, &tenant).await?;
            status(control, show, &tenant).await
        }
    }
}

async fn status(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let progress = rebuild::progress(&mut tx).await?;
    let state = if progress.complete { "complete" } else { "being rebuilt" };
    let line = format!(
        "{}: {state}, {} of {} users are in the index",
        tenant.slug, progress.indexed, progress.users
    );
    show.one(&progress, &line);
    Ok(())
}

/// Rebuilds the index, or waits where a running `serve` rebuilds it, until it is complete.
async fn rebuild(control: &Control, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let now = rebuild::progress(&mut tx).await?;
    drop(tx);
    let progress = bar(u64::try_from(now.users).unwrap_or(0));
    progress.set_position(u64::try_from(now.indexed).unwrap_or(0));
    loop {
        let done = |users| progress.inc(u64::try_from(users).unwrap_or(0));
        match rebuild::rebuild(control, tenant.id, done).await? {
            Outcome::Complete | Outcome::NoUsers => break,
            Outcome::Elsewhere => {
                tokio::time::sleep(LOOK).await;
                let mut tx = control.db.tenant_tx(tenant.id).await?;
                let now = rebuild::progress(&mut tx).await?;
                progress.set_position(u64::try_from(now.indexed).unwrap_or(0));
            }
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// A bar on the terminal; none where standard error is no terminal.
fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{msg:10} {bar:30} {human_pos}/{human_len} {per_sec} {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message("indexing");
    bar
}
