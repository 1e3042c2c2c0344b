//! The test hooks of `entry/test.mjs`: a clock that can be shifted, the size of the database's largest answer,
//! and a panic on demand. Compiled for tests alone.

use std::cell::Cell;

use serde_json::json;
use worker::D1Result;
use worker::wasm_bindgen::{self, prelude::wasm_bindgen};

thread_local! {
    static SHIFT_MS: Cell<f64> = const { Cell::new(0.0) };
    static LARGEST_ANSWER: Cell<usize> = const { Cell::new(0) };
}

/// Shifts the clock of this isolate, but for service signatures.
#[wasm_bindgen]
pub fn shift_clock(ms: f64) {
    SHIFT_MS.set(ms);
}

/// The shift of the clock.
pub fn clock_shift_ms() -> f64 {
    SHIFT_MS.get()
}

/// Bytes of JSON of the largest answer that the database gave this isolate.
#[wasm_bindgen]
pub fn largest_answer() -> usize {
    LARGEST_ANSWER.get()
}

/// The database has answered a batch.
pub fn answered(results: &[D1Result]) {
    let bytes =
        |rows: &D1Result| rows.results::<serde_json::Value>().map(|rows| json!(rows).to_string().len());
    let bytes = results.iter().filter_map(|rows| bytes(rows).ok()).sum();
    LARGEST_ANSWER.set(LARGEST_ANSWER.get().max(bytes));
}

/// Panics, to test the effect on other requests.
#[wasm_bindgen]
#[expect(clippy::panic, reason = "what it is for")]
pub fn panic_on_demand() {
    panic!("on demand");
}
