//! `ETag`, `If-None-Match` and `If-Match` (RFC 9110, sections 8.8.3 and 13): one comparison for both sides.
//!
//! Wardgate's validators are strong and identify one representation: of one object or tenant, in one format, at one
//! revision. Cloudflare, before every edge, makes strong tags weak
//! (developers.cloudflare.com/cache/reference/etag-headers), and so does any proxy that compresses. A client sends
//! back the tag that it received; strictly by section 13.1.1, no client behind Cloudflare could use `If-Match`. So a
//! weak tag is accepted there if its opaque part matches. It still identifies the exact bytes, because Wardgate does
//! not issue weak tags.

use std::fmt;

use crate::contract::refusal::Refusal;

/// The validator of a representation, as `ETag` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    opaque: String,
    /// The part of the tag before the first `.`, if a change is compared only by that part.
    state: Option<String>,
}

impl Validator {
    /// The validator that consists of `names`, which may only have `[A-Za-z0-9._~-]`.
    #[must_use]
    pub fn new(names: &str) -> Self {
        Self { opaque: names.to_owned(), state: None }
    }

    /// The validator of an editable object: `state`, without a `.`, identifies the editable fields, and
    /// `representation` the whole answer. `If-Match` compares only the first, so that a change is refused only if
    /// another one would be lost.
    #[must_use]
    pub fn of_state(state: &str, representation: &str) -> Self {
        Self { opaque: format!("{state}.{representation}"), state: Some(state.to_owned()) }
    }
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.opaque)
    }
}

/// The tags of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`.
    Any,
    /// The opaque parts, of weak and of strong ones.
    Listed(Vec<String>),
}

impl Tags {
    /// `None` for a malformed list of entity tags.
    fn parse(field: &str) -> Option<Self> {
        let blank = |char| matches!(char, ' ' | '\t');
        if field.trim_matches(blank) == "*" {
            return Some(Self::Any);
        }
        let mut listed = Vec::new();
        let mut rest = field;
        loop {
            // A recipient accepts empty elements (RFC 9110, section 5.6.1.2).
            rest = rest.trim_start_matches(|char| blank(char) || char == ',');
            if rest.is_empty() {
                return (!listed.is_empty()).then_some(Self::Listed(listed));
            }
            let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
            let (opaque, after) = quoted.split_once('"')?;
            if opaque.chars().any(|char| char <= ' ' || char == '\u{7f}') {
                return None;
            }
            listed.push(opaque.to_owned());
            rest = after.trim_start_matches(blank);
            if !(rest.is_empty() || rest.starts_with(',')) {
                return None;
            }
        }
    }

    fn name(&self, current: &Validator) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.contains(&current.opaque),
        }
    }

    fn name_state(&self, current: &Validator) -> bool {
        match (self, &current.state) {
            (Self::Any, _) => true,
            (Self::Listed(_), None) => self.name(current),
            (Self::Listed(listed), Some(state)) => {
                listed.iter().any(|opaque| opaque.split_once('.').is_some_and(|(read, _)| read == state))
            }
        }
    }
}

/// The result of evaluating conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The conditions are met.
    Proceed,
    /// The client has this very representation: 304.
    NotModified,
    /// They are not met: 412.
    Failed,
}

/// The conditions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

