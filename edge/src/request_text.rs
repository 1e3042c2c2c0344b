//! A request as the entry passes it to the synchronous way: one text, because each value that crosses from JavaScript
//! by itself costs about as much as the whole.
//!
//! The method, the URL, then the headers of [`FIELDS`] in that order, as many as the entry has read: each a line, empty
//! where there is no such header, else `=` and its value. Neither a URL nor a header holds a line break.

use std::cell::Cell;

use crate::http::{BodyError, Incoming};

/// The headers in the order in which the entry writes them. `POST` brings the first [`POSTED`].
pub const FIELDS: [&str; 7] =
    ["x-tenant", "authorization", "x-request-id", "origin", "if-match", "if-none-match", "accept"];
/// As many as a validation may ask for.
pub const POSTED: usize = 4;

/// A request that was passed as one text. It has no body, no address and no other header.
pub struct RequestText<'a> {
    method: &'a str,
    url: &'a str,
    fields: [Option<&'a str>; FIELDS.len()],
    brought: usize,
    lacking: Cell<bool>,
}

impl<'a> RequestText<'a> {
    /// Reads the text; `None` if it is not of this form.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (method, url) = (lines.next()?, lines.next()?);
        let (mut fields, mut brought) = ([None; FIELDS.len()], 0);
        for (field, line) in fields.iter_mut().zip(lines) {
            *field = line.strip_prefix('=');
            brought += 1;
        }
        Some(Self { method, url, fields, brought, lacking: Cell::new(false) })
    }

    /// Whether more was asked of it than it has: then what was concluded from it does not count.
    #[must_use]
    pub fn was_lacking(&self) -> bool {
        self.lacking.get()
    }
}

impl Incoming for RequestText<'_> {
    fn method(&self) -> String {
        self.method.to_owned()
    }

    fn url(&self) -> String {
        self.url.to_owned()
    }

    fn header(&self, name: &str) -> Option<String> {
        let at = FIELDS.iter().position(|field| *field == name).filter(|at| *at < self.brought);
        if at.is_none() {
            self.lacking.set(true);
        }
        self.fields.get(at?)?.map(str::to_owned)
    }

    /// The synchronous way counts nothing by network.
    fn client(&self) -> String {
        String::new()
    }

    fn place(&self) -> [Option<String>; 2] {
        self.lacking.set(true);
        [None, None]
    }

    async fn body(&self, _limit: usize) -> Result<Vec<u8>, BodyError> {
        Err(BodyError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_not_brought_is_lacking() {
        let asked = RequestText::read("POST\nhttps://auth.example/\n\n=Bearer a.b.c\n=\n").unwrap();
        assert_eq!((asked.method(), asked.url()), ("POST".into(), "https://auth.example/".into()));
        let fields = FIELDS.map(|name| asked.header(name));
        assert_eq!(fields[..POSTED], [None, Some("Bearer a.b.c".into()), Some(String::new()), None]);
        assert!(asked.was_lacking());
        let asked = RequestText::read("GET\nhttps://auth.example/\n\n\n\n\n\n\n=*/*").unwrap();
        assert_eq!(asked.header("accept"), Some("*/*".into()));
        assert!(!asked.was_lacking());
        assert_eq!(asked.header("cookie"), None);
        assert!(asked.was_lacking());
        assert!(RequestText::read("POST").is_none());
    }

    #[test]
    fn the_entry_writes_the_same_headers() {
        let entry = include_str!("../entry/index.mjs");
        assert!(entry.contains(&format!("const FIELDS = {FIELDS:?};")));
        assert!(entry.contains(&format!("const POSTED = FIELDS.slice(0, {POSTED});")));
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in "\\PC{0,60}|[=\n A-Z/]{0,30}") {
            if let Some(asked) = RequestText::read(&text) {
                let _ = (asked.method(), asked.url(), FIELDS.map(|name| asked.header(name)));
            }
        }
    }
}
