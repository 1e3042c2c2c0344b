//! The levers of `entry/test.mjs`: a clock that can be shifted and a panic on demand. Compiled for tests alone.

use worker::wasm_bindgen::{self, prelude::wasm_bindgen};

/// Panics, to show what a panic does to a neighbour.
#[wasm_bindgen]
pub fn panic_on_demand() {
    panic!("on demand");
}