impl Conditions {
    /// Parses both fields, the lines of each joined by commas. A malformed `If-None-Match` is ignored; a malformed
    /// `If-Match` is refused, because its intent is unknown.
    ///
    /// # Errors
    /// 400 for a malformed `If-Match`.
    pub fn parse(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self, Refusal> {
        let unreadable = || Refusal::field("if-match", "Enter entity tags.");
        let if_match = if_match.map(|field| Tags::parse(field).ok_or_else(unreadable)).transpose()?;
        Ok(Self { if_match, if_none_match: if_none_match.and_then(Tags::parse) })
    }

    /// Whether the request has conditions.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Evaluates the conditions of a GET or HEAD against `current`, in the order of RFC 9110, section 13.2.2.
    #[must_use]
    pub fn on_read(&self, current: &Validator) -> Verdict {
        if self.if_match.as_ref().is_some_and(|tags| !tags.name(current)) {
            Verdict::Failed
        } else if self.if_none_match.as_ref().is_some_and(|tags| tags.name(current)) {
            Verdict::NotModified
        } else {
            Verdict::Proceed
        }
    }

    /// Whether the object with the validator `current` may be changed.
    #[must_use]
    pub fn on_change(&self, current: &Validator) -> bool {
        self.if_match.as_ref().is_none_or(|tags| tags.name_state(current))
            && !self.if_none_match.as_ref().is_some_and(|tags| tags.name(current))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_read(if_match: Option<&str>, if_none_match: Option<&str>) -> Option<Verdict> {
        let conditions = Conditions::parse(if_match, if_none_match).ok()?;
        Some(conditions.on_read(&Validator::new("a.1")))
    }

    #[test]
    fn lists_weak_tags_and_stars() {
        assert_eq!(on_read(None, None), Some(Verdict::Proceed));
        for same in [
            "\"a.1\"",
            "W/\"a.1\"",
            "*",
            " * ",
            "\"x\", W/\"a.1\"",
            ",, \"x,y\" ,\"a.1\"\t,",
            "\"x\",\"a.1\"",
        ] {
            assert_eq!(on_read(None, Some(same)), Some(Verdict::NotModified), "{same}");
            assert_eq!(on_read(Some(same), None), Some(Verdict::Proceed), "{same}");
        }
        for other in ["\"a.2\"", "\"A.1\"", "\"*\"", "\"x\", \"\"", "\"x,\\\"", "W/\"x\""] {
            assert_eq!(on_read(None, Some(other)), Some(Verdict::Proceed), "{other}");
            assert_eq!(on_read(Some(other), None), Some(Verdict::Failed), "{other}");
        }
        for unreadable in [
            "",
            ",",
            "a.1",
            "\"a.1",
            "a.1\"",
            "w/\"a.1\"",
            "W/ \"a.1\"",
            "\"x\" \"a.1\"",
            "*, \"a.1\"",
            "\"a 1\"",
        ] {
            assert_eq!(on_read(None, Some(unreadable)), Some(Verdict::Proceed), "{unreadable}");
            assert_eq!(on_read(Some(unreadable), None), None, "{unreadable}");
        }
    }

    #[test]
    fn if_match_is_judged_first() {
        assert_eq!(on_read(Some("\"x\""), Some("\"a.1\"")), Some(Verdict::Failed));
        assert_eq!(on_read(Some("\"a.1\""), Some("\"a.1\"")), Some(Verdict::NotModified));
    }

    #[test]
    fn a_change_needs_both_to_hold() {
        let may = |if_match, if_none_match| {
            Conditions::parse(if_match, if_none_match).unwrap().on_change(&Validator::new("a.1"))
        };
        assert!(may(None, None) && may(Some("*"), None) && may(None, Some("\"x\"")));
        assert!(!may(Some("\"x\""), None) && !may(None, Some("*")) && !may(None, Some("\"a.1\"")));
    }

    #[test]
    fn a_change_is_judged_by_the_state_that_was_read() {
        let may = |if_match| {
            let conditions = Conditions::parse(Some(if_match), None).unwrap();
            conditions.on_change(&Validator::of_state("a", "2"))
        };
        for same in ["\"a.1\"", "W/\"a.2\"", "\"x\", \"a.\"", "*"] {
            assert!(may(same), "{same}");
        }
        for other in ["\"b.2\"", "\"a\"", "\"2\"", "\"aa.2\""] {
            assert!(!may(other), "{other}");
        }
        let read = Conditions::parse(None, Some("\"a.1\"")).unwrap();
        assert_eq!(read.on_read(&Validator::of_state("a", "2")), Verdict::Proceed, "the copy is another");
    }

    proptest! {
        #[test]
        fn any_field_is_safe(field in "\\PC{0,40}|[W/\"a.1, *]{0,20}") {
            let _ = on_read(Some(&field), Some(&field));
        }
    }
}
