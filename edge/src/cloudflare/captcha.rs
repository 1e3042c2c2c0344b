//! CAPTCHA services: one question, whose answer is small and in time, or none.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use worker::Delay;
use worker::js_sys::Uint8Array;
use worker::wasm_bindgen::JsValue;
use zeroize::Zeroizing;

use super::request::collect;
use super::upstream::{fetch, prepare};
use super::{Cloudflare, log};
use crate::http::{BodyError, Outgoing};
use crate::platform::{CaptchaError, CaptchaService};

impl CaptchaService for Cloudflare {
    async fn verify_captcha(
        &self,
        outgoing: Outgoing,
        form: Zeroizing<Vec<u8>>,
        patience: Duration,
        limit: usize,
    ) -> Result<(u16, Vec<u8>), CaptchaError> {
        let (abort, init) = prepare(&outgoing).map_err(|error| unreachable(&error))?;
        init.set_body_opt_u8_array(Some(&Uint8Array::from(form.as_slice())));
        let answer = async {
            let response = fetch(&outgoing, &init).await.map_err(|error| unreachable(&error))?;
            let body = match response.body() {
                Some(stream) => collect(&stream, limit).await.map_err(|error| match error {
                    BodyError::TooLarge => CaptchaError::TooLong,
                    BodyError::Broken => CaptchaError::Unreachable,
                })?,
                None => Vec::new(),
            };
            Ok((response.status(), body))
        };
        // The time is over where the body is not there, too: a service may stop in the middle of it.
        match select(pin!(answer), Delay::from(patience)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => {
                abort.abort();
                Err(CaptchaError::Late)
            }
        }
    }
}

fn unreachable(error: &JsValue) -> CaptchaError {
    log::error("a CAPTCHA service cannot be reached", &format!("{error:?}"));
    CaptchaError::Unreachable
}
