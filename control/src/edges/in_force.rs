//! Whether a change that revokes is in force when it is answered: its answer waits a moment for the edge's word.
//!
//! The edge confirms that its database has the row: from then on no refresh token, sign-in or code goes past the change.
//! An isolate that answers from what it knows learns of it by the feed, within the ages that docs/sessions.md states.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::Response;
use shared::contract::limits::IN_FORCE_MS;
use tokio::time::{Instant, sleep, timeout_at};

use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Revoked;
use crate::failure::{Failure, chain};

/// The header of an answer to a change that revokes.
const HEADER: &str = "wardgate-in-force";
/// How often the database is asked: another control may send the change, and its word comes this way alone.
const POLL: Duration = Duration::from_millis(50);

/// Whether a change is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// It revoked nothing.
    Nothing,
    /// The edge has it.
    Edge,
    /// The edge has not said so yet; it is on its way.
    Pending,
}

impl InForce {
    /// The answer with the header that says so.
    #[must_use]
    pub fn on(self, mut response: Response) -> Response {
        let word = match self {
            Self::Nothing => return response,
            Self::Edge => "edge",
            Self::Pending => "pending",
        };
        response.headers_mut().insert(HEADER, HeaderValue::from_static(word));
        response
    }
}

/// Commits, and waits for the edge to confirm what the transaction revoked.
///
/// # Errors
/// As [`TenantTx::commit`]: nothing is changed then. That the edge does not confirm is no error.
pub async fn commit(control: &Control, mut tx: TenantTx) -> Result<InForce, Failure> {
    let revoked = tx.changes().revoked();
    tx.commit().await?;
    if revoked.is_empty() {
        return Ok(InForce::Nothing);
    }
    let (began, patience) = (Instant::now(), control.settings.edge.in_force_ms.min(IN_FORCE_MS));
    if patience == 0 {
        return Ok(InForce::Pending);
    }
    let deadline = began + Duration::from_millis(patience);
    let in_force = match timeout_at(deadline, confirmed(control, &revoked)).await {
        Ok(Ok(())) => InForce::Edge,
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "whether a change is in force could not be read");
            InForce::Pending
        }
        Err(_) => InForce::Pending,
    };
    let outcome = if in_force == InForce::Edge { "edge" } else { "pending" };
    metrics::counter!("wardgate_in_force_total", "outcome" => outcome).increment(1);
    metrics::histogram!("wardgate_in_force_seconds").record(began.elapsed().as_secs_f64());
    Ok(in_force)
}

/// Returns once the edge has every row.
async fn confirmed(control: &Control, revoked: &[Revoked]) -> Result<(), Failure> {
    loop {
        let mut word = std::pin::pin!(control.confirmations.notified());
        // From here on no word is missed, also one that comes while the database is asked.
        word.as_mut().enable();
        if !is_waiting(control, revoked).await? {
            return Ok(());
        }
        tokio::select! {
            () = word => {}
            () = sleep(POLL) => {}
        }
    }
}

/// Whether the edge has yet to confirm one of these rows.
async fn is_waiting(control: &Control, revoked: &[Revoked]) -> Result<bool, Failure> {
    let tenants: Vec<_> = revoked.iter().map(|row| row.tenant.uuid()).collect();
    let kinds: Vec<_> = revoked.iter().map(|row| row.kind.as_str().to_owned()).collect();
    let subjects: Vec<_> = revoked.iter().map(|row| row.subject.clone()).collect();
    let waiting = sqlx::query_scalar!(
        r#"select exists (
            select from platform.edge_rows e
            join unnest($1::uuid[], $2::text[], $3::text[]) as revoked (tenant_id, kind, subject)
                using (tenant_id, kind, subject)
            where e.urgent
        ) as "waiting!""#,
        &tenants,
        &kinds,
        &subjects,
    )
    .fetch_one(control.db.relay())
    .await?;
    Ok(waiting)
}
