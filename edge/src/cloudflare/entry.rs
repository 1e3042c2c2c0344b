//! The functions that the runtime calls through `entry/index.mjs`.

use worker::wasm_bindgen::{self, prelude::wasm_bindgen};
use worker::web_sys::{Request, Response};
use worker::{Context, Env, Result, ScheduleContext, ScheduledEvent, event, worker_sys};

use super::request::ClientRequest;
use super::{app, log, response};
use crate::inside::sweep;
use crate::serve;

/// Answers one request.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let app = app(&env);
    let reply = serve::handle(&app, ClientRequest(request)).await;
    if !reply.after.is_nothing() {
        context.wait_until(async move { serve::carry_out(&app, reply.after).await });
    }
    response::to_js(&reply.response)
}

/// Answers requests that need neither storage nor cryptography; `undefined` passes the request to the asynchronous
/// export.
///
/// An asynchronous export costs a turn of the event loop and a wrapper of the request, which
/// together are more than the work.
#[wasm_bindgen]
pub fn fetch_now(request: Request, env: &Env, context: worker_sys::Context) -> Option<Response> {
    let app = app(env);
    let reply = serve::handle_now(&app, &ClientRequest(request))?;
    let answer = response::to_js(&reply.response).ok()?;
    if !reply.after.is_nothing() {
        Context::new(context).wait_until(async move { serve::carry_out(&app, reply.after).await });
    }
    Some(answer)
}

/// The clock's call, every minute.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    if let Err(error) = sweep::clean(&app(&env)).await {
        log::error("the sweep was cut off", &error.to_string());
    }
}
