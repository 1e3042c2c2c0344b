//! Output: tables, details or lines for people, JSON for programs, on standard output. Errors, notes and
//! questions go to standard error.
//!
//! Every list has one form as JSON, `{"results", "count", "next"}`, and says its total to people.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

use comfy_table::{ColumnConstraint, Table, Width, presets};
use indicatif::HumanCount;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::outcome::CliError;

/// How to print.
#[derive(Clone, Copy)]
pub(super) struct Show {
    pub json: bool,
}

/// How rows of one kind are listed.
pub(super) struct Rows<T> {
    /// What one of them is called, and several.
    pub names: [&'static str; 2],
    pub head: &'static [&'static str],
    pub line: fn(&T) -> Vec<String>,
}

/// A list that is printed part by part, so that its length does not matter.
pub(super) struct Listing<'a, T> {
    json: bool,
    rows: &'a Rows<T>,
    shown: u64,
    /// Of the columns so far, so that later parts stand under earlier ones.
    widths: Vec<u16>,
    /// A row as JSON, held back until it is known whether a comma follows.
    held: Option<String>,
}

/// What a list has beyond the rows that were shown.
pub(super) struct Beyond {
    /// How many rows there are in all.
    pub count: u64,
    /// Whether that is only about so many.
    pub is_estimate: bool,
    /// The page after this one, where there is one.
    pub next: Option<i64>,
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

/// `1 user`, `5,000 users`.
pub(super) fn counted(count: u64, [one, several]: [&str; 2]) -> String {
    let of = if count == 1 { one } else { several };
    format!("{} {of}", HumanCount(count))
}

/// A line on standard output; false once its reader has enough, as `head` has before the end.
#[allow(clippy::print_stderr, reason = "the command line prints")]
fn say(text: impl Display) -> bool {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            eprintln!("wardgate: standard output: {error}");
            std::process::exit(1);
        }
    }
}

#[allow(clippy::print_stderr, reason = "the command line prints")]
impl Show {
    /// A list that is all there.
    pub fn list<T: Serialize>(self, rows: &Rows<T>, all: &[T]) {
        let mut listing = self.listing(rows);
        if listing.part(all) {
            listing.end(None);
        }
    }

    /// A list that comes in parts.
    pub fn listing<T: Serialize>(self, rows: &Rows<T>) -> Listing<'_, T> {
        Listing { json: self.json, rows, shown: 0, widths: Vec::new(), held: None }
    }

    /// One thing: all of it as JSON, or a line for people.
    pub fn one<T: Serialize>(self, thing: &T, line: &str) {
        if self.json {
            say(serde_json::to_string_pretty(thing).unwrap_or_default());
        } else {
            say(line);
        }
    }

    /// One thing with everything that is known of it, a line for each field.
    pub fn details<T: Serialize>(self, thing: &T) {
        if self.json {
            self.one(thing, "");
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for (name, value) in fields(thing) {
            table.add_row([name, value]);
        }
        say(table.trim_fmt());
    }

    /// What the caller should know beside the result.
    pub fn note(self, text: &str) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "note": text }));
        } else {
            eprintln!("note: {text}");
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

impl<T: Serialize> Listing<'_, T> {
    /// Prints more rows; false once standard output is closed.
    pub fn part(&mut self, rows: &[T]) -> bool {
        let begins = self.widths.is_empty() && self.held.is_none() && self.shown == 0;
        self.shown += u64::try_from(rows.len()).unwrap_or(0);
        if self.json { self.json_rows(rows, begins) } else { self.table_rows(rows, begins) }
    }

    /// Prints the end of the list, with its total.
    pub fn end(mut self, beyond: Option<Beyond>) {
        let none = Beyond { count: self.shown, is_estimate: false, next: None };
        let Beyond { count, is_estimate, next } = beyond.unwrap_or(none);
        if !self.json {
            let [_, several] = self.rows.names;
            let about = if is_estimate { "about " } else { "" };
            let total = format!("{about}{}", counted(count, self.rows.names));
            say(match next {
                None if count == self.shown => total,
                None => format!("{} of {total}", HumanCount(self.shown)),
                Some(next) => format!(
                    "{} of {total}: --page {next} shows the next {several}, --all shows all",
                    HumanCount(self.shown),
                ),
            });
            return;
        }
        let next = optional(next);
        let next = if next.is_empty() { "null" } else { &next };
        let estimate = if is_estimate { "\n  \"count_is_estimate\": true," } else { "" };
        let _ = self.held.take().is_none_or(say)
            && say(format!("  ],\n  \"count\": {count},{estimate}\n  \"next\": {next}\n}}"));
    }

    fn json_rows(&mut self, rows: &[T], begins: bool) -> bool {
        if begins && !say("{\n  \"results\": [") {
            return false;
        }
        for row in rows {
            let row = format!("    {}", serde_json::to_string(row).unwrap_or_default());
            if let Some(before) = self.held.replace(row)
                && !say(before + ",")
            {
                return false;
            }
        }
        true
    }

    fn table_rows(&mut self, rows: &[T], begins: bool) -> bool {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if begins {
            table.set_header(self.rows.head.iter().map(|text| text.to_uppercase()));
        }
        for row in rows {
            table.add_row((self.rows.line)(row));
        }
        for (column, width) in table.column_iter_mut().zip(&self.widths) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
        }
        let now = table.column_max_content_widths();
        // What a constraint bounds is the content with the blank on either side of it.
        let now = now.into_iter().map(|width| width.saturating_add(2));
        self.widths =
            now.enumerate().map(|(at, width)| width.max(self.widths.get(at).copied().unwrap_or(0))).collect();
        table.is_empty() && !begins || say(table.trim_fmt())
    }
}

