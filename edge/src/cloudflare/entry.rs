//! The functions that the runtime calls through `entry/index.mjs`.
//!
//! An asynchronous export costs a turn of the event loop and promises, and each value that crosses from or to
//! JavaScript costs a copy: together more than the work of a validation. So there is a synchronous way beside the
//! ordinary one, [`answer_now`], which takes one text and gives one. Where a signature is missing, the entry waits for
//! it between [`begin_now`] and [`checked`].

use std::cell::RefCell;
use std::collections::VecDeque;

use worker::js_sys::Promise;
use worker::wasm_bindgen::{self, prelude::wasm_bindgen};
use worker::web_sys::{Request, Response};
use worker::{Context, Env, Result, ScheduleContext, ScheduledEvent, event, worker_sys};

use super::request::ClientRequest;
use super::{app, app_if_made, log, response};
use crate::after::After;
use crate::inside::sweep;
use crate::request_text::RequestText;
use crate::serve::Again;
use crate::tokens::access::Unproven;
use crate::{answer_text, serve};

/// Checks of signatures that may be under way in an isolate. Of more, the oldest are forgotten, and their requests go
/// the ordinary way: a client that hangs up leaves its own behind.
const CHECKS: usize = 256;

thread_local! {
    /// Checks under way, by the number that the entry gave them, and what was asked.
    static UNDER_WAY: RefCell<VecDeque<(u32, String, Unproven)>> = const { RefCell::new(VecDeque::new()) };
}

/// Answers one request.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let app = app(&env);
    let reply = serve::handle(&app, ClientRequest(request)).await;
    if !reply.after.is_nothing() {
        context.wait_until(async move { serve::run_after(&app, reply.after).await });
    }
    response::to_js(&reply.response)
}

/// Answers at once what needs neither storage nor cryptography: [`crate::request_text`] in, [`crate::answer_text`] out. `undefined`
/// sends the request on the ordinary way. With `keep` in it, the entry may give it again while [`again`] of `number` allows it.
#[wasm_bindgen]
pub fn answer_now(asked: &str, number: u32) -> Option<String> {
    let app = app_if_made()?;
    let asked = RequestText::read(asked)?;
    let reply = serve::handle_now(&app, &asked, number)?;
    if asked.was_lacking() { None } else { answer_text::text(&reply) }
}

/// Whether the answer that was given under this number is still the answer to the same request: negative if it is not, else
/// twice the age of the data in tenths of a second, and 1 more where the feed is to be read afterwards.
#[wasm_bindgen]
#[must_use]
pub fn again(number: u32) -> i32 {
    let again = app_if_made().and_then(|app| serve::again(&app, number));
    let word = again.and_then(|Again { age_ms, read_feed }| {
        let tenths = i32::try_from(age_ms / 100).ok()?;
        Some(tenths.checked_mul(2)? + i32::from(read_feed))
    });
    word.unwrap_or(-1)
}

/// Begins to check the signature that alone is missing of `asked`; resolves to whether it holds. `undefined` sends the
/// request on the ordinary way.
#[wasm_bindgen]
pub fn begin_now(number: u32, asked: String) -> Option<Promise> {
    let app = app_if_made()?;
    let unproven = serve::begin_now(&app, &RequestText::read(&asked)?)?;
    let (key, input, signature) = unproven.parts()?;
    let holds = app.platform.begin_verifying(key, input, signature)?;
    UNDER_WAY.with_borrow_mut(|under_way| {
        under_way.push_back((number, asked, unproven));
        if under_way.len() > CHECKS {
            under_way.pop_front();
        }
    });
    Some(holds)
}

/// Answers what [`begin_now`] began under this number, as [`answer_now`] does.
#[wasm_bindgen]
pub fn checked(number: u32, holds: bool) -> Option<String> {
    let (_, asked, unproven) = UNDER_WAY.with_borrow_mut(|under_way| {
        let at = under_way.iter().rposition(|(known, _, _)| *known == number)?;
        under_way.remove(at)
    })?;
    let app = app_if_made()?;
    let asked = RequestText::read(&asked)?;
    let reply = serve::handle_checked(&app, &asked, unproven, holds)?;
    if asked.was_lacking() { None } else { answer_text::text(&reply) }
}

/// Reads the feed, after an answer that said so.
#[wasm_bindgen]
pub fn refresh(context: worker_sys::Context) {
    if let Some(app) = app_if_made() {
        let after = After { read_feed: true, ..After::NOTHING };
        Context::new(context).wait_until(async move { serve::run_after(&app, after).await });
    }
}

/// The clock's call, every minute.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    if let Err(error) = sweep::clean(&app(&env)).await {
        log::error("the sweep was cut off", &error.to_string());
    }
}
