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
use crate::http::list::Asked;
use crate::http::page::ListOut;

/// The jobs of all tenants, by what [`Filters`] can ask for.
#[utoipa::path(
    get, path = "/api/platform/jobs/", tag = "Jobs", operation_id = "jobs_list", summary = "List jobs",
    description = "Needs `platform.jobs_read`. The last enqueued come first, unless ordered otherwise: by `id`, `kind`, \
        `run_at`, `created_at` or `updated_at`.",
    params(Filters, Ordering, Paging),
    responses((status = 200, description = "A part of the list", body = ListOut<JobOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    platform: Platform<PlatformJobsRead>,
    Asked { filters, part }: Asked<Filters>,
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
    description = "Needs `platform.jobs_read`. A job that has done its work is not there any more.",
    params(("id" = i64, Path)),
    responses((status = 200, description = "The job", body = JobOut, example = json!(example())))
)]
pub async fn read(
    mut platform: Platform<PlatformJobsRead>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    Ok(ok(&listed::find(&mut platform.by.tx, number(&id)?).await?))
}

/// Has a job tried again: 200 with the job; 409 while it runs, or where it has not failed.
#[utoipa::path(
    post, path = "/api/platform/jobs/{id}/retry/", tag = "Jobs", operation_id = "jobs_retry", summary = "Try a job again",
    description = "Needs `platform.jobs_write`. A dead job, or one that failed and waits for its next try, is due at once \
        and has all its tries again. The audit log of the platform tenant has it (`job.retried`).",
    params(("id" = i64, Path)),
    responses(
        (status = 200, description = "It is due", body = JobOut, example = json!(example())),
        (status = 409, description = "It runs, or has not failed", body = described::Refused),
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

/// Takes a job out of the queue: 204; 409 while it runs.
#[utoipa::path(
    post, path = "/api/platform/jobs/{id}/cancel/", tag = "Jobs", operation_id = "jobs_cancel", summary = "Cancel a job",
    description = "Needs `platform.jobs_write`. What the job was to do is not done. The audit log of the platform tenant has \
        it (`job.cancelled`).",
    params(("id" = i64, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It runs", body = described::Refused),
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
