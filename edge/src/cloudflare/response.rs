//! Conversion of an answer to the runtime's `Response`.

use std::convert::Infallible;

use shared::contract::refusal::Refusal;
use worker::Result;
use worker::web_sys::{Headers, ReadableStream, Response as JsResponse, ResponseInit};

use super::log;
use crate::http::{Answer, Body, Response};

/// The source of a streamed body.
pub trait Source {
    /// The runtime's stream, where there is one.
    fn stream(&self) -> Option<&ReadableStream>;
}

impl Source for ReadableStream {
    fn stream(&self) -> Option<&ReadableStream> {
        Some(self)
    }
}

impl Source for Infallible {
    fn stream(&self) -> Option<&ReadableStream> {
        None
    }
}

/// The runtime's answer with the same status, headers and body. If the runtime refuses it, for example because of a
/// byte in one of control's headers, the answer is a 500.
pub fn to_js<S: Source>(response: &Response<S>) -> Result<JsResponse> {
    convert(response).or_else(|error| {
        log::error("an answer could not be given", &error.to_string());
        convert(&Answer::refusal(&Refusal::internal()).into_stream::<Infallible>())
    })
}

fn convert<S: Source>(response: &Response<S>) -> Result<JsResponse> {
    let headers = Headers::new()?;
    for (name, value) in &response.headers {
        headers.append(name, value)?;
    }
    let init = ResponseInit::new();
    init.set_status(response.status);
    init.set_headers_headers(&headers);
    let made = match &response.body {
        Body::Empty => JsResponse::new_with_opt_str_and_init(None, &init),
        Body::Text(text) => JsResponse::new_with_opt_str_and_init(Some(text), &init),
        Body::Stream(source) => JsResponse::new_with_opt_readable_stream_and_init(source.stream(), &init),
    };
    Ok(made?)
}
