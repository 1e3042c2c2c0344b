//! Texts that people chose, on their way into a mail: as text, on one line, in one direction.

/// Without control characters, line breaks of any kind, marks that turn the direction of what follows, and characters that
/// are not seen; at most `most` characters.
#[must_use]
pub(super) fn plain(text: &str, most: usize) -> String {
    let seen: String = text
        .chars()
        .filter(|c| !is_unseen(*c))
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .collect();
    let words = seen.split(' ').filter(|word| !word.is_empty());
    let text: String = words.collect::<Vec<_>>().join(" ").chars().take(most).collect();
    text.trim_end().to_owned()
}

/// Marks of direction (Unicode Standard Annex 9, section 2), and the characters of no width that have no use in a name. The
/// joiners U+200C and U+200D have one in several scripts.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{061c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200b}'
            | '\u{2060}'..='\u{2064}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_one_line_in_one_direction() {
        for (text, expected) in [
            ("Ada Lovelace", "Ada Lovelace"),
            ("Ada\r\nBcc: eve@example.org", "Ada Bcc: eve@example.org"),
            ("Ada\u{85}\u{2028}x\u{2029}\u{b}\u{c}y", "Ada x y"),
            ("\u{202e}adA\u{2066}\u{200f}", "adA"),
            ("\"Ada\" <eve@example.org>", "\"Ada\" <eve@example.org>"),
            ("Žofie \u{1f469}\u{200d}\u{1f52c}", "Žofie \u{1f469}\u{200d}\u{1f52c}"),
            ("\0\u{1b}[31m", "[31m"),
            ("  a  b  ", "a b"),
        ] {
            assert_eq!(plain(text, 100), expected, "{text:?}");
        }
        assert_eq!(plain(&"é".repeat(254), 100), "é".repeat(100));
        assert_eq!(plain(&"Ada ".repeat(64), 100), "Ada ".repeat(25).trim_end());
    }

    proptest! {
        #[test]
        fn nothing_breaks_a_line(text: String) {
            let plain = plain(&text, 64);
            let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            prop_assert!(!plain.chars().any(breaks));
            prop_assert!(plain.chars().count() <= 64);
        }
    }
}
