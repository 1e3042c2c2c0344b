//! The queue for operators: listing, retrying and cancelling jobs.
//!
//! The app reads the view `platform.queue` and calls two functions of `migrations/platform/jobs.sql`; it sees nothing
//! else of the queue.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::limits::DEAD_JOB_DAYS;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::body::FromFields;
use crate::http::fields::Fields;
use crate::http::list::List;
use crate::http::rows::{self, Column, Count, Order, Placed, Rows};
use crate::http::time::text;

/// A background job.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobOut {
    /// Its id.
    pub id: i64,
    /// The kind of job, such as `provision_tenant`.
    pub kind: String,
    /// `waiting`, `running`, or `dead` (failed for good).
    pub state: String,
    /// The tenant, if the job concerns one.
    #[schema(required)]
    #[sqlx(rename = "tenant_id")]
    pub tenant: Option<Uuid>,
    /// Ids that the job works on; never personal data.
    #[schema(value_type = Object)]
    pub payload: Value,
    /// How often it was started since it was enqueued or retried. A run that was only postponed does not count.
    pub attempts: i32,
    /// After so many failed runs it is dead.
    pub most_attempts: i32,
    /// When it is due. A tenant's job may start later, because only a number of them run at once.
    #[serde(serialize_with = "crate::http::time::micros")]
    pub run_at: DateTime<Utc>,
    /// Why the last run failed.
    #[schema(required)]
    pub reason: Option<String>,
    /// When it was enqueued.
    #[serde(serialize_with = "crate::http::time::micros")]
    pub created_at: DateTime<Utc>,
    /// When it was last enqueued, retried or postponed; of a dead job, when it failed for good.
    #[serde(serialize_with = "crate::http::time::micros")]
    pub updated_at: DateTime<Utc>,
}

/// The example in the OpenAPI document.
pub(super) fn example() -> Value {
    json!({
        "id": 42, "kind": "provision_tenant", "state": "dead", "tenant": null,
        "payload": {"tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a"}, "attempts": 25, "most_attempts": 25,
        "run_at": "2026-01-06T08:13:00.345678Z", "reason": "the database did not answer as it should",
        "created_at": "2026-01-02T03:04:05.678901Z", "updated_at": "2026-01-06T03:04:05.678901Z",
    })
}

/// The filters of the list of jobs; an absent filter matches all.
#[derive(Clone, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// `waiting`, `running` or `dead`.
    #[param(value_type = Option<String>)]
    pub state: Option<&'static str>,
    /// The kind of job, such as `provision_tenant`.
    pub kind: Option<String>,
    /// The id of the tenant.
    pub tenant: Option<Uuid>,
}

const STATES: [(&str, &str); 3] = [("waiting", "waiting"), ("running", "running"), ("dead", "dead")];

impl FromFields for Filters {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            state: fields.choice("state", &STATES),
            kind: fields.text("kind"),
            tenant: fields.uuid("tenant"),
        })
    }
}

/// A field that jobs can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The id.
    Id,
    /// The kind of job, such as `provision_tenant`.
    Kind,
    /// The time when they are due.
    RunAt,
    /// When they were enqueued.
    CreatedAt,
    /// The time of the last change.
    UpdatedAt,
}

impl List for Filters {
    type Key = Key;
    const ORDERINGS: &'static [(&'static str, Key)] = &[
        ("id", Key::Id),
        ("kind", Key::Kind),
        ("run_at", Key::RunAt),
        ("created_at", Key::CreatedAt),
        ("updated_at", Key::UpdatedAt),
    ];
    const DEFAULT: Order<Key> = Order { by: Key::Id, descending: true };
    const CURSORS: bool = false;
}

impl Column for Key {
    fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::Id => ("q.id", "bigint"),
            Self::Kind => ("q.kind", "text"),
            Self::RunAt => ("q.run_at", "timestamptz"),
            Self::CreatedAt => ("q.created_at", "timestamptz"),
            Self::UpdatedAt => ("q.updated_at", "timestamptz"),
        }
    }
}

impl Placed<Key> for JobOut {
    fn id(&self) -> Uuid {
        Uuid::from_u64_pair(0, self.id.unsigned_abs())
    }

    fn key(&self, by: Key) -> String {
        match by {
            Key::Id => self.id.to_string(),
            Key::Kind => self.kind.clone(),
            Key::RunAt => text(self.run_at),
            Key::CreatedAt => text(self.created_at),
            Key::UpdatedAt => text(self.updated_at),
        }
    }
}

