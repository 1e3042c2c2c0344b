//! What the runtime calls, by way of `entry/index.mjs`.

use worker::{Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event};

/// Answers one request.
#[event(fetch)]
async fn fetch(_request: Request, _env: Env, _context: Context) -> Result<Response> {
    Response::from_json(&std::collections::BTreeMap::from([("status", "ok")]))
}

/// The clock's call, every minute.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, _env: Env, _context: ScheduleContext) {}
