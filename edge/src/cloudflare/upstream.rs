//! Control, for what is forwarded.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::future::{Either, select};
use worker::Delay;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, global, try_iter};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{
    AbortController, Headers, ReadableStream, RequestInit, RequestRedirect, Response as JsResponse,
    WorkerGlobalScope,
};

use super::request::ClientRequest;
use super::{Cloudflare, log};
use crate::http::{Body, Outgoing, Response};
use crate::platform::{Upstream, UpstreamError};

/// How long control may think before its first byte. A stalled control must not hold its callers
/// for as long as they hold on.
const PATIENCE: Duration = Duration::from_secs(30);

impl Upstream for Cloudflare {
    type Request = ClientRequest;
    type Stream = ReadableStream;

    async fn send(
        &self,
        outgoing: Outgoing,
        request: ClientRequest,
    ) -> Result<Response<ReadableStream>, UpstreamError> {
        let answered = exchange(&outgoing, &request).await;
        answered.and_then(|response| read(&response)).map_err(|error| {
            log::error("control did not answer", &format!("{error:?}"));
            UpstreamError
        })
    }
}

async fn exchange(outgoing: &Outgoing, request: &ClientRequest) -> Result<JsResponse, JsValue> {
    let abort = AbortController::new()?;
    let init = RequestInit::new();
    init.set_method(&outgoing.method);
    init.set_headers_headers(&headers(outgoing)?);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&abort.signal()));
    if outgoing.carries_body() {
        // The runtime's own stream passes through without touching our memory.
        init.set_body_opt_readable_stream(request.0.body().as_ref());
    }
    let scope: WorkerGlobalScope = global().unchecked_into();
    let fetched = JsFuture::from(scope.fetch_with_str_and_init(&outgoing.url, &init));
    match select(fetched, Delay::from(PATIENCE)).await {
        Either::Left((response, _)) => Ok(response?.unchecked_into()),
        Either::Right(((), _)) => {
            abort.abort();
            Err(JsValue::from_str("no answer in time"))
        }
    }
}

fn headers(outgoing: &Outgoing) -> Result<Headers, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &outgoing.headers {
        headers.append(name, value)?;
    }
    Ok(headers)
}

fn read(response: &JsResponse) -> Result<Response<ReadableStream>, JsValue> {
    let mut headers = Vec::new();
    for entry in try_iter(&response.headers())?.into_iter().flatten() {
        let entry: Array = entry?.unchecked_into();
        let text = |at| entry.get(at).as_string().unwrap_or_default();
        headers.push((Cow::Owned(text(0)), text(1)));
    }
    let body = response.body().map_or(Body::Empty, Body::Stream);
    Ok(Response { status: response.status(), headers, body })
}
