//! A client's request.

use worker::js_sys::futures::JsFuture;
use worker::js_sys::{ArrayBuffer, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{ReadableStream, ReadableStreamDefaultReader, Request};

use crate::http::{BodyError, Incoming};

/// The runtime's request. Its parts are read only when they are needed.
pub struct ClientRequest(pub Request);

impl Incoming for ClientRequest {
    fn method(&self) -> String {
        self.0.method()
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name).ok().flatten()
    }

    fn client(&self) -> String {
        // Cloudflare overwrites a value that a client sends.
        self.header("cf-connecting-ip").unwrap_or_default()
    }

    fn place(&self) -> [Option<String>; 2] {
        // The runtime's own property of the request, which no header sets. It is not there in every runtime.
        let cf = Reflect::get(&self.0, &JsValue::from_str("cf")).unwrap_or(JsValue::UNDEFINED);
        // A value that is not an object has no members.
        ["country", "city"].map(|name| Reflect::get(&cf, &JsValue::from_str(name)).ok()?.as_string())
    }

    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let told = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        match (told, self.0.body()) {
            (Some(length), _) if length > limit => Err(BodyError::TooLarge),
            (_, None) => Ok(Vec::new()),
            // HTTP framing enforces the announced length, so the body can be read in one step instead of chunk by
            // chunk.
            (Some(_), Some(_)) => self.whole().await,
            (None, Some(stream)) => collect(&stream, limit).await,
        }
    }
}

impl ClientRequest {
    async fn whole(&self) -> Result<Vec<u8>, BodyError> {
        let promise = self.0.array_buffer().map_err(|_| BodyError::Broken)?;
        let buffer: ArrayBuffer = JsFuture::from(promise)
            .await
            .map_err(|_| BodyError::Broken)?
            .dyn_into()
            .map_err(|_| BodyError::Broken)?;
        Ok(Uint8Array::new(&buffer).to_vec())
    }
}

/// Reads a body of unknown length, up to the chunk that exceeds the limit.
pub(super) async fn collect(stream: &ReadableStream, limit: usize) -> Result<Vec<u8>, BodyError> {
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    while let Some(chunk) = next_chunk(&reader).await? {
        if body.len() + chunk.len() > limit {
            // The rest is not needed; it does not matter whether cancelling succeeds.
            drop(reader.cancel());
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn next_chunk(reader: &ReadableStreamDefaultReader) -> Result<Option<Vec<u8>>, BodyError> {
    let read = JsFuture::from(reader.read()).await.map_err(|_| BodyError::Broken)?;
    let member = |name: &str| Reflect::get(&read, &JsValue::from_str(name)).map_err(|_| BodyError::Broken);
    if member("done")?.is_truthy() {
        return Ok(None);
    }
    let chunk: Uint8Array = member("value")?.dyn_into().map_err(|_| BodyError::Broken)?;
    Ok(Some(chunk.to_vec()))
}
