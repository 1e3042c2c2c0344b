//! A client's request.

use worker::js_sys::futures::JsFuture;
use worker::js_sys::{ArrayBuffer, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{ReadableStream, ReadableStreamDefaultReader, Request};

use crate::http::{BodyError, Incoming};

/// The runtime's request. Nothing of it is read before it is asked for.
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
        // Cloudflare overwrites whatever a client puts there.
        self.header("cf-connecting-ip").unwrap_or_default()
    }

    fn place(&self) -> [Option<String>; 2] {
        // The runtime's own property of the request, which no header sets. It is not there in every runtime.
        let cf = Reflect::get(&self.0, &JsValue::from_str("cf")).unwrap_or(JsValue::UNDEFINED);
        // Of what is no object there is nothing to get.
        ["country", "city"].map(|name| Reflect::get(&cf, &JsValue::from_str(name)).ok()?.as_string())
    }

    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let told = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        match (told, self.0.body()) {
            (Some(length), _) if length > limit => Err(BodyError::TooLarge),
            (_, None) => Ok(Vec::new()),
            // The connection's framing holds a client to the length that it told: one step instead
            // of one for each chunk.
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

/// A body of unknown length, given up at the chunk that makes it too large.
async fn collect(stream: &ReadableStream, limit: usize) -> Result<Vec<u8>, BodyError> {
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    while let Some(chunk) = next_chunk(&reader).await? {
        if body.len() + chunk.len() > limit {
            // The rest is not wanted; whether saying so succeeds changes nothing.
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
