//! `wardgate encryption`: which key-encryption key wraps the keys of tenants, and other keys for tenants.

use clap::Subcommand;

use super::outcome::CliError;
use super::rotation::{self, KeyOut, REPLACEMENTS, ReplacementOut, Rotate};
use super::show::{Rows, Show};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::rewrap::Wrapping;

/// Keys between two lines of progress output.
const CHUNK: i64 = 100;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show how many data keys of tenants each key-encryption key wraps; or the data key of one tenant; or the tenants
    /// whose data key is being replaced.
    #[command(
        after_help = "Examples:\n  wardgate encryption status\n  wardgate encryption status --tenant acme\n  wardgate encryption status --rotating"
    )]
    Status {
        /// Show the data key of this tenant (slug or id), and how many values are left to re-encrypt.
        #[arg(long, conflicts_with = "rotating")]
        tenant: Option<String>,
        /// List the tenants whose data key is being replaced.
        #[arg(long)]
        rotating: bool,
    },
    /// Replace the data key of a tenant, or of all, and re-encrypt its values.
    #[command(after_help = rotation::EXAMPLES)]
    Rotate(Rotate),
    /// Rewrap data keys of tenants that a former key-encryption key wraps. A running `serve` does the same, 500 a minute.
    /// If `status` shows only the present key, the former one can be removed from the settings.
    #[command(
        after_help = "Can be repeated after a kill at any point.\n\nExample:\n  wardgate encryption rewrap"
    )]
    Rewrap,
}

const WRAPPINGS: Rows<Wrapping> = Rows {
    names: ["key-encryption key", "key-encryption keys"],
    head: &["key", "keys of tenants", "wraps now"],
    line: |row| {
        let current = if row.current { "yes" } else { "no" };
        vec![row.key.clone(), row.keys.to_string(), current.to_owned()]
    },
};

/// The output of `encryption rewrap`.
#[derive(serde::Serialize)]
struct RewrappedOut {
    rewrapped: u64,
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Status { tenant: Some(tenant), .. } => show.details(&KeyOut::of(control, &tenant).await?),
        Command::Status { rotating: true, .. } => {
            let replacements = control.db.replacements().await?;
            let rows: Vec<ReplacementOut> = replacements.into_iter().map(Into::into).collect();
            show.list(&REPLACEMENTS, &rows);
        }
        Command::Status { .. } => show.list(&WRAPPINGS, &control.db.wrappings().await?),
        Command::Rotate(rotate) => rotate.run(control, show).await?,
        Command::Rewrap => {
            let rewrapped = rewrap(control, show).await?;
            show.one(&RewrappedOut { rewrapped }, &format!("wrapped again: {rewrapped}"));
        }
    }
    Ok(())
}

async fn rewrap(control: &Control, show: Show) -> Result<u64, CliError> {
    let mut all = 0;
    loop {
        let done = control.db.rewrap(CHUNK).await?;
        if done == 0 {
            break;
        }
        all += done;
        show.note(&format!("{all} keys wrapped again"));
    }
    if all > 0 {
        let mut tx = control.db.tenant_tx(control.db.platform().await?).await?;
        let (actor, now) = (Actor::operator(), control.clock.now());
        let details = serde_json::json!({ "keys": all });
        audit::record(&mut tx, &actor, now, Action::TenantKeysRewrapped, None, details);
        tx.commit().await?;
    }
    Ok(all)
}
