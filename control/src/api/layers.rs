//! The order in which a request passes the middleware.

use axum::Router;
use axum::middleware::from_fn_with_state;
use tower_http::catch_panic::CatchPanicLayer;

use crate::control::Control;
use crate::http::answer::panicked;
use crate::http::{gate, trace};

/// The middleware, outermost first:
/// 1. `trace`: the request id, the log line and the numbers, so that everything below is in them;
/// 2. `catch_panic`: a panic is one request's 500;
/// 3. `gate`: who sent this (a forward signature, or a direct caller), 404 by the route table,
///    `OPTIONS`, and the headers that every answer carries.
///
/// Reading the body is no layer of all: the route table says how each path does it.
pub(super) fn of_api(control: &Control, api: Router) -> Router {
    let api = api
        .layer(from_fn_with_state(control.clone(), gate::pass))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(control.clone(), trace::follow));
    // A path is served with and without its final slash and with its ids in every spelling, so it is
    // made one before routing. The router inside is nested as a service, because a layer alone runs after the route was chosen.
    Router::new().fallback_service(tower::util::MapRequest::new(api, gate::with_one_path))
}

/// The layers of the edge's own calls: logged and guarded against panics like the API, with their own signature,
/// outside of the public route table.
pub(super) fn of_inside(control: &Control, inside: Router) -> Router {
    inside.layer(CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(control.clone(), trace::follow))
}
