//! The console, for the lines of the core.

use worker::{console_error, console_log};

use super::Cloudflare;
use crate::log::Level;
use crate::platform::Log;

impl Log for Cloudflare {
    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Info => console_log!("{line}"),
            Level::Error => console_error!("{line}"),
        }
    }
}
