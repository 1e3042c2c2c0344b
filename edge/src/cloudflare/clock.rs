//! Time and randomness. On Workers the clock advances only with I/O: it gives the time, but cannot measure durations.

use worker::js_sys::Date;

use super::Cloudflare;
use crate::platform::{Clock, Entropy};

impl Clock for Cloudflare {
    fn now_ms(&self) -> u64 {
        #[cfg(feature = "test-entry")]
        let shift = super::test_hooks::clock_shift_ms();
        #[cfg(not(feature = "test-entry"))]
        let shift = 0.0;
        whole(Date::now() + shift)
    }

    fn service_now_secs(&self) -> u64 {
        whole(Date::now() / 1000.0)
    }
}

/// Without its fraction; JavaScript's numbers are exact up to 2^53, which is far away in
/// milliseconds too.
fn whole(number: f64) -> u64 {
    number as u64
}

impl Entropy for Cloudflare {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // Without randomness the request fails; zeros in its place would be insecure. The entry answers 500.
            worker::wasm_bindgen::throw_str("no randomness");
        }
    }
}
