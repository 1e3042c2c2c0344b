//! Log lines: one JSON object each, without secrets and without anything a client sent.

use serde_json::json;
use worker::console_error;

/// Something that an operator should see.
pub fn error(what: &str, detail: &str) {
    // The first line says what happened; the rest is a JavaScript stack.
    let detail = detail.lines().next().unwrap_or_default();
    console_error!("{}", json!({"level": "error", "message": what, "detail": detail}));
}
