//! One Argon2id hash at a time, by the code and with the parameters of a sign-in, and nothing else.
//!
//! As a module of Wasm it is what a Worker cannot do less than, as a program what the machine can do.

use std::cell::RefCell;

use shared::passwords::{Password, Workspace};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen::prelude::wasm_bindgen;

thread_local! {
    /// Kept between hashes, as an isolate keeps it.
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// Hashes the same password under the same salt each time. The result shows that the work was done.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen)]
#[must_use]
pub fn hash() -> String {
    let verifier = WORKSPACE.with_borrow_mut(|workspace| workspace.hash(&Password::placeholder(), [7; 16]));
    verifier.to_phc().to_string()
}
