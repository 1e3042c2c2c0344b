//! `wardgate serve`: the listeners and everything that works in the background.
//!
//! On SIGTERM or SIGINT the listeners take no more, requests, pushes and jobs under way are finished,
//! then the pools close. Work that happens once however many controls run is a job ([`jobs`]).

mod listen;
mod logs;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::checkpoints;
use crate::control::Control;
use crate::edges::{drain, pusher};
use crate::failure::{Failure, chain};
use crate::jobs::runner;
use crate::sessions::device;
use crate::users::search::rebuild;
use crate::{api, db, edges, jobs, mail, tenants};

/// How long what is under way may take after the signal.
const GRACE: Duration = Duration::from_secs(20);
/// How often lag and queue are measured.
const MEASURE: Duration = Duration::from_secs(5);
/// How often, in rounds of these, what every cell must be asked for.
const ROUNDS: u32 = 12;

/// How soon a database that was not there is asked again which edge it feeds.
const AGAIN: Duration = Duration::from_secs(1);

/// Why it did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("{variable}: {address} cannot be listened on")]
    Listen {
        /// The setting.
        variable: &'static str,
        /// Its value.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Earlier values were sealed for another edge id than that of the settings.
    #[error(
        "WARDGATE_EDGE_ID is `{own}`, and this database feeds the edge `{fed}`, where nothing opens that is sealed for \
         `{own}`: set it back or, where that edge is gone for good, run `wardgate edges forget {fed} --yes`"
    )]
    OtherEdge {
        /// The id of the settings.
        own: String,
        /// The one that was fed.
        fed: String,
    },
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Serves until a signal.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(control: Control) -> Result<(), ServeError> {
    logs::init(&control.settings.log);
    let metrics = api::metrics::install();
    read_filters(&control).await?;
    // The rules that read devices take a while to load, which must not delay the start.
    tokio::task::spawn_blocking(device::load);
    let settings = &control.settings.http;
    let api = bind("WARDGATE_HTTP_LISTEN", settings.listen).await?;
    let metrics_listener = bind("WARDGATE_HTTP_METRICS_LISTEN", settings.metrics_listen).await?;
    mail::status::warn(&control);
    refuse_exempt_role(&control).await?;
    refuse_other_edge(&control).await?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    background(&control, &tasks, &stop);
    tasks.spawn(api::metrics::serve(metrics_listener, metrics, stop.clone()));
    tasks.spawn(api::serve(control.clone(), api, stop.clone()));
    tasks.close();
    tracing::info!(address = %settings.listen, direct = settings.direct, "serving");
    let ended = tokio::select! {
        () = signal() => Ok(()),
        refused = feed(&control, &tasks, &stop) => Err(refused),
    };
    tracing::info!("stopping");
    stop.cancel();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("what was under way took too long and was dropped");
    }
    control.db.close().await;
    ended
}

async fn bind(variable: &'static str, address: std::net::SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { variable, address, source })
}

/// Reads a filter of breached passwords whole before anything listens: a damaged one is refused now and not at the
/// first password.
async fn read_filters(control: &Control) -> Result<(), Failure> {
    let filters = control.filters.clone();
    let read =
        tokio::task::spawn_blocking(move || filters.own().map(|own| own.map(|it| it.header().clone())));
    let header = read.await.map_err(|_| Failure::Unreadable("filter of passwords"))??;
    if let Some(header) = header {
        let (passwords, made_at) = (header.entries, header.made_at.to_rfc3339());
        tracing::info!(passwords, made_at, source = header.source, "read the filter of `passwords.filter`");
    }
    Ok(())
}

/// An exempt role would serve every tenant's rows to every tenant, so it never serves. A database
/// that is down now is found by `readyz`, and the role is looked at again by the first that asks.
async fn refuse_exempt_role(control: &Control) -> Result<(), Failure> {
    match db::refuse_exempt(control.db.app(), &control.roles).await {
        Err(failure) if failure.is_passing() => {
            tracing::warn!(error = %chain(&failure), "the database is not there yet");
            Ok(())
        }
        other => other,
    }
}

/// A slip in the edge's id would end every tenant that is pushed under it. Whether it is one, a database that is
/// down now says later, to [`feed`].
async fn refuse_other_edge(control: &Control) -> Result<(), ServeError> {
    match edges::edge_id::former(control).await {
        Ok(None) => Ok(()),
        Ok(Some(fed)) => Err(ServeError::OtherEdge { own: control.settings.edge.id.clone(), fed }),
        Err(failure) if failure.is_passing() => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Feeds the edge as soon as the database has said that it is its own; ends where it is another's.
async fn feed(control: &Control, tasks: &TaskTracker, stop: &CancellationToken) -> ServeError {
    loop {
        match edges::edge_id::former(control).await {
            Ok(None) => break,
            Ok(Some(fed)) => return ServeError::OtherEdge { own: control.settings.edge.id.clone(), fed },
            Err(failure) if failure.is_passing() => {
                tracing::warn!(error = %chain(&failure), "the edge is not fed yet");
                tokio::time::sleep(AGAIN).await;
            }
            Err(failure) => return failure.into(),
        }
    }
    let edges = Arc::new(Notify::new());
    tasks.spawn(listen::run(control.clone(), edges.clone(), stop.clone()));
    tasks.spawn(pusher::run(control.clone(), edges.clone(), stop.clone()));
    tasks.spawn(drain::run(control.clone(), edges, stop.clone()));
    std::future::pending().await
}

fn background(control: &Control, tasks: &TaskTracker, stop: &CancellationToken) {
    tasks.spawn(runner::run(control.clone(), stop.clone()));
    tasks.spawn(measure(control.clone(), stop.clone()));
    tasks.spawn(look_at_objects(control.clone(), stop.clone()));
}

/// Says at the start, and not only with the first checkpoint, where the bucket does not keep what is written as the
/// settings ask for.
async fn look_at_objects(control: Control, stop: CancellationToken) {
    tokio::select! {
        checked = control.objects.check() => {
            if let Err(error) = checked {
                let place = control.objects.name();
                tracing::error!(error = %chain(&error), place, "checkpoints of the audit logs cannot be written");
            }
        }
        () = stop.cancelled() => {}
    }
}

/// Keeps the gauges of this process right. A failure is logged and waited out.
async fn measure(control: Control, stop: CancellationToken) {
    let mut round = 0;
    while !stop.is_cancelled() {
        if let Err(error) = measure_once(&control, round == 0).await {
            tracing::warn!(error = %chain(&error), "lag and queue are not measured");
        }
        round = (round + 1) % ROUNDS;
        tokio::select! {
            () = tokio::time::sleep(MEASURE) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn measure_once(control: &Control, cells_too: bool) -> Result<(), Failure> {
    edges::status::measure(control).await?;
    tenants::data_key::measure(control).await?;
    checkpoints::measure(control).await?;
    mail::status::measure(control).await?;
    jobs::status::measure(control).await?;
    if cells_too {
        rebuild::measure(control).await?;
    }
    Ok(())
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without signal handlers the default action ends the process.
        _ => std::future::pending().await,
    }
}
