//! Calls to control: forwarded requests and password checks.

use std::borrow::Cow;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use worker::Delay;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, ArrayBuffer, Uint8Array, global, try_iter};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{
    AbortController, Headers, ReadableStream, RequestInit, RequestRedirect, Response as JsResponse,
    WorkerGlobalScope,
};
use zeroize::Zeroizing;

use super::request::ClientRequest;
use super::{Cloudflare, log};
use crate::http::{Body, Outgoing, Response};
use crate::platform::{Upstream, UpstreamError};

/// The time limit for control's first byte: a stalled control must not keep clients waiting.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The time limit of a password check, including the answer: a user waits at a sign-in form.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Upstream for Cloudflare {
    type Request = ClientRequest;
    type Stream = ReadableStream;

    async fn send(
        &self,
        outgoing: Outgoing,
        request: ClientRequest,
    ) -> Result<Response<ReadableStream>, UpstreamError> {
        let exchange = async {
            let (abort, init) = prepare(&outgoing)?;
            if outgoing.carries_body() {
                // The runtime's own stream passes through without touching our memory.
                init.set_body_opt_readable_stream(request.0.body().as_ref());
            }
            read(&within(TIMEOUT, &abort, fetch(&outgoing, &init)).await?)
        };
        exchange.await.map_err(|error| silent(&error))
    }

    async fn ask(&self, outgoing: Outgoing, message: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, UpstreamError> {
        let exchange = async {
            let (abort, init) = prepare(&outgoing)?;
            init.set_body_opt_u8_array(Some(&Uint8Array::from(message.as_slice())));
            within(ANSWER_TIMEOUT, &abort, async {
                let response = fetch(&outgoing, &init).await?;
                if response.status() != 200 {
                    return Err(JsValue::from_str(&format!("status {}", response.status())));
                }
                let body: ArrayBuffer = JsFuture::from(response.array_buffer()?).await?.dyn_into()?;
                Ok(Uint8Array::new(&body).to_vec())
            })
            .await
        };
        exchange.await.map_err(|error| silent(&error))
    }
}

fn silent(error: &JsValue) -> UpstreamError {
    log::error("control did not answer", &format!("{error:?}"));
    UpstreamError
}

/// A request without its body, and its abort controller.
pub(super) fn prepare(outgoing: &Outgoing) -> Result<(AbortController, RequestInit), JsValue> {
    let abort = AbortController::new()?;
    let init = RequestInit::new();
    init.set_method(&outgoing.method);
    init.set_headers_headers(&headers(outgoing)?);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&abort.signal()));
    Ok((abort, init))
}

pub(super) async fn fetch(outgoing: &Outgoing, init: &RequestInit) -> Result<JsResponse, JsValue> {
    let scope: WorkerGlobalScope = global().unchecked_into();
    Ok(JsFuture::from(scope.fetch_with_str_and_init(&outgoing.url, init)).await?.unchecked_into())
}

async fn within<T>(
    patience: Duration,
    abort: &AbortController,
    answer: impl Future<Output = Result<T, JsValue>>,
) -> Result<T, JsValue> {
    match select(pin!(answer), Delay::from(patience)).await {
        Either::Left((answer, _)) => answer,
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
