//! Output: a table or lines for people, JSON for programs, always on standard output; errors on
//! standard error.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::outcome::CliError;

/// How to print.
#[derive(Clone, Copy)]
pub(super) struct Show {
    pub json: bool,
}

/// A cell in the outcome of `migrate`.
#[derive(Serialize)]
pub(super) struct CellOut {
    pub cell: String,
    pub version: Option<i64>,
    pub error: Option<String>,
}

/// A value that may be absent, in a table.
pub(super) fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A line on standard output. Whoever reads it may have enough before its end, as `head` has.
#[allow(clippy::print_stderr, reason = "the command line prints")]
fn say(text: impl Display) {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            eprintln!("wardgate: standard output: {error}");
            std::process::exit(1);
        }
    }
}

#[allow(clippy::print_stderr, reason = "the command line prints")]
impl Show {
    /// A list.
    pub fn table<T: Serialize>(self, head: &[&str], rows: &[T], line: impl Fn(&T) -> Vec<String>) {
        if self.json {
            say(serde_json::to_string_pretty(rows).unwrap_or_default());
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(head.iter().map(|text| text.to_uppercase()));
        for row in rows {
            table.add_row(line(row));
        }
        say(table);
    }

    /// One thing: all of it as JSON, or a line for people.
    pub fn one<T: Serialize>(self, thing: &T, line: &str) {
        if self.json {
            say(serde_json::to_string_pretty(thing).unwrap_or_default());
        } else {
            say(line);
        }
    }

    /// What has to be known besides, on standard error, so that programs read the outcome alone.
    pub fn note(self, text: &str) {
        eprintln!("wardgate: {text}");
    }

    /// Why it was not done.
    pub fn error(self, error: &CliError) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "detail": error.to_string() }));
        } else {
            eprintln!("wardgate: {error}");
        }
    }
}
