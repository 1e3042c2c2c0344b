//! `wardgate encryption`: which key-encryption key wraps the keys of tenants.

use clap::Subcommand;

use super::outcome::CliError;
use super::show::{Rows, Show};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::rewrap::Wrapping;

/// Keys between two lines of progress.
const CHUNK: i64 = 100;

#[derive(Subcommand)]
pub(super) enum Command {
    /// How many keys of tenants each key-encryption key has wrapped.
    #[command(after_help = "Example:\n  wardgate encryption status")]
    Status,
    /// Wrap the keys of tenants anew that another key-encryption key wrapped. A running `serve` does the same, 500 a
    /// minute. When `status` shows the present key alone, the former one can leave the settings.
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

/// What is told of the keys that were wrapped anew.
#[derive(serde::Serialize)]
struct RewrappedOut {
    rewrapped: u64,
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Status => show.list(&WRAPPINGS, &control.db.wrappings().await?),
        Command::Rewrap => {
            let rewrapped = rewrap(control, show).await?;
            show.one(&RewrappedOut { rewrapped }, &format!("wrapped anew: {rewrapped}"));
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
        show.note(&format!("{all} keys wrapped anew"));
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
