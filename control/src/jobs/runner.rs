//! Runs jobs until the signal, and restarts after a failure of the database.
//!
//! Each [`Pool`] has its own runners, which send a heartbeat every few seconds. Without one for [`SILENCE`], another
//! control retries the runner's jobs. That counts as a failed attempt, so that a job which crashes its control is not
//! retried for ever.

use std::time::Duration;

use futures::future::join_all;
use graphile_worker::{
    FailureReason, JobComplete, JobCompleteContext, JobFail, JobFailContext, JobInterrupted,
    JobInterruptedContext, JobPermanentlyFail, JobPermanentlyFailContext, JobRecovery, JobRecoveryContext,
    JobRecoveryResult, WorkerOptions,
};
use tokio_util::sync::CancellationToken;

use super::kind::{Kind, Means};
use super::queue::Pool;
use super::release::{self, count};
use super::schedule::{KINDS, crontabs};
use crate::control::Control;
use crate::db::JOBS_SCHEMA;
use crate::failure::chain;

/// How often the queue is polled for due jobs. Jobs that are due at once are notified.
const POLL: Duration = Duration::from_secs(1);
/// How often it is seen which tenants have room for more.
const ADMIT: Duration = Duration::from_millis(250);
/// How often a control says that it runs.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often one of the controls looks for others that were killed.
const SWEEP: Duration = Duration::from_secs(10);
/// After this the jobs of a silent control are tried again.
const SILENCE: Duration = Duration::from_secs(20);
/// How long running jobs have after the signal; what is not done then is given back at once.
const GRACE: Duration = Duration::from_secs(15);
/// Before the next start after the runner ended by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs jobs until `stop`. The database need not be there: the start is tried again until it is.
pub async fn run(control: Control, stop: CancellationToken) {
    run_kinds(control, &KINDS, stop).await;
}

/// The same for given kinds.
pub async fn run_kinds(control: Control, kinds: &'static [Kind], stop: CancellationToken) {
    let pools = Pool::ALL.map(|pool| run_pool(control.clone(), pool, kinds, stop.clone()));
    tokio::join!(join_all(pools), admit(&control, &stop));
}

async fn run_pool(control: Control, pool: Pool, kinds: &'static [Kind], stop: CancellationToken) {
    while !stop.is_cancelled() {
        // A task of its own, so that a panic in the library ends one round and not the runner.
        let round = tokio::spawn(round(control.clone(), pool, kinds, stop.clone()));
        let pool = pool.as_str();
        match round.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&*error), pool, "no jobs are run for a moment");
            }
            Err(error) => tracing::error!(error = %chain(&error), pool, "the runner of jobs failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

type Ended = Box<dyn std::error::Error + Send + Sync>;

async fn round(
    control: Control,
    pool: Pool,
    kinds: &'static [Kind],
    stop: CancellationToken,
) -> Result<(), Ended> {
    let of_pool = kinds.iter().filter(|kind| kind.pool == pool);
    let mut options = options(&control, of_pool)
        .concurrency(pool.runners())
        .heartbeat_interval(HEARTBEAT)
        .sweep_interval(SWEEP)
        .sweep_threshold(SILENCE)
        .recovery_delay(Duration::ZERO)
        .shutdown_signal(stop.cancelled_owned());
    if pool == Pool::Upkeep {
        options = options.with_crons(crontabs());
    }
    options.init().await?.run().await?;
    Ok(())
}

/// Lets jobs of tenants begin, until `stop`.
async fn admit(control: &Control, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(failure) = release::admit(control).await {
            tracing::debug!(error = %chain(&failure), "jobs of tenants wait a little");
        }
        tokio::select! {
            () = tokio::time::sleep(ADMIT) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Runs the due jobs, and those that they enqueue, and returns: for tests, which have no runner.
///
/// # Errors
/// Errors of the database.
pub async fn run_due(control: &Control) -> Result<(), Ended> {
    run_kinds_due(control, &KINDS).await
}

/// The same for given kinds.
///
/// # Errors
/// Errors of the database.
pub async fn run_kinds_due(control: &Control, kinds: &'static [Kind]) -> Result<(), Ended> {
    let worker = options(control, kinds.iter()).concurrency(Pool::Upkeep.runners()).init().await?;
    let tasks: Vec<_> = kinds.iter().map(|kind| kind.task.to_owned()).collect();
    release::admit(control).await?;
    loop {
        // `run_once` has no errors of its own.
        let _ = worker.run_once().await;
        // A job that ended has perhaps let one begin that `run_once` no longer looked for.
        if release::admit(control).await? == 0 && !release::is_any_due(control, &tasks).await? {
            return Ok(());
        }
    }
}

/// The library's start reads its record of migrations and would carry out what is missing; the
/// relay's role may not, so a schema that is behind is a failed start until `wardgate migrate` has run.
fn options(control: &Control, kinds: impl Iterator<Item = &'static Kind>) -> WorkerOptions {
    let room = control.clone();
    let options = WorkerOptions::default()
        .pg_pool(control.db.jobs().clone())
        .schema(JOBS_SCHEMA)
        .poll_interval(POLL)
        .listen_os_shutdown_signals(false)
        .shutdown_grace_period(GRACE)
        .shutdown_interrupted_job_retry_delay(Duration::ZERO)
        .add_extension(Means(control.clone()))
        .on(JobComplete, move |context| completed(room.clone(), context))
        .on(JobFail, failed)
        .on(JobPermanentlyFail, died)
        .on(JobInterrupted, interrupted)
        .on(JobRecovery, recovered);
    kinds.fold(options, |options, kind| (kind.define)(options))
}

async fn completed(control: Control, context: JobCompleteContext) {
    count(context.job.task_identifier(), "done");
    release::make_room(&control, context.job.flags().as_ref()).await;
}

async fn failed(context: JobFailContext) {
    let (job, error) = (context.job, context.error);
    if release::is_told(&error) {
        return;
    }
    count(job.task_identifier(), "failed");
    tracing::warn!(job = %job.task_identifier(), id = job.id(), attempt = job.attempts(), error, "a job failed");
}

async fn died(context: JobPermanentlyFailContext) {
    let (job, error) = (context.job, context.error);
    if release::is_told(&error) {
        return;
    }
    count(job.task_identifier(), "dead");
    tracing::error!(job = %job.task_identifier(), id = job.id(), attempt = job.attempts(), error, "a job was given up");
}

async fn interrupted(context: JobInterruptedContext) {
    let (job, reason) = (context.job, context.reason);
    count(job.task_identifier(), "interrupted");
    tracing::warn!(job = %job.task_identifier(), id = job.id(), ?reason, "a job was interrupted");
}

async fn recovered(context: JobRecoveryContext) -> JobRecoveryResult {
    match context.reason {
        FailureReason::WorkerCrashed => JobRecoveryResult::FailWithBackoff,
        FailureReason::ShutdownAborted | FailureReason::TaskError | FailureReason::TaskPanic => {
            JobRecoveryResult::Default
        }
    }
}
