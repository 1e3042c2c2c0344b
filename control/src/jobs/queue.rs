//! The queue as the slices see it: what a kind of job is, and how one is enqueued.

use std::error::Error;
use std::future::Future;

use chrono::TimeDelta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::contract::limits::WAITING_JOBS;
use shared::ids::TenantId;
use sqlx::PgConnection;

use crate::control::Control;
use crate::failure::Failure;

/// A kind of job. The value is its payload, which is stored in clear in the queue and logged: only ids, never
/// personal data or secrets.
///
/// A job may run twice, even at the same time: its control was killed before it reported the result, or seemed to be
/// dead. So a handler must be idempotent, with the database deciding what is left to do.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name in the queue.
    const TASK: &'static str;
    /// Which jobs it runs beside.
    const POOL: Pool = Pool::Upkeep;
    /// How often it is tried before it is left for an operator to look at: a dead letter. While the
    /// database is down no job is tried.
    const ATTEMPTS: u16 = 25;
    /// The delays after the first failure, the second and so on, in seconds; the last one repeats. They count from
    /// the failure, or from when it was noticed that the job's control was killed. By default they grow as e^n to
    /// six hours, so [`ATTEMPTS`](Self::ATTEMPTS) tries take about four days. A kind that is only scheduled cannot
    /// choose others.
    const DELAYS_SECS: &'static [i32] = &[3, 7, 20, 55, 148, 403, 1_097, 2_981, 8_103, 22_026];
    /// Why it failed. Its `Display` is kept in the queue, shown to operators and answered by the API: it
    /// holds no personal data and no secret, nor what a distant machine said. The log has its sources, too.
    type Error: Error + Send;

    /// Does it.
    fn run(self, control: &Control) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether the job is tried again after this failure.
    fn retry(_failure: &Self::Error) -> Retry {
        Retry::Again
    }
}

/// Whether a job that failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It is tried again after the kind's next delay; after its last try it is dead.
    Again,
    /// It is dead at once: no other try can help.
    ForGood,
    /// It has not failed and uses no try: it comes back after this time.
    Later(TimeDelta),
}

/// Which jobs run beside each other. Each pool has runners of its own, so that what keeps one busy keeps no
/// other waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Control's own work, which may take long: sweeps, cells, rebuilds. A tenant has one job of such a kind, so
    /// nothing is bounded.
    Upkeep,
    /// Work that a user waits for and that takes milliseconds.
    Answers,
    /// Calls to external servers, which may hang.
    Mail,
}

/// How many jobs of one tenant run at once in a pool of those that have lanes, in all controls together.
pub const OF_ONE_TENANT: i32 = 2;

impl Pool {
    pub(super) const ALL: [Self; 3] = [Self::Upkeep, Self::Answers, Self::Mail];

    /// Where a tenant's jobs queue for room, in the pools where it has only so much.
    fn lane(self, tenant: TenantId) -> Option<String> {
        match self {
            Self::Upkeep => None,
            Self::Answers | Self::Mail => Some(format!("{}/{tenant}", self.as_str())),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Upkeep => "upkeep",
            Self::Answers => "answers",
            Self::Mail => "mail",
        }
    }

    /// How many of its jobs one control runs at once.
    pub(super) fn runners(self) -> usize {
        match self {
            Self::Upkeep | Self::Answers => 4,
            Self::Mail => 16,
        }
    }
}

/// A kind that is enqueued, not only scheduled. `migrations/platform/jobs.sql` names each of them.
pub trait Enqueued: Job {
    /// How many of its jobs may wait at one tenant, in a pool of those that have lanes. Above, [`enqueue`] refuses.
    const MOST_WAITING: u32 = WAITING_JOBS;

    /// Which thing it is about. Of waiting jobs about one thing only the last enqueued stays; one that
    /// runs at that moment runs to its end, and the new one after it.
    fn about(&self) -> String;

    /// The tenant that it is done for. Where its pool has lanes, [`OF_ONE_TENANT`] of these jobs run at once, and they
    /// begin up to a quarter of a second later than others. Without a tenant, nothing is bounded.
    fn tenant(&self) -> Option<TenantId> {
        None
    }
}

/// Enqueues a job, to be run once `delay` is over. It is part of the transaction: rolled back, it
/// never was; committed, a runner learns of it at once.
///
/// # Errors
/// [`Failure::Busy`], a 503 with `Retry-After`, where too many of the kind wait at the job's tenant; else errors of
/// the database.
pub async fn enqueue<J: Enqueued>(
    connection: &mut PgConnection,
    job: &J,
    delay: TimeDelta,
) -> Result<(), Failure> {
    let payload = serde_json::to_value(job).map_err(|_| Failure::Unreadable("job"))?;
    let delay_secs = delay.max(TimeDelta::zero()).as_seconds_f64();
    let tenant = job.tenant();
    let taken = sqlx::query_scalar!(
        r#"select platform.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9) as "taken!""#,
        J::TASK,
        payload,
        job.about(),
        delay_secs,
        i32::from(J::ATTEMPTS),
        J::DELAYS_SECS,
        tenant.map(|tenant| tenant.uuid()),
        tenant.and_then(|tenant| J::POOL.lane(tenant)),
        i32::try_from(J::MOST_WAITING).unwrap_or(i32::MAX),
    )
    .fetch_one(connection)
    .await?;
    if taken {
        return Ok(());
    }
    metrics::counter!("wardgate_jobs_refused_total", "task" => J::TASK).increment(1);
    Err(Failure::Busy("waiting jobs"))
}
