//! A mail as it is shown: on the page, on a terminal, and as JSON.

use std::fmt::Write as _;
use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::kept::Kept;
use crate::received::{Link, Received};

/// One line of the list.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its number, which the newest has greatest.
    pub number: u64,
    /// When it came, RFC 3339.
    pub at: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
}

/// A mail with all that it says.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its number.
    pub number: u64,
    /// When it came, RFC 3339.
    pub at: String,
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// Every header, decoded.
    pub headers: Vec<(String, String)>,
    /// The part that is text.
    pub text: String,
    /// The part that is HTML.
    pub html: String,
    /// The links of the text.
    pub links: Vec<Link>,
}

impl Line {
    /// All mails of a folder, the newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn all(kept: &Kept) -> io::Result<Vec<Self>> {
        let numbers = kept.numbers()?;
        // One that was deleted meanwhile is left out.
        let mails = numbers.into_iter().filter_map(|number| Some((number, kept.get(number)?)));
        let line = |(number, mail): (u64, Received)| Self {
            number,
            at: time(&mail),
            subject: mail.subject(),
            to: mail.to,
        };
        Ok(mails.map(line).collect())
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        plain(&format!("{:>5}  {}  {}  {}", self.number, self.at, self.to.join(", "), self.subject))
    }
}

impl Shown {
    /// The view of this mail.
    #[must_use]
    pub fn of(number: u64, mail: &Received) -> Self {
        Self {
            number,
            at: time(mail),
            from: mail.from.clone(),
            to: mail.to.clone(),
            subject: mail.subject(),
            headers: mail.all_headers(),
            text: mail.text(),
            html: mail.html(),
            links: mail.links(),
        }
    }

    /// For a terminal: who, when, what about, and the text.
    #[must_use]
    pub fn terminal(&self) -> String {
        let mut out = String::new();
        let to = self.to.join(", ");
        for (name, value) in [
            ("Number", &self.number.to_string()),
            ("Received", &self.at),
            ("To", &to),
            ("Subject", &self.subject),
        ] {
            let _ = writeln!(out, "{name}: {value}");
        }
        let _ = write!(out, "\n{}", self.text);
        plain(&out)
    }
}

fn time(mail: &Received) -> String {
    DateTime::<Utc>::from(mail.at).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Without what a terminal takes for a command.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_no_command() {
        assert_eq!(plain("a\u{1b}[31mb\r\nc\td\u{9b}1m"), "a[31mb\nc\td1m");
    }
}
