//! The API: the table of contents, and the order in which a request passes the middleware.

pub mod health;
mod inside;
pub mod metrics;
pub mod openapi;

use std::net::SocketAddr;

use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use shared::permissions::marker::{
    AuditRead, KeysRead, KeysRevoke, KeysRotate, PlatformKeysImport, PlatformTenantsRead,
    PlatformTenantsWrite, RolesRead, SessionsEnd, TenantRead, UsersRead,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::{Allowed, Anyone, AnyoneAtPlatform, Me, OnTenant, Platform};
use crate::control::Control;
use crate::failure::chain;
use crate::http::answer::{self, wrong_method};
use crate::http::{body, gate, trace};
use crate::{audit, keys, roles, setup, tenants, users};

/// Every path of control, by who may call it. What is behind a path says so again in its handler's
/// signature; the fallback of each path says who is told that a method is not allowed.
pub fn router(control: &Control) -> Router {
    let users = Router::new()
        .route(
            "/api/user/users",
            get(users::routes::list).post(users::routes::create).fallback(wrong_method::<Allowed<UsersRead>>),
        )
        .route(
            "/api/user/users/{id}",
            get(users::routes::read)
                .put(users::routes::replace)
                .patch(users::routes::update)
                .delete(users::routes::delete)
                .fallback(wrong_method::<Allowed<UsersRead>>),
        )
        .route(
            "/api/user/users/{id}/sessions",
            delete(users::routes::end_sessions).fallback(wrong_method::<Allowed<SessionsEnd>>),
        )
        .route("/api/user/me", get(users::routes::me).fallback(wrong_method::<Me>))
        .route("/api/user/roles", get(roles::routes::list).fallback(wrong_method::<Allowed<RolesRead>>))
        .route(
            "/api/user/permissions",
            get(roles::routes::permissions).fallback(wrong_method::<Allowed<RolesRead>>),
        )
        .route("/api/audit", get(audit::routes::list).fallback(wrong_method::<Allowed<AuditRead>>));

    // A tenant's own administrators, or the platform's.
    let tenants = Router::new()
        .route(
            "/api/tenant/tenants",
            get(tenants::routes::list)
                .post(tenants::routes::create)
                .fallback(wrong_method::<Allowed<TenantRead>>),
        )
        .route(
            "/api/tenant/tenants/{id}",
            get(tenants::routes::read)
                .patch(tenants::routes::update)
                .delete(tenants::routes::delete)
                .fallback(wrong_method::<OnTenant<TenantRead, PlatformTenantsRead>>),
        )
        .route(
            "/api/tenant/tenants/{id}/keys",
            get(keys::routes::list).fallback(wrong_method::<OnTenant<KeysRead, PlatformTenantsRead>>),
        )
        .route(
            "/api/tenant/tenants/{id}/keys/rotate",
            post(keys::routes::rotate).fallback(wrong_method::<OnTenant<KeysRotate, PlatformTenantsWrite>>),
        )
        .route(
            "/api/tenant/tenants/{id}/keys/{kid}/revoke",
            post(keys::routes::revoke).fallback(wrong_method::<OnTenant<KeysRevoke, PlatformTenantsWrite>>),
        )
        .route(
            "/api/tenant/tenants/{id}/keys/import",
            post(keys::routes::import).fallback(wrong_method::<Platform<PlatformKeysImport>>),
        );

    let anyone = Router::new()
        .route("/api/user/setup", post(setup::routes::create).fallback(wrong_method::<AnyoneAtPlatform>))
        .route(
            "/api/schema",
            get(openapi::routes::document)
                .fallback(wrong_method::<Anyone>)
                .layer(Extension(openapi::routes::Document(openapi::document()))),
        )
        .route("/docs", get(openapi::routes::reader).fallback(wrong_method::<Anyone>))
        .route("/docs/{file}", get(openapi::routes::asset).fallback(wrong_method::<Anyone>));

    let api = users.merge(tenants).merge(anyone).with_state(control.clone());
    layered(control, api).merge(inside(control)).merge(health::router(control))
}

/// What the edge asks: logged and guarded against panics like the API, but signed by itself, and no
/// route of the public table.
fn inside(control: &Control) -> Router {
    inside::router(control)
        .layer(CatchPanicLayer::custom(answer::panicked))
        .layer(from_fn_with_state(control.clone(), trace::follow))
}

/// The middleware, outermost first:
/// 1. `trace`: the request id, the log line and the numbers, so that everything below is in them;
/// 2. `catch_panic`: a panic is one request's 500;
/// 3. `gate`: who sent this (a forward signature, or a direct caller), 404 by the route table,
///    `OPTIONS`, and the headers that every answer carries;
/// 4. `body`: read whole within its limit and time, before a handler holds a transaction.
fn layered(control: &Control, api: Router) -> Router {
    let api = api
        .layer(axum::middleware::from_fn(body::buffer))
        .layer(from_fn_with_state(control.clone(), gate::pass))
        .layer(CatchPanicLayer::custom(answer::panicked))
        .layer(from_fn_with_state(control.clone(), trace::follow));
    // A path is served with and without its final slash, so it is cut before routing. The router
    // inside is nested as a service, because a layer alone runs after the route was chosen.
    Router::new().fallback_service(tower::util::MapRequest::new(api, gate::without_final_slash))
}

/// Serves the API until `stop`, then finishes what is under way.
pub async fn serve(control: Control, listener: TcpListener, stop: CancellationToken) {
    let app = router(&control).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(error = %chain(&error), "the listener failed");
    }
}