/// The fields of an object in the order in which they are written; those of an object within as `outer.inner`.
fn fields<T: Serialize>(thing: &T) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Ok(text) = serde_json::value::to_raw_value(thing) {
        flatten("", &text, &mut found);
    }
    found
}

fn flatten(name: &str, value: &RawValue, found: &mut Vec<(String, String)>) {
    match serde_json::from_str::<Object<'_>>(value.get()) {
        Ok(Object(inner)) => {
            for (key, value) in inner {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                flatten(&name, value, found);
            }
        }
        Err(_) => found.push((name.to_owned(), words(value.get()))),
    }
}

/// A value as people read it: texts without quotes, lists with commas, nothing as a hyphen.
fn words(json: &str) -> String {
    use serde_json::Value;
    fn of(value: Value) -> String {
        match value {
            Value::Null => String::from("-"),
            Value::Bool(value) => String::from(if value { "yes" } else { "no" }),
            Value::String(text) if text.is_empty() => String::from("-"),
            Value::String(text) => text,
            Value::Array(items) if items.is_empty() => String::from("-"),
            Value::Array(items) => items.into_iter().map(of).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        }
    }
    serde_json::from_str(json).map(of).unwrap_or_default()
}

/// An object of JSON with its fields in order.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_thing_stand_in_their_order() {
        #[derive(Serialize)]
        struct Inner {
            zeal: u64,
            ale: Vec<&'static str>,
        }
        #[derive(Serialize)]
        struct Outer {
            slug: &'static str,
            gone: Option<u64>,
            inner: Inner,
            done: bool,
        }
        let thing =
            Outer { slug: "a{", gone: None, inner: Inner { zeal: 5, ale: vec!["b", "c"] }, done: true };
        let found = fields(&thing);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            found,
            [("slug", "a{"), ("gone", "-"), ("inner.zeal", "5"), ("inner.ale", "b, c"), ("done", "yes")]
        );
    }

    #[test]
    fn counts_read_well() {
        assert_eq!(counted(1, ["user", "users"]), "1 user");
        assert_eq!(counted(5000, ["user", "users"]), "5,000 users");
        assert_eq!(counted(0, ["user", "users"]), "0 users");
    }
}
