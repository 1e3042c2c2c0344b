//! The levers of `entry/test.mjs`: a clock that can be shifted and a panic on demand. Compiled for
//! tests alone.

use std::cell::Cell;

use worker::wasm_bindgen::{self, prelude::wasm_bindgen};

thread_local! {
    static SHIFT_MS: Cell<f64> = const { Cell::new(0.0) };
}

/// Shifts the clock of this isolate, but for service signatures.
#[wasm_bindgen]
pub fn shift_clock(ms: f64) {
    SHIFT_MS.set(ms);
}

/// What the clock is shifted by.
pub fn clock_shift_ms() -> f64 {
    SHIFT_MS.get()
}

/// Panics, to show what a panic does to a neighbour.
#[wasm_bindgen]
#[expect(clippy::panic, reason = "what it is for")]
pub fn panic_on_demand() {
    panic!("on demand");
}
