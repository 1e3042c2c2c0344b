//! The console, which is the log: lines come from [`crate::log`].

use worker::console_error;

use crate::log::fault;

/// Something that an operator should see.
pub fn error(what: &str, detail: &str) {
    console_error!("{}", fault(what, detail));
}
