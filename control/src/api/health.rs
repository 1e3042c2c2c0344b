//! Liveness and readiness. They need no signature: the supervisor of the process calls them.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use shared::contract::refusal::Refusal;

use crate::control::Control;
use crate::db::{migrate, refuse_exempt};
use crate::failure::{Failure, chain};
use crate::http::answer::{Refused, ok};

pub(super) fn router(control: &Control) -> Router {
    Router::new()
        .route("/healthz", get(live))
        .route("/healthz/", get(live))
        .route("/readyz", get(ready))
        .route("/readyz/", get(ready))
        .with_state(control.clone())
}

async fn live() -> Response {
    fresh(ok(&serde_json::json!({ "status": "ok" })))
}

/// Ready when the database answers, is migrated, and its row security binds us: else 503.
async fn ready(State(control): State<Control>) -> Response {
    let answer = match check(&control).await {
        Ok(()) => ok(&serde_json::json!({ "status": "ok" })),
        Err(failure) => {
            tracing::warn!(error = %chain(&failure), "not ready");
            Refused(Refusal::unavailable()).into_response()
        }
    };
    fresh(answer)
}

async fn check(control: &Control) -> Result<(), Failure> {
    control.db.platform().await?;
    refuse_exempt(control.db.app(), &control.roles).await?;
    // The version before is accepted: migrations expand first and contract later.
    let behind = sqlx::query_scalar!(
        r#"select count(*) as "count!" from platform.cells where version < $1"#,
        migrate::newest() - 1,
    )
    .fetch_one(control.db.app())
    .await?;
    if behind == 0 { Ok(()) } else { Err(Failure::Schema(format!("{behind} cells are not migrated"))) }
}

fn fresh(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
