//! The API.

pub mod metrics;
pub mod time;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::control::Control;

/// Serves the API until `stop`, then finishes what is under way.
pub async fn serve(_control: Control, listener: TcpListener, stop: CancellationToken) {
    let app: Router =
        Router::new().route("/healthz", get(|| async { "{}" })).route("/readyz", get(|| async { "{}" }));
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(error = &error as &dyn std::error::Error, "the listener failed");
    }
}
