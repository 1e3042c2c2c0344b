//! What was measured, as a table or as JSON.

use std::fmt;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::{Serialize, Serializer};

use super::samples::Times;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    /// The machine and the database.
    #[serde(serialize_with = "as_object")]
    pub about: Vec<(String, String)>,
    /// Lists, for tenants of each size.
    pub lists: Vec<Lists>,
    /// The cost of encryption.
    pub sealing: Sealing,
    /// The cost of the audit log's hash chain.
    pub audit: Vec<Rates>,
}

fn as_object<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// Questions to tenants of one size; the first is what the others are compared with.
#[derive(Serialize)]
pub struct Lists {
    /// The tenants.
    pub title: String,
    /// The questions.
    pub lines: Vec<Line>,
}

/// A question.
#[derive(Serialize)]
pub struct Line {
    /// The name of the request.
    pub what: String,
    /// By a request to the API: with the check of the token, the answer's JSON, HTTP.
    pub api: Times,
    /// Only the store: from BEGIN to users in memory.
    pub store: Times,
    /// How many times the first line it may take.
    pub promise: Option<f64>,
}

/// Something with sealed columns, and the same with clear ones.
#[derive(Serialize)]
pub struct Compared {
    /// What.
    pub what: String,
    /// With sealed columns.
    pub sealed: Times,
    /// With clear ones.
    pub clear: Times,
}

/// The cost of encryption.
#[derive(Default, Serialize)]
pub struct Sealing {
    /// Time.
    pub times: Vec<Compared>,
    /// Bytes of a user in each table of users, with its indexes.
    pub bytes: Vec<(String, i64)>,
}

/// Entries of audit logs a second.
#[derive(Serialize)]
pub struct Rates {
    /// Who writes.
    pub what: String,
    /// Into the chain.
    pub chained: f64,
    /// Into a table without one.
    pub unchained: f64,
}

impl Lists {
    /// The ratios of a line to the first: by the API, and in the store.
    fn ratios(&self, line: &Line) -> (f64, f64) {
        self.lines.first().map_or((0.0, 0.0), |read| {
            (line.api.median / read.api.median, line.store.median / read.store.median)
        })
    }

    fn holds(&self, line: &Line) -> bool {
        line.promise.is_none_or(|most| self.ratios(line).0 <= most)
    }
}

impl Report {
    /// One in which nothing was measured yet.
    pub fn new(about: Vec<(String, String)>) -> Self {
        Self { about, lists: vec![], sealing: Sealing::default(), audit: vec![] }
    }

    /// Whether every promise holds.
    pub fn holds(&self) -> bool {
        self.lists.iter().all(|lists| lists.lines.iter().all(|line| lists.holds(line)))
    }
}

fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    table
}

fn ms(time: f64) -> String {
    format!("{time:.2}")
}

fn times(ratio: f64) -> String {
    format!("{ratio:.1}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.about {
            writeln!(f, "{name}: {value}")?;
        }
        for lists in &self.lists {
            let rows = lists.lines.iter().map(|line| {
                let (api, store) = lists.ratios(line);
                let promise = line.promise.map_or_else(String::new, |most| format!("at most {most}"));
                let broken = if lists.holds(line) { "" } else { ": BROKEN" };
                let of = |it: Times| [ms(it.median), ms(it.p95)];
                let ([median, p95], [in_store, _]) = (of(line.api), of(line.store));
                [line.what.clone(), median, p95, times(api), promise + broken, in_store, times(store)]
            });
            let head = ["ms", "median", "p95", "ratio", "promise", "in the store", "ratio"];
            writeln!(f, "\n{}\n\n{}", lists.title, table(head, rows))?;
        }
        let rows = self.sealing.times.iter().map(|it| {
            let ratio = times(it.sealed.median / it.clear.median);
            [it.what.clone(), ms(it.sealed.median), ms(it.clear.median), ratio]
        });
        writeln!(
            f,
            "\nSealed and clear columns\n\n{}",
            table(["ms, median", "sealed", "clear", "ratio"], rows)
        )?;
        let rows = self.sealing.bytes.iter().map(|(what, bytes)| [what.clone(), bytes.to_string()]);
        writeln!(f, "\n{}", table(["table, with its indexes", "bytes a user"], rows))?;
        let rows = self.audit.iter().map(|it| {
            let (chained, unchained) = (format!("{:.0}", it.chained), format!("{:.0}", it.unchained));
            [it.what.clone(), chained, unchained, format!("{:.2}", it.chained / it.unchained)]
        });
        let head = ["audit entries a second", "chained", "without a chain", "ratio"];
        writeln!(f, "\nThe audit log\n\n{}", table(head, rows))?;
        let said = if self.holds() { "Every promise holds." } else { "NOT EVERY PROMISE HOLDS." };
        write!(f, "\n{said}")
    }
}