/// Why an operation on a job failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// There is no job with this id.
    #[error("there is no such job")]
    NotFound,
    /// It is running.
    #[error("the job is running")]
    Running,
    /// It has not failed since it was enqueued or retried.
    #[error("the job waits and has not failed")]
    Waiting,
}

impl From<sqlx::Error> for JobError {
    fn from(error: sqlx::Error) -> Self {
        Failure::Database(error).into()
    }
}

/// ` from platform.queue` with the conditions of the filters.
fn from(sql: &mut QueryBuilder<Postgres>, filters: &Filters) {
    sql.push(" from platform.queue q\nwhere true");
    if let Some(state) = filters.state {
        sql.push("\nand q.state = ").push_bind(state);
    }
    if let Some(kind) = &filters.kind {
        sql.push("\nand q.kind = ").push_bind(kind.clone());
    }
    if let Some(tenant) = filters.tenant {
        sql.push("\nand q.tenant_id = ").push_bind(tenant);
    }
}

/// How many jobs match; `all` counts them, however many.
///
/// # Errors
/// Errors of the database.
pub async fn count(connection: &mut PgConnection, filters: &Filters, all: bool) -> Result<Count, Failure> {
    rows::count(connection, all, |sql| from(sql, filters)).await
}

/// Some of the jobs that match.
///
/// # Errors
/// Errors of the database.
pub async fn list(
    connection: &mut PgConnection,
    filters: &Filters,
    rows: &Rows<Key>,
) -> Result<Vec<JobOut>, Failure> {
    let mut sql = QueryBuilder::new("select q.*");
    from(&mut sql, filters);
    rows.end(&mut sql, "q.id");
    Ok(sql.build_query_as().fetch_all(connection).await?)
}

/// One job.
///
/// # Errors
/// [`JobError::NotFound`].
pub async fn find(connection: &mut PgConnection, id: i64) -> Result<JobOut, JobError> {
    let job = sqlx::query_as("select q.* from platform.queue q where q.id = $1").bind(id);
    job.fetch_optional(connection).await?.ok_or(JobError::NotFound)
}

/// Makes a job due at once, with all its attempts: a dead one, or a failed one that waits for its next attempt. Of
/// several calls at once, one succeeds. `tx` is of the platform tenant, whose audit log records it.
///
/// # Errors
/// See [`JobError`].
pub async fn retry(control: &Control, tx: &mut TenantTx, actor: &Actor, id: i64) -> Result<JobOut, JobError> {
    let before = find(tx, id).await?;
    let outcome = sqlx::query_scalar!("select platform.retry_job($1)", id).fetch_one(&mut **tx).await?;
    done(outcome.as_deref())?;
    record(control, tx, actor, Action::JobRetried, &before);
    find(tx, id).await
}

/// Removes a job from the queue; its work is not done. `tx` as for [`retry`].
///
/// # Errors
/// See [`JobError`].
pub async fn cancel(control: &Control, tx: &mut TenantTx, actor: &Actor, id: i64) -> Result<(), JobError> {
    let before = find(tx, id).await?;
    let outcome = sqlx::query_scalar!("select platform.cancel_job($1)", id).fetch_one(&mut **tx).await?;
    done(outcome.as_deref())?;
    record(control, tx, actor, Action::JobCancelled, &before);
    Ok(())
}

fn done(outcome: Option<&str>) -> Result<(), JobError> {
    match outcome {
        Some("done") => Ok(()),
        Some("running") => Err(JobError::Running),
        Some("waiting") => Err(JobError::Waiting),
        None => Err(JobError::NotFound),
        Some(_) => Err(Failure::Unreadable("outcome").into()),
    }
}

fn record(control: &Control, tx: &mut TenantTx, actor: &Actor, action: Action, job: &JobOut) {
    let details =
        json!({"kind": job.kind, "tenant": job.tenant, "payload": job.payload, "reason": job.reason});
    audit::record(tx, actor, control.clock.now(), action, Some(job.id.to_string()), details);
}

/// Removes the jobs that have been dead for [`DEAD_JOB_DAYS`], and the rows of jobs that were replaced while they ran.
///
/// # Errors
/// Errors of the database.
pub async fn sweep(control: &Control) -> Result<u64, Failure> {
    let swept = sqlx::query!(
        "delete from platform_jobs._private_jobs
        where locked_at is null
        and attempts >= max_attempts
        and (key is null or updated_at < now() - $1 * interval '1 day')",
        f64::from(DEAD_JOB_DAYS),
    )
    .execute(control.db.relay())
    .await?;
    Ok(swept.rows_affected())
}
