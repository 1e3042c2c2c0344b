//! `wardgate serve`: the listeners and everything that works in the background.
//!
//! On SIGTERM or SIGINT the listeners take no more, requests and pushes under way are finished,
//! then the pools close.

mod listen;
mod logs;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::Control;
use crate::edges::{drain, pusher, status, sweep};
use crate::failure::{Failure, chain};
use crate::legacy::{passwords, tokens};
use crate::tenants::provision;
use crate::{api, db, http, keys};

/// How long what is under way may take after the signal.
const GRACE: Duration = Duration::from_secs(20);

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
    /// Something beneath failed.
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
    let settings = &control.settings.http;
    let api = bind("WARDGATE_HTTP_LISTEN", settings.listen).await?;
    let metrics_listener = bind("WARDGATE_HTTP_METRICS_LISTEN", settings.metrics_listen).await?;
    refuse_exempt_role(&control).await?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    background(&control, &tasks, &stop);
    tasks.spawn(api::metrics::serve(metrics_listener, metrics, stop.clone()));
    tasks.spawn(api::serve(control.clone(), api, stop.clone()));
    tasks.close();
    tracing::info!(address = %settings.listen, direct = settings.direct, "serving");
    signal().await;
    tracing::info!("stopping");
    stop.cancel();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("what was under way took too long and was dropped");
    }
    control.db.close().await;
    Ok(())
}

async fn bind(variable: &'static str, address: std::net::SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { variable, address, source })
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

fn background(control: &Control, tasks: &TaskTracker, stop: &CancellationToken) {
    let (edges, cells) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    tasks.spawn(listen::run(control.clone(), edges.clone(), cells.clone(), stop.clone()));
    tasks.spawn(pusher::run(control.clone(), edges.clone(), stop.clone()));
    tasks.spawn(drain::run(control.clone(), edges, stop.clone()));
    let every = |name, secs, wake, job| {
        tasks.spawn(repeat(name, secs, wake, stop.clone(), job));
    };
    every("cells", 5, Some(cells), job(control, |it| async move { provision::run_due(&it).await }));
    every("keys", 1, None, job(control, |it| async move { keys::due::advance_all(&it).await }));
    every("tombstones", 60, None, job(control, |it| async move { sweep::tombstones(&it).await.map(drop) }));
    every(
        "idempotency keys",
        60,
        None,
        job(control, |it| async move { http::once::sweep(&it).await.map(drop) }),
    );
    every("lag", 5, None, job(control, |it| async move { status::measure(&it).await }));
    every("foreign passwords", 60, None, job(control, |it| async move { passwords::sweep(&it).await }));
    every("legacy tokens", 60, None, job(control, |it| async move { tokens::sweep(&it).await }));
}

type Job = Box<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync>;

fn job<F, R>(control: &Control, work: F) -> Job
where
    F: Fn(Control) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let control = control.clone();
    Box::new(move || Box::pin(work(control.clone())))
}

/// Does a job again and again, when woken and every `secs` seconds. A failure is logged and waited out.
async fn repeat(name: &'static str, secs: u64, wake: Option<Arc<Notify>>, stop: CancellationToken, job: Job) {
    let woken = || async {
        match &wake {
            Some(wake) => wake.notified().await,
            None => std::future::pending().await,
        }
    };
    while !stop.is_cancelled() {
        if let Err(error) = job().await {
            tracing::warn!(job = name, error = %chain(&error), "a background job failed");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(secs)) => {}
            () = woken() => {}
            () = stop.cancelled() => {}
        }
    }
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
