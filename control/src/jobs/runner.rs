//! Runs jobs until the signal, and begins anew when the database was away.
//!
//! A control that runs says so every few seconds. The jobs of one that has not for [`SILENCE`] are
//! tried again by another: it was killed. That counts as a failed attempt, so a job that takes its
//! control down with it does not do so for ever.

use std::time::Duration;

use graphile_worker::{
    FailureReason, JobComplete, JobCompleteContext, JobFail, JobFailContext, JobInterrupted,
    JobInterruptedContext, JobPermanentlyFail, JobPermanentlyFailContext, JobRecovery, JobRecoveryContext,
    JobRecoveryResult, WorkerBuildError, WorkerOptions,
};
use tokio_util::sync::CancellationToken;

use super::kind::Means;
use super::schedule::{KINDS, crontabs};
use crate::control::Control;
use crate::db::JOBS_SCHEMA;
use crate::failure::chain;

/// How many jobs one control runs at once.
const CONCURRENCY: usize = 4;
/// How often the queue is read for what is due by now. What is due at once is notified.
const POLL: Duration = Duration::from_secs(1);
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
    while !stop.is_cancelled() {
        // A task of its own, so that a panic in the library ends one round and not the runner.
        let round = tokio::spawn(round(control.clone(), stop.clone()));
        match round.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&*error), "no jobs are run for a moment"),
            Err(error) => tracing::error!(error = %chain(&error), "the runner of jobs failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

type Ended = Box<dyn std::error::Error + Send + Sync>;

async fn round(control: Control, stop: CancellationToken) -> Result<(), Ended> {
    let options = options(&control)
        .with_crons(crontabs())
        .heartbeat_interval(HEARTBEAT)
        .sweep_interval(SWEEP)
        .sweep_threshold(SILENCE)
        .recovery_delay(Duration::ZERO)
        .shutdown_signal(stop.cancelled_owned());
    options.init().await?.run().await?;
    Ok(())
}

/// Runs what is due now, and what that enqueues, and returns: for tests, which have no runner.
///
/// # Errors
/// The database's.
pub async fn run_due(control: &Control) -> Result<(), WorkerBuildError> {
    // `run_once` has no errors of its own.
    let _ = options(control).init().await?.run_once().await;
    Ok(())
}

/// The library's start reads its record of migrations and would carry out what is missing; the
/// relay's role may not, so a schema that is behind is a failed start until `wardgate migrate` has run.
fn options(control: &Control) -> WorkerOptions {
    let options = WorkerOptions::default()
        .pg_pool(control.db.jobs().clone())
        .schema(JOBS_SCHEMA)
        .concurrency(CONCURRENCY)
        .poll_interval(POLL)
        .listen_os_shutdown_signals(false)
        .shutdown_grace_period(GRACE)
        .shutdown_interrupted_job_retry_delay(Duration::ZERO)
        .add_extension(Means(control.clone()))
        .on(JobComplete, completed)
        .on(JobFail, failed)
        .on(JobPermanentlyFail, died)
        .on(JobInterrupted, interrupted)
        .on(JobRecovery, recovered);
    KINDS.iter().fold(options, |options, kind| (kind.define)(options))
}

fn count(task: &str, outcome: &'static str) {
    metrics::counter!("wardgate_jobs_total", "task" => task.to_owned(), "outcome" => outcome).increment(1);
}

async fn completed(context: JobCompleteContext) {
    count(context.job.task_identifier(), "done");
}

async fn failed(context: JobFailContext) {
    let (job, error) = (context.job, context.error);
    count(job.task_identifier(), "failed");
    tracing::warn!(job = %job.task_identifier(), id = job.id(), attempt = job.attempts(), error, "a job failed");
}

async fn died(context: JobPermanentlyFailContext) {
    let (job, error) = (context.job, context.error);
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
