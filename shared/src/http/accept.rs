//! Proactive negotiation by `Accept` (RFC 9110, section 12.5.1).
//!
//! The published crates for it refuse the whole field for one element that they cannot read, which
//! `java.net.HttpURLConnection` sends by default (`*; q=.2`), and compare parameters that no representation
//! here has (`application/json; indent=4`, which clients of REST framework send).

/// How precisely a range matches a representation; a later variant takes precedence (RFC 9110, section 12.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// `*/*`.
    Any,
    /// `type/*`.
    Type,
    /// The very media type, with parameters that the representation has not.
    Parameters,
    /// The very media type.
    Exact,
}

struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    plain: bool,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None` for a malformed media range, which is ignored.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = unquoted(text, ';').map(str::trim);
        let essence = parts.next().filter(|essence| !essence.is_empty())?;
        let (kind, subtype) = match essence {
            "*" => ("*", "*"),
            _ => essence.split_once('/')?,
        };
        let (mut plain, mut quality) = (true, 1000);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim() {
                "q" | "Q" => quality = thousandths(value.trim()),
                name => plain &= name.is_empty(),
            }
        }
        Some(Self { kind, subtype, plain, quality })
    }

    fn fit(&self, media_type: &str) -> Option<Fit> {
        let (kind, subtype) = media_type.split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", "*") => Some(Fit::Any),
            (named, "*") => named.eq_ignore_ascii_case(kind).then_some(Fit::Type),
            (named, of) if named.eq_ignore_ascii_case(kind) && of.eq_ignore_ascii_case(subtype) => {
                Some(if self.plain { Fit::Exact } else { Fit::Parameters })
            }
            _ => None,
        }
    }
}

/// A weight (RFC 9110, section 12.4.2) in thousandths. Digits may be missing before the point; a malformed weight
/// counts as absent.
fn thousandths(weight: &str) -> u16 {
    let plain = weight.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = weight.parse::<f32>().ok().filter(|_| plain).unwrap_or(1.0);
    // At most 1000, which fits.
    (value.min(1.0) * 1000.0).round() as u16
}

/// Parts a text where it has `separator`, save in a quoted string (RFC 9110, section 5.6.4).
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |char| {
        if escaped {
            escaped = false;
            return false;
        }
        match char {
            '"' => quoted = !quoted,
            '\\' => escaped = quoted,
            _ => {}
        }
        char == separator && !quoted
    })
}

/// The preferred representation of a request, from `offered` (media type and value), which begins with the default.
///
/// With equal weights, the more precisely named one is chosen, then the one that is offered first. `None` if none is
/// acceptable.
#[must_use]
pub fn negotiate<T: Copy>(accept: Option<&str>, offered: &[(&str, T)]) -> Option<T> {
    let ranges: Vec<_> = unquoted(accept.unwrap_or_default(), ',').filter_map(Range::parse).collect();
    if ranges.is_empty() {
        return offered.first().map(|(_, meaning)| *meaning);
    }
    let mut best: Option<((u16, Fit), T)> = None;
    for (media_type, meaning) in offered {
        let fits = ranges.iter().filter_map(|range| Some((range.fit(media_type)?, range.quality)));
        let Some((fit, quality)) = fits.max() else { continue };
        let better = best.is_none_or(|(before, _)| before < (quality, fit));
        if quality > 0 && better {
            best = Some(((quality, fit), *meaning));
        }
    }
    best.map(|(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFERED: [(&str, char); 3] =
        [("application/json", 'j'), ("application/x-pem-file", 'p'), ("text/plain", 't')];

    fn chosen(accept: &str) -> Option<char> {
        negotiate(Some(accept), &OFFERED)
    }

    #[test]
    fn precedence_and_weights() {
        assert_eq!(negotiate(None, &OFFERED), Some('j'));
        for (accept, expected) in [
            ("", Some('j')),
            ("  ,, ", Some('j')),
            ("nonsense", Some('j')),
            ("*/*", Some('j')),
            ("*", Some('j')),
            ("application/json, text/plain, */*", Some('j')),
            ("text/plain, application/json", Some('j')),
            ("text/plain, */*", Some('t')),
            ("text/*;q=0.5, application/*;q=0.4", Some('t')),
            ("application/json;q=0, application/*", Some('p')),
            ("application/*;q=0, */*;q=0.001", Some('t')),
            ("text/plain;format=flowed;q=0, text/plain", Some('t')),
            ("text/plain;format=flowed;q=0, */*", Some('j')),
            ("application/json; indent=4", Some('j')),
            ("text/html, image/gif, *; q=.2, */*; q=.2", Some('j')),
            ("text/plain;q=nonsense, application/json;q=0.9", Some('t')),
            ("text/plain;q=7, application/json", Some('j')),
            ("text/plain;x=\"a, application/x-pem-file\"", Some('t')),
            ("text/plain;x=\"\\\", application/x-pem-file\"", Some('t')),
            ("TEXT/PLAIN;Q=0.3", Some('t')),
            ("text/html", None),
            ("*/*;q=0", None),
            ("text/plain;q=0", None),
            ("text/plain;q=0.0000", None),
            ("*/json", None),
        ] {
            assert_eq!(chosen(accept), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn any_field_is_safe(accept in "\\PC{0,60}|([a-t*/;=q.,0-9 \"\\\\]|text/plain){0,20}") {
            let _ = chosen(&accept);
        }

        #[test]
        fn a_zero_for_everything_else_leaves_one(at in 0usize..3) {
            let refused = OFFERED.iter().enumerate().filter(|(other, _)| *other != at);
            let refused: String = refused.map(|(_, (name, _))| format!("{name};q=0,")).collect();
            prop_assert_eq!(chosen(&format!("{refused}*/*;q=0.1")), Some(OFFERED[at].1));
        }
    }
}
