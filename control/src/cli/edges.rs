//! `wardgate edges`: what the edge has and what it is missing.

use clap::Subcommand;

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show, optional};
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::edges::seals::Seal;
use crate::edges::status::EdgeStatus;
use crate::edges::{edge_id, reseal, reseed, restored, seals, status};
use crate::http::time;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the lag of every tenant: changes that the edge has not confirmed.
    #[command(after_help = "Example:\n  wardgate edges status --behind")]
    Status {
        /// Only tenants that lag or are halted.
        #[arg(long)]
        behind: bool,
    },
    /// Show how many values at the edge each of its key-encryption keys seals. If only the present key is listed, with
    /// nothing unconfirmed, the former one can be removed from the Worker.
    #[command(after_help = "Example:\n  wardgate edges seals")]
    Seals,
    /// After a change of `edge.kek`: reseal all values at the edge under the new key, by ordinary pushes of a running
    /// `serve`. Sessions continue. Nothing changes if the edge does not have the key. A running `serve` completes it if
    /// this command is stopped.
    #[command(after_help = "Can be repeated after a kill at any point.\n\nExample:\n  wardgate edges reseal")]
    Reseal,
    /// After the edge's database (D1) was restored to an earlier state: give it a new incarnation, so that isolates drop
    /// their caches of it and its events are read from the start. No event is lost or recorded twice. Reseed every tenant
    /// afterwards.
    #[command(after_help = "Example:\n  wardgate edges restored")]
    Restored {
        /// The shard whose database was restored: 0 is `DB_0`.
        #[arg(long, default_value_t = 0)]
        shard: u8,
    },
    /// Forget an edge that was removed, so that `serve` pushes to the one in the settings. Events that were not read from
    /// the old edge are lost. Reseed every tenant afterwards.
    #[command(after_help = "Example:\n  wardgate edges forget edge-1 --yes")]
    Forget {
        /// Its id.
        edge: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// After control's database was restored from a backup: begin a new history for a tenant. Every session of the tenant
    /// ends, and the edge gets all of its rows again.
    #[command(after_help = "Example:\n  wardgate edges reseed acme --yes")]
    Reseed {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// The output of `edges restored`.
#[derive(serde::Serialize)]
struct RestoredOut {
    shard: u8,
    incarnation: String,
}

/// The state column of a tenant: why it needs attention.
fn state(row: &EdgeStatus) -> String {
    match (&row.halted, &row.last_error, &row.facts_error) {
        (Some(why), _, _) => format!("halted: {why}"),
        (None, Some(error), _) => error.clone(),
        (None, None, Some(why)) => format!("{} facts wait: {why}", row.facts_held),
        (None, None, None) => String::from("ok"),
    }
}
const TENANTS: Rows<EdgeStatus> = Rows {
    names: ["tenant", "tenants"],
    head: &["tenant", "rev", "mark", "lag", "confirmed", "state"],
    line: |row| {
        vec![
            row.slug.clone(),
            format!("{}/{}", row.history, row.rev),
            row.mark.to_string(),
            row.lag.to_string(),
            optional(row.confirmed_at.map(time::text)),
            state(row),
        ]
    },
};

const SEALS: Rows<Seal> = Rows {
    names: ["key-encryption key", "key-encryption keys"],
    head: &["key", "tenants", "rows", "unconfirmed", "seals now"],
    line: |row| {
        let current = if row.current { "yes" } else { "no" };
        let numbers = [row.tenants, row.rows, row.unconfirmed].map(|number| number.to_string());
        [vec![row.key.clone()], numbers.to_vec(), vec![current.to_owned()]].concat()
    },
};

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Status { behind } => {
            let rows = status::all(control, behind).await?;
            show.list(&TENANTS, &rows);
            if let Some(why) = status::drain(control).await?.and_then(|drain| drain.last_error) {
                show.note(&format!("the edge's facts are not taken over: {why}"));
            }
            Ok(())
        }
        Command::Seals => {
            show.list(&SEALS, &seals::all(control).await?);
            Ok(())
        }
        Command::Reseal => reseal(control, show).await,
        Command::Restored { shard } => {
            let incarnation = restored::restored(control, &Actor::operator(), shard).await?;
            let line = format!(
                "shard {shard} begins life {incarnation}; a running `serve` drains it from the start. Sessions \
                 that had ended since the backup live again: run `wardgate edges reseed` for every tenant"
            );
            show.one(&RestoredOut { shard, incarnation }, &line);
            Ok(())
        }
        Command::Forget { edge, .. } if edge == control.settings.edge.id => {
            Err(CliError::Refused(format!("`{edge}` is the edge that the settings name")))
        }
        Command::Forget { edge, yes } => {
            yes.to(&format!("loses the facts that wait at edge `{edge}`"))?;
            if !edge_id::forget(control, &edge).await? {
                return Err(CliError::NotFound(format!("no edge `{edge}` was fed from this database")));
            }
            show.one(&serde_json::json!({ "forgotten": edge }), &format!("forgotten: {edge}"));
            Ok(())
        }
        Command::Reseed { tenant, yes } => {
            let tenant = made_tenant(control, &tenant).await?;
            yes.to(&format!("ends every session of tenant `{}`", tenant.slug))?;
            let history = reseed::reseed(control, &Actor::operator(), tenant.id).await?;
            let line =
                format!("{} begins history {history}; a running `serve` sends the snapshot", tenant.slug);
            show.one(&serde_json::json!({ "tenant": tenant.id, "history": history }), &line);
            Ok(())
        }
    }
}

/// Checks without progress before the command stops waiting: half a minute.
const TRIES: u32 = 150;

/// Begins resealing, and waits until the edge has confirmed all of it or there is no progress.
async fn reseal(control: &Control, show: Show) -> Result<(), CliError> {
    reseal::begin(control, &Actor::operator()).await?;
    let (mut before, mut idle) = (None, 0);
    while idle < TRIES {
        let pass = reseal::pass(control).await?;
        let now = seals::all(control).await?;
        if seals::is_done(&now) {
            break;
        }
        if pass.resealed > 0 {
            show.note(&format!("{} rows sealed again, {} left", pass.resealed, pass.waiting));
        }
        idle = if pass.resealed > 0 || before.as_ref() != Some(&now) { 0 } else { idle + 1 };
        before = Some(now);
        reseal::pause().await;
    }
    let now = seals::all(control).await?;
    show.list(&SEALS, &now);
    if seals::is_done(&now) {
        show.note("every tenant has confirmed: the former key can leave the Worker");
        return Ok(());
    }
    Err(CliError::Failed(String::from(
        "not every tenant has confirmed; a running `serve` continues: `wardgate edges status --behind` lists \
         the others",
    )))
}
