//! `/api/platform/jobs/`.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{PlatformJobsRead, PlatformJobsWrite};
use shared::contract::refusal::{Code, Refusal};

use super::listed::{self, Filters, JobError, JobOut, example};
use crate::access::Platform;
use crate::control::Control;
use crate::http::answer::{Refused, no_content, ok};
use crate::http::described::{Ordering, Paging};
use crate::http::list::ListQuery;
use crate::http::page::ListOut;

/// Lists the jobs of all tenants.
#[utoipa::path(
    get, path = "/api/platform/jobs/", tag = "Jobs", operation_id = "jobs_list", summary = "List jobs",
    description = "Needs `platform.jobs_read`. The default order is the last enqueued first; `ordering` takes `id`, \
        `kind`, `run_at`, `created_at` and `updated_at`.",
    params(Filters, Ordering, Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<JobOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    platform: Platform<PlatformJobsRead>,
    ListQuery { filters, part }: ListQuery<Filters>,
) -> Result<Response, Refused> {
    let mut tx = platform.by.tx.for_long_read(&control.db).await?;
    let count = listed::count(&mut tx, &filters, part.counts_all()).await?;
    let span = part.of(&mut tx, count).await?;
    let jobs = listed::list(&mut tx, &filters, &span.rows).await?;
    span.answer(jobs, |job| job)
}

/// One job.
#[utoipa::path(
    get, path = "/api/platform/jobs/{id}/", tag = "Jobs", operation_id = "jobs_read", summary = "Read a job",
    description = "Needs `platform.jobs_read`. A job that succeeded is deleted.",
    params(("id" = i64, Path)),
    responses((status = 200, description = "The job", body = JobOut, example = json!(example())))
)]
pub async fn read(
    mut platform: Platform<PlatformJobsRead>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    Ok(ok(&listed::find(&mut platform.by.tx, number(&id)?).await?))
}

/// Retries a job: 200 with the job; 409 while it runs, or if it has not failed.
#[utoipa::path(
    post, path = "/api/platform/jobs/{id}/retry/", tag = "Jobs", operation_id = "jobs_retry", summary = "Retry a job",
    description = "Needs `platform.jobs_write`. A dead job, or a failed one that waits for its next attempt, becomes \
        due at once with all its attempts. Recorded in the audit log of the platform tenant (`job.retried`).",
    params(("id" = i64, Path)),
    responses(
        (status = 200, description = "The job is due", body = JobOut, example = json!(example())),
        (status = 409, description = "The job is running, or has not failed", body = described::Refused),
    )
)]
pub async fn retry(
    State(control): State<Control>,
    platform: Platform<PlatformJobsWrite>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let (mut tx, actor) = (platform.by.tx, platform.by.actor);
    let job = listed::retry(&control, &mut tx, &actor, number(&id)?).await?;
    tx.commit().await?;
    Ok(ok(&job))
}

/// Cancels a job: 204; 409 while it runs.
#[utoipa::path(
    post, path = "/api/platform/jobs/{id}/cancel/", tag = "Jobs", operation_id = "jobs_cancel", summary = "Cancel a job",
    description = "Needs `platform.jobs_write`. The work of the job is not done. Recorded in the audit log of the \
        platform tenant (`job.cancelled`).",
    params(("id" = i64, Path)),
    responses(
        (status = 204, description = "The job was removed"),
        (status = 409, description = "The job is running", body = described::Refused),
    )
)]
pub async fn cancel(
    State(control): State<Control>,
    platform: Platform<PlatformJobsWrite>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let (mut tx, actor) = (platform.by.tx, platform.by.actor);
    listed::cancel(&control, &mut tx, &actor, number(&id)?).await?;
    tx.commit().await?;
    Ok(no_content())
}

/// An id that does not parse is the same 404 as one that does not exist.
fn number(text: &str) -> Result<i64, JobError> {
    text.parse().map_err(|_| JobError::NotFound)
}

impl From<JobError> for Refused {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Failure(failure) => failure.into(),
            JobError::NotFound => Refusal::plain(404, "No Job matches the given query.").into(),
            JobError::Running => Refusal::new(409, "The job is running.", Code::Conflict).into(),
            JobError::Waiting => Refusal::new(409, "The job has not failed.", Code::Conflict).into(),
        }
    }
}
