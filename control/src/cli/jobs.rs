//! `wardgate jobs`: the background jobs of all tenants.

use clap::Subcommand;
use serde_json::{Map, Value, json};
use shared::ids::TenantId;

use super::confirm::Yes;
use super::outcome::{CliError, bad_arguments};
use super::show::{Beyond, Rows as Table, Show, counted, optional};
use super::target::tenant_named;
use crate::audit::Actor;
use crate::control::Control;
use crate::http::list::given;
use crate::http::rows::Rows;
use crate::http::time;
use crate::jobs::listed::{self, Filters, JobError, JobOut};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List jobs, the last enqueued first. A job that succeeded is deleted.
    #[command(
        after_help = "Examples:\n  wardgate jobs list --state dead\n  wardgate jobs list --kind provision_tenant --json\n  \
                      wardgate jobs list --tenant acme"
    )]
    List(ListArgs),
    /// Show one job in full.
    #[command(after_help = "Example:\n  wardgate jobs show 42")]
    Show {
        /// Its id, as `jobs list` shows it.
        id: i64,
    },
    /// Run a job again at once, with all its attempts: a dead one, or a failed one that waits for its next attempt.
    #[command(after_help = "Example:\n  wardgate jobs retry 42")]
    Retry {
        /// Its id.
        id: i64,
    },
    /// Remove a job from the queue: its work is not done.
    #[command(after_help = "Example:\n  wardgate jobs cancel 42 --yes")]
    Cancel {
        /// Its id.
        id: i64,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(clap::Args)]
pub(super) struct ListArgs {
    /// Only jobs in this state: waiting, running, or dead.
    #[arg(long)]
    state: Option<String>,
    /// Only jobs of this kind, such as `provision_tenant`.
    #[arg(long)]
    kind: Option<String>,
    /// Only jobs of this tenant (slug or id).
    #[arg(long)]
    tenant: Option<String>,
    /// One or more of id, kind, `run_at`, `created_at` and `updated_at`, separated by commas; a hyphen reverses the order:
    /// --ordering=-updated_at.
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    ordering: Option<String>,
    /// The page, from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    page: i64,
    /// Jobs on a page.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    page_size: i64,
    /// List all jobs.
    #[arg(long, conflicts_with_all = ["page", "page_size"])]
    all: bool,
}

const JOBS: Table<JobOut> = Table {
    names: ["job", "jobs"],
    head: &["id", "kind", "state", "tenant", "tries", "due", "reason"],
    line: |job| {
        vec![
            job.id.to_string(),
            job.kind.clone(),
            job.state.clone(),
            optional(job.tenant),
            format!("{} of {}", job.attempts, job.most_attempts),
            time::text(job.run_at),
            optional(job.reason.clone()),
        ]
    },
};

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::List(args) => list(control, show, args).await,
        Command::Show { id } => {
            let mut connection = control.db.app().acquire().await?;
            let job = listed::find(&mut connection, id).await.map_err(|error| said(id, error))?;
            show.details(&job);
            Ok(())
        }
        Command::Retry { id } => retry(control, show, id).await,
        Command::Cancel { id, yes } => cancel(control, show, id, yes).await,
    }
}

async fn list(control: &Control, show: Show, args: ListArgs) -> Result<(), CliError> {
    let tenant = match &args.tenant {
        None => None,
        // Also one that was deleted, or that is no tenant of ours any more.
        Some(name) => Some(match TenantId::parse(name) {
            Ok(id) => id,
            Err(_) => tenant_named(control, name).await?.id,
        }),
    };
    let fields = [
        ("state", args.state),
        ("kind", args.kind),
        ("tenant", tenant.map(|id| id.to_string())),
        ("ordering", args.ordering),
    ];
    let fields = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
    let (filters, order) = given::<Filters>(fields.collect::<Map<String, Value>>()).map_err(bad_arguments)?;
    let mut connection = control.db.app().acquire().await?;
    if args.all {
        let rows = Rows { order, after: None, limit: i64::MAX, offset: 0 };
        show.list(&JOBS, &listed::list(&mut connection, &filters, &rows).await?);
        return Ok(());
    }
    let count = listed::count(&mut connection, &filters, true).await?.rows();
    let pages = ((count + args.page_size - 1) / args.page_size).max(1);
    let total = u64::try_from(count).unwrap_or(0);
    if args.page > pages {
        let jobs = counted(total, JOBS.names);
        return Err(CliError::NotFound(format!(
            "there is no page {}: the last of {jobs} is {pages}",
            args.page
        )));
    }
    let rows = Rows { order, after: None, limit: args.page_size, offset: args.page_size * (args.page - 1) };
    let jobs = listed::list(&mut connection, &filters, &rows).await?;
    let mut listing = show.listing(&JOBS);
    if listing.part(&jobs) {
        let next = (args.page < pages).then_some(args.page + 1);
        listing.end(Some(Beyond { count: total, is_estimate: false, next }));
    }
    Ok(())
}

async fn retry(control: &Control, show: Show, id: i64) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(control.db.platform().await?).await?;
    let job =
        listed::retry(control, &mut tx, &Actor::operator(), id).await.map_err(|error| said(id, error))?;
    tx.commit().await?;
    show.one(&job, &format!("job {id} will run again: {}", job.kind));
    Ok(())
}

async fn cancel(control: &Control, show: Show, id: i64, yes: Yes) -> Result<(), CliError> {
    let mut connection = control.db.app().acquire().await?;
    let job = listed::find(&mut connection, id).await.map_err(|error| said(id, error))?;
    drop(connection);
    yes.to(&format!("takes job {id} ({}, {}) out of the queue, undone", job.kind, job.state))?;
    let mut tx = control.db.tenant_tx(control.db.platform().await?).await?;
    listed::cancel(control, &mut tx, &Actor::operator(), id).await.map_err(|error| said(id, error))?;
    tx.commit().await?;
    show.one(&json!({ "cancelled": id }), &format!("cancelled: {id}"));
    Ok(())
}

fn said(id: i64, error: JobError) -> CliError {
    match error {
        JobError::Failure(failure) => failure.into(),
        JobError::NotFound => CliError::NotFound(format!(
            "there is no job {id}, or it has done its work: `wardgate jobs list` lists what is left"
        )),
        JobError::Running => CliError::Refused(format!("job {id} is running: wait until it has ended")),
        JobError::Waiting => CliError::Refused(format!("job {id} waits and has not failed")),
    }
}
