//! `wardgate audit archive`: old entries of the audit logs, out of the database.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;
use serde::Serialize;

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show};
use super::target::chosen_logs;
use crate::audit::verify::Log;
use crate::audit::{archive, checkpoints, removal};
use crate::control::Control;
use crate::http::time;

/// Entries between two lines of progress output.
const TOLD: u64 = 20_000;

/// The arguments.
#[derive(Args)]
pub(super) struct Archive {
    /// Archive entries that were recorded before this date (its first moment in UTC) or time, such as 2026-01-02T03:04:05Z.
    /// At least 31 days ago: a database of the edge can be restored to 30 days ago and then sends its events again, which
    /// are recognised by their entries.
    #[arg(long, value_name = "DATE", value_parser = moment)]
    before: DateTime<Utc>,
    /// The tenant's slug or id. Default: all tenants.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    yes: Yes,
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed.map(|at| at.to_utc()).map_err(|_| String::from("expected a date such as 2026-01-02"))
}

/// The output for one tenant.
#[derive(Serialize)]
struct Archived {
    tenant: String,
    /// New archives.
    archives: u64,
    /// Entries in the new archives.
    entries: i64,
    /// Rows that were removed.
    removed: u64,
    /// Why archiving stopped early.
    error: Option<String>,
}

const ARCHIVED: Rows<Archived> = Rows {
    names: ["log", "logs"],
    head: &["tenant", "archives", "entries", "removed", "error"],
    line: |row| {
        let numbers = [row.archives.to_string(), row.entries.to_string(), row.removed.to_string()];
        let [archives, entries, removed] = numbers;
        vec![row.tenant.clone(), archives, entries, removed, row.error.clone().unwrap_or_default()]
    },
};

pub(super) async fn run(control: &Control, show: Show, asked: Archive) -> Result<(), CliError> {
    let Archive { before, tenant, yes } = asked;
    if before > control.clock.now() - archive::YOUNGEST {
        return Err(CliError::Refused(String::from(
            "--before: expected a time at least 31 days ago, because facts of the edge may come again until then",
        )));
    }
    let logs = chosen_logs(control, tenant.as_deref()).await?;
    let whose = tenant.map_or_else(|| String::from("every tenant"), |name| format!("tenant `{name}`"));
    let place = control.objects.name();
    yes.to(&format!(
        "removes entries older than {} from the audit log of {whose} once they are in archives in {place}",
        time::text(before)
    ))?;
    // Nothing is archived that no checkpoint covers.
    checkpoints::copy_out(control).await?;
    let mut rows = Vec::with_capacity(logs.len());
    for log in logs {
        rows.push(archived(control, show, &log, before).await);
    }
    show.list(&ARCHIVED, &rows);
    match rows.iter().filter(|row| row.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(CliError::Failed(format!("{failed} of {} logs were not archived", rows.len()))),
    }
}

/// Archives one log; a failure does not stop the others.
async fn archived(control: &Control, show: Show, log: &Log, before: DateTime<Utc>) -> Archived {
    let mut row = Archived { tenant: log.slug.clone(), archives: 0, entries: 0, removed: 0, error: None };
    if let Err(error) = archive_log(control, show, log, before, &mut row).await {
        row.error = Some(error.to_string());
    }
    row
}

async fn archive_log(
    control: &Control,
    show: Show,
    log: &Log,
    before: DateTime<Utc>,
    row: &mut Archived,
) -> Result<(), CliError> {
    while let Some(archive) = archive::next(control, log.tenant, before).await? {
        row.archives += 1;
        row.entries += archive.to - archive.from + 1;
        show.note(&format!(
            "{}: entries {} to {} are in {}",
            log.slug, archive.from, archive.to, archive.object
        ));
    }
    let (removed, mut told) = (&mut row.removed, 0);
    removal::remove(control, log.tenant, &log.cell, |gone| {
        *removed += gone;
        if *removed >= told + TOLD {
            told = *removed;
            show.note(&format!("{}: {told} rows removed", log.slug));
        }
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_first_moment() {
        assert_eq!(moment("2026-01-02").map(time::text).as_deref(), Ok("2026-01-02T00:00:00.000000Z"));
        let later = moment("2026-01-02T03:04:05+02:00").map(time::text);
        assert_eq!(later.as_deref(), Ok("2026-01-02T01:04:05.000000Z"));
        assert!(moment("yesterday").is_err());
    }
}
