//! `/metrics` for Prometheus, on a listener of its own, apart from the API.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::failure::chain;

const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds in seconds: histograms of several controls can be added up, quantiles cannot.
const BUCKETS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Installs the recorder of this process; `None` if it has one already.
#[must_use]
pub fn install() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?;
    builder.install_recorder().ok()
}

/// Serves the metrics until `stop`.
pub async fn serve(listener: TcpListener, handle: Option<PrometheusHandle>, stop: CancellationToken) {
    let rendered = handle.clone();
    let render = move || {
        let handle = rendered.clone();
        async move { handle.map(|handle| handle.render()).unwrap_or_default() }
    };
    let keep_up = keep_up(handle);
    let app: Router = Router::new().route("/metrics", get(render));
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await });
    let served = async {
        if let Err(error) = served.await {
            tracing::error!(error = %chain(&error), "the metrics listener failed");
        }
    };
    tokio::select! {
        () = served => {}
        () = keep_up => {}
    }
}

/// Drains histograms regularly, so that they do not grow if no collector reads them.
async fn keep_up(handle: Option<PrometheusHandle>) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        if let Some(handle) = &handle {
            handle.run_upkeep();
        }
    }
}
