//! How a job comes back from a run: its handler's word, and room for the next of its tenant.
//!
//! The library knows one failure, with one delay. So the job is released here, before the library hears of it,
//! which then finds nothing to release. What is left to the library (panics, killed controls) is set right by
//! the trigger `release_job` in `migrations/platform/jobs.sql`, which also knows the kinds' delays.

use graphile_worker::{Job, WorkerContext};
use serde_json::Value;

use super::queue::{OF_ONE_TENANT, Retry};
use crate::control::Control;
use crate::failure::{Failure, chain};

/// The error text that the library gets for a released job.
const RELEASED: &str = "released";
/// The same text in the library's hooks.
const HEARD: &str = r#"TaskError("released")"#;
/// Longest reason that is kept, in characters.
const REASON_CHARS: usize = 500;

/// Counts a job by outcome.
pub(super) fn count(task: &str, outcome: &'static str) {
    metrics::counter!("wardgate_jobs_total", "task" => task.to_owned(), "outcome" => outcome).increment(1);
}

/// Whether this failure, as hooks hear it, was released, counted and logged here.
pub(super) fn is_told(error: &str) -> bool {
    error == HEARD
}

/// The error of a handler.
pub(super) struct Failed {
    pub retry: Retry,
    /// The stored text: the error's `Display`.
    pub reason: String,
    /// The logged text: the error with its sources.
    pub causes: String,
}

impl Failed {
    /// Releases the job, and says what the library is to keep of it: nothing, unless the release failed.
    pub async fn release(self, control: &Control, context: &WorkerContext) -> String {
        let job = context.job();
        let reason: String = self.reason.chars().take(REASON_CHARS).collect();
        match give_back(control, *job.id(), context.worker_id(), self.retry, &reason).await {
            Ok(dead) => {
                self.tell(job, dead);
                make_room(control, job.flags().as_ref()).await;
                RELEASED.to_owned()
            }
            Err(failure) => {
                tracing::warn!(error = %chain(&failure), id = job.id(), "a job could not be released");
                reason
            }
        }
    }

    fn tell(&self, job: &Job, dead: bool) {
        let (task, id, attempt, error) = (job.task_identifier(), job.id(), job.attempts(), &self.causes);
        match self.retry {
            Retry::Later(_) => {
                count(task, "later");
                tracing::info!(job = task, id, error, "a job waits");
            }
            Retry::Again | Retry::ForGood if dead => {
                count(task, "dead");
                tracing::error!(job = task, id, attempt, error, "a job was given up");
            }
            Retry::Again | Retry::ForGood => {
                count(task, "failed");
                tracing::warn!(job = task, id, attempt, error, "a job failed");
            }
        }
    }
}

/// Gives the job back as `retry` says, if this runner still has it; whether it is dead now. One that was replaced while
/// it ran is not tried again: the other is.
async fn give_back(
    control: &Control,
    id: i64,
    worker: &str,
    retry: Retry,
    reason: &str,
) -> Result<bool, Failure> {
    let later_secs = match retry {
        Retry::Later(delay) => Some(delay.as_seconds_f64().max(0.0)),
        Retry::Again | Retry::ForGood => None,
    };
    let dead = sqlx::query_scalar!(
        r#"update platform_jobs._private_jobs
        set locked_at = null,
            locked_by = null,
            last_error = $3,
            attempts = attempts - case when $4::float8 is null or key is null then 0 else 1 end,
            max_attempts = case when $5 then attempts else max_attempts end,
            run_at = coalesce(clock_timestamp() + $4 * interval '1 second', run_at)
        where id = $1
        and locked_by = $2
        returning attempts >= max_attempts as "dead!""#,
        id,
        worker,
        reason,
        later_secs,
        retry == Retry::ForGood,
    )
    .fetch_optional(control.db.jobs())
    .await?;
    Ok(dead.unwrap_or(false))
}

/// Lets the next job of a lane begin once one of its jobs has ended. If that fails, the next [`admit`] does it.
pub(super) async fn make_room(control: &Control, flags: Option<&Value>) {
    let Some(lane) = flags.and_then(|flags| flags.get("lane")).and_then(Value::as_str) else { return };
    let admitted = sqlx::query_scalar!("select platform.admit_jobs($1, $2)", lane, OF_ONE_TENANT)
        .fetch_one(control.db.jobs())
        .await;
    if let Err(error) = admitted {
        tracing::debug!(error = %chain(&error), "the next job of a tenant waits a little");
    }
}

/// Lets jobs begin in all lanes that have room for more, and says how many. It steps from lane to lane in the
/// index, so that how many jobs wait does not matter.
///
/// # Errors
/// Errors of the database.
pub(super) async fn admit(control: &Control) -> Result<i64, Failure> {
    let admitted = sqlx::query_scalar!(
        r#"with recursive lanes as (
            select min(flags ->> 'lane') as lane
            from platform_jobs._private_jobs
            where flags ? 'lane'
            union all
            select (
                select min(flags ->> 'lane')
                from platform_jobs._private_jobs
                where flags ? 'lane'
                and flags ->> 'lane' > lanes.lane
            )
            from lanes
            where lanes.lane is not null
        )
        select coalesce(sum(platform.admit_jobs(lanes.lane, $1)), 0) as "admitted!"
        from lanes
        where exists (
            select
            from platform_jobs._private_jobs j
            where j.flags ? 'lane'
            and j.flags ->> 'lane' = lanes.lane
            and j.run_at between now() + platform.resting() / 2 and now() + platform.resting()
            and j.is_available
        )"#,
        OF_ONE_TENANT,
    )
    .fetch_one(control.db.jobs())
    .await?;
    Ok(admitted)
}

/// Whether a job with one of these tasks could begin now.
///
/// # Errors
/// Errors of the database.
pub(super) async fn is_any_due(control: &Control, tasks: &[String]) -> Result<bool, Failure> {
    let due = sqlx::query_scalar!(
        r#"select exists (
            select
            from platform_jobs._private_jobs j
            join platform_jobs._private_tasks t on t.id = j.task_id
            where t.identifier = any($1)
            and j.is_available
            and j.run_at <= now()
        ) as "due!""#,
        tasks,
    )
    .fetch_one(control.db.jobs())
    .await?;
    Ok(due)
}
