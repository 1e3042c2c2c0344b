//! Output: a table or lines for people, JSON for programs, always on standard output; errors on
//! standard error.

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

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the command line prints")]
impl Show {
    /// A list.
    pub fn table<T: Serialize>(self, head: &[&str], rows: &[T], line: impl Fn(&T) -> Vec<String>) {
        if self.json {
            println!("{}", serde_json::to_string_pretty(rows).unwrap_or_default());
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(head.iter().map(|text| text.to_uppercase()));
        for row in rows {
            table.add_row(line(row));
        }
        println!("{table}");
    }

    /// One thing: all of it as JSON, or a line for people.
    pub fn one<T: Serialize>(self, thing: &T, line: &str) {
        if self.json {
            println!("{}", serde_json::to_string_pretty(thing).unwrap_or_default());
        } else {
            println!("{line}");
        }
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
