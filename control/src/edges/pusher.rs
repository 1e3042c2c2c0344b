//! Finds what the edge is missing and sends it, woken by the database.
//!
//! A commit notifies; a slow poll finds what a lost connection would have missed and what waits
//! for its retry. Lanes run side by side, a bounded number of them, each under its lease.

use std::sync::Arc;
use std::time::Duration;

use shared::contract::limits::PUSH_ROWS;
use shared::ids::TenantId;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::backlog;
use super::lanes::{self, Lane, LaneError};
use super::urgent;
use crate::control::Control;
use crate::failure::{Failure, chain};

/// How often the database is asked without having called.
const POLL: Duration = Duration::from_millis(500);
/// Lanes at once; each holds one connection for moments and one call to the edge.
const LANES: usize = 8;

/// Pushes until `stop`; then finishes what is under way.
pub async fn run(control: Control, wake: Arc<Notify>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(LANES));
    let mut under_way = JoinSet::new();
    while !stop.is_cancelled() {
        if let Err(error) = start_due(&control, &wake, &places, &mut under_way).await {
            tracing::warn!(
                error = %chain(&error),
                "what is due at the edge could not be read"
            );
        }
        while under_way.try_join_next().is_some() {}
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn start_due(
    control: &Control,
    wake: &Arc<Notify>,
    places: &Arc<Semaphore>,
    under_way: &mut JoinSet<()>,
) -> Result<(), Failure> {
    let now = control.clock.now();
    let page = i64::try_from(PUSH_ROWS).unwrap_or(500);
    for (tenant, lane) in lanes::due(control.db.relay(), now, page, urgent::AHEAD).await? {
        // An urgent lane needs no free place: a revocation does not queue behind backlogs.
        let place = match lane {
            Lane::Urgent => None,
            Lane::Backlog => match places.clone().try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => continue,
            },
        };
        if !lanes::claim(control.db.relay(), tenant, lane, now, false).await? {
            continue;
        }
        let (control, wake) = (control.clone(), wake.clone());
        under_way.spawn(async move {
            send(&control, tenant, lane).await;
            drop(place);
            // A commit that came after the last look found the lane taken: look again.
            wake.notify_one();
        });
    }
    Ok(())
}

async fn send(control: &Control, tenant: TenantId, lane: Lane) {
    let sent = match lane {
        Lane::Backlog => backlog::push(control, tenant).await,
        Lane::Urgent => urgent::push(control, tenant).await,
    };
    let noted = match &sent {
        Ok(()) => lanes::succeeded(control.db.relay(), tenant, lane).await,
        Err(error) => {
            metrics::counter!("wardgate_edge_push_failures_total", "lane" => lane.as_str()).increment(1);
            tracing::warn!(%tenant, lane = lane.as_str(), error = %chain(error), "push failed");
            let now = control.clock.now();
            let why = chain(error).to_string();
            lanes::failed(control.db.relay(), tenant, lane, now, &why).await
        }
    };
    if let Err(error) = noted {
        tracing::warn!(%tenant, error = %chain(&error), "the outcome of a push could not be noted");
    }
}

/// Sends everything that is missing of one tenant now: for the command line and for tests.
///
/// # Errors
/// See [`LaneError`].
pub async fn push_now(control: &Control, tenant: TenantId) -> Result<(), LaneError> {
    urgent::push(control, tenant).await?;
    backlog::push(control, tenant).await
}
