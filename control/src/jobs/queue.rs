//! The queue as the slices see it: what a kind of job is, and how one is enqueued.

use std::error::Error;
use std::future::Future;

use chrono::TimeDelta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;

use crate::control::Control;
use crate::failure::Failure;

/// A kind of job. The value is its payload, which rests readable in the queue and in logs: ids, never
/// personal data or secrets.
///
/// A job may run twice, and even twice at once: its control was killed after the work and before the
/// report, or could not be heard of for a while. So a handler lets the database decide what is left to
/// do, as every handler of a request does.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name in the queue.
    const TASK: &'static str;
    /// How often it is tried before it is left for an operator to look at. The delays grow as e^n
    /// seconds to six hours (3 s, 7 s, 20 s, 55 s, ...), so 25 tries take about four days. While the
    /// database is down no job is tried.
    const ATTEMPTS: u16 = 25;
    /// Why it failed.
    type Error: Error + Send;

    /// Does it.
    fn run(self, control: &Control) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A kind that is enqueued, not only scheduled. `migrations/platform/jobs.sql` names each of them.
pub trait Enqueued: Job {
    /// Which thing it is about. Of waiting jobs about one thing only the last enqueued stays; one that
    /// runs at that moment runs to its end, and the new one after it.
    fn about(&self) -> String;
}

/// Enqueues a job, to be run once `delay` is over. It is part of the transaction: rolled back, it
/// never was; committed, a runner learns of it at once.
///
/// # Errors
/// The database's.
pub async fn enqueue<J: Enqueued>(
    connection: &mut PgConnection,
    job: &J,
    delay: TimeDelta,
) -> Result<(), Failure> {
    let payload = serde_json::to_value(job).map_err(|_| Failure::Unreadable("job"))?;
    let delay_secs = delay.max(TimeDelta::zero()).as_seconds_f64();
    sqlx::query!(
        "select platform.enqueue($1, $2, $3, $4, $5)",
        J::TASK,
        payload,
        job.about(),
        delay_secs,
        i32::from(J::ATTEMPTS),
    )
    .execute(connection)
    .await?;
    Ok(())
}
