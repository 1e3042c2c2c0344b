//! The top layer of control: every path ([`router()`]), the order of the middleware ([`layers`]), the OpenAPI
//! document, health and metrics. It may import every slice; no slice imports it.

pub mod health;
mod inside;
mod layers;
pub mod metrics;
pub mod openapi;
mod router;

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::failure::chain;
pub use router::router;

/// Serves the API until `stop`, then finishes what is under way.
pub async fn serve(control: Control, listener: TcpListener, stop: CancellationToken) {
    let app = router(&control).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(error = %chain(&error), "the listener failed");
    }
}
