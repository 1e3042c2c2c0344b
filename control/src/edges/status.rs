//! How far the edge is behind, tenant by tenant.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::control::Control;
use crate::failure::Failure;

/// One tenant's state at the edge, as control knows it.
#[derive(Debug, Serialize)]
pub struct EdgeStatus {
    /// The tenant.
    pub tenant: Uuid,
    /// Its slug.
    pub slug: String,
    /// The tenant's restore counter in control's database.
    pub history: i64,
    /// The tenant's newest revision in control's database.
    pub rev: i64,
    /// The revision that the edge has confirmed.
    pub mark: i64,
    /// Revisions the edge is missing.
    pub lag: i64,
    /// When the edge last confirmed something.
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Since when pushes fail.
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub failing_since: Option<DateTime<Utc>>,
    /// Why the last push failed.
    pub last_error: Option<String>,
    /// Why nothing is written for the tenant.
    pub halted: Option<String>,
    /// Facts of the edge that the tenant could not take yet.
    pub facts_held: i64,
    /// Since when it takes none.
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub facts_failing_since: Option<DateTime<Utc>>,
    /// Why it took none.
    pub facts_error: Option<String>,
}

/// How the drain of an edge's facts goes.
#[derive(Debug, Serialize)]
pub struct DrainStatus {
    /// The edge.
    pub edge: String,
    /// When facts were last taken over.
    #[serde(serialize_with = "crate::http::time::micros_option")]
    pub drained_at: Option<DateTime<Utc>>,
    /// Why the last call failed.
    pub last_error: Option<String>,
}

/// The drain of this control's edge; `None` before its first call.
///
/// # Errors
/// Errors of the database.
pub async fn drain(control: &Control) -> Result<Option<DrainStatus>, Failure> {
    let drain = sqlx::query_as!(
        DrainStatus,
        "select edge, drained_at, last_error from platform.drains where edge = $1",
        control.settings.edge.id,
    )
    .fetch_optional(control.db.relay())
    .await?;
    Ok(drain)
}

/// Every tenant that has anything at the edge; with `behind`, those that lag, are halted or do not take
/// their facts.
///
/// # Errors
/// Errors of the database.
pub async fn all(control: &Control, behind: bool) -> Result<Vec<EdgeStatus>, Failure> {
    let rows = sqlx::query_as!(
        EdgeStatus,
        r#"select t.id as tenant, t.slug, r.history, r.rev, r.mark,
            case when r.history = r.mark_history then r.rev - r.mark else r.rev end as "lag!",
            r.confirmed_at, l.failing_since as "failing_since?", l.last_error as "last_error?",
            r.halted_why as halted,
            case when f.failing_since is null then 0
                else (select count(*) from platform.held_facts h where h.tenant_id = r.tenant_id)
            end as "facts_held!",
            f.failing_since as "facts_failing_since?", f.last_error as "facts_error?"
        from platform.revisions r
        join platform.tenants t on t.id = r.tenant_id
        left join platform.edge_lanes l on l.tenant_id = r.tenant_id and l.lane = 'backlog'
        left join platform.edge_lanes f on f.tenant_id = r.tenant_id and f.lane = 'facts'
        where r.rev > 0
            and (not $1 or r.rev > r.mark or r.history <> r.mark_history or r.halted_at is not null
                or f.failing_since is not null)
        order by t.created_at, t.id"#,
        behind,
    )
    .fetch_all(control.db.relay())
    .await?;
    Ok(rows)
}

/// Sets the gauges of every tenant's lag.
///
/// # Errors
/// Errors of the database.
pub async fn measure(control: &Control) -> Result<(), Failure> {
    let now = control.clock.now();
    for status in all(control, false).await? {
        let failing = status.failing_since.map_or(0, |since| (now - since).num_seconds().max(0));
        // Precise far beyond any counter that is shown on a graph.
        #[allow(clippy::cast_precision_loss)]
        let (lag, failing) = (status.lag as f64, failing as f64);
        metrics::gauge!("wardgate_edge_lag_revisions", "tenant" => status.slug.clone()).set(lag);
        metrics::gauge!("wardgate_edge_failing_seconds", "tenant" => status.slug.clone()).set(failing);
        let silent = status.facts_failing_since.map_or(0, |since| (now - since).num_seconds().max(0));
        #[allow(clippy::cast_precision_loss)]
        let (held, silent) = (status.facts_held as f64, silent as f64);
        metrics::gauge!("wardgate_edge_facts_held", "tenant" => status.slug.clone()).set(held);
        metrics::gauge!("wardgate_edge_facts_failing_seconds", "tenant" => status.slug.clone()).set(silent);
        let halted = if status.halted.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("wardgate_edge_halted", "tenant" => status.slug).set(halted);
    }
    if let Some(drain) = drain(control).await? {
        let age = drain.drained_at.map_or(0, |at| (now - at).num_seconds().max(0));
        #[allow(clippy::cast_precision_loss)]
        metrics::gauge!("wardgate_edge_drain_age_seconds", "edge" => drain.edge).set(age as f64);
    }
    Ok(())
}
