//! How full the queue is.

use crate::control::Control;
use crate::failure::Failure;

/// Sets the gauges of every kind of job.
///
/// # Errors
/// Errors of the database.
pub async fn measure(control: &Control) -> Result<(), Failure> {
    let rows = sqlx::query!(
        r#"select kind as "kind!",
            count(*) filter (where state = 'waiting') as "waiting!",
            count(*) filter (where state = 'running') as "running!",
            count(*) filter (where state = 'waiting' and run_at <= now()) as "due!",
            count(*) filter (where state = 'dead') as "dead!",
            coalesce(extract(epoch from max(now() - run_at)
                filter (where state = 'waiting' and run_at <= now())), 0)::float8 as "oldest_secs!"
        from platform.queue
        group by kind"#
    )
    .fetch_all(control.db.relay())
    .await?;
    for kind in super::schedule::KINDS {
        let row = rows.iter().find(|row| row.kind == kind.task);
        let gauge = |name: &'static str, value: Option<i64>| {
            // Exact up to 2^53 rows.
            #[allow(clippy::cast_precision_loss)]
            metrics::gauge!(name, "task" => kind.task).set(value.unwrap_or(0) as f64);
        };
        gauge("wardgate_jobs_waiting", row.map(|row| row.waiting));
        gauge("wardgate_jobs_running", row.map(|row| row.running));
        gauge("wardgate_jobs_due", row.map(|row| row.due));
        gauge("wardgate_jobs_dead", row.map(|row| row.dead));
        let oldest = row.map_or(0.0, |row| row.oldest_secs);
        metrics::gauge!("wardgate_jobs_oldest_due_seconds", "task" => kind.task).set(oldest);
    }
    Ok(())
}
