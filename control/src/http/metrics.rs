//! `/metrics` for Prometheus, on a listener of its own: it is nobody's API.

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::failure::chain;

/// Installs the recorder of this process; `None` if it has one already.
#[must_use]
pub fn install() -> Option<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().ok()
}

/// Serves the metrics until `stop`.
pub async fn serve(listener: TcpListener, handle: Option<PrometheusHandle>, stop: CancellationToken) {
    let render = move || {
        let handle = handle.clone();
        async move { handle.map(|handle| handle.render()).unwrap_or_default() }
    };
    let app: Router = Router::new().route("/metrics", get(render));
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(error = %chain(&error), "the metrics listener failed");
    }
}
