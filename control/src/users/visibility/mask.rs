//! The masked form of a field. Pure.
//!
//! A mask reveals little: its length does not depend on that of the value, and a short or malformed value is hidden
//! completely. An empty value stays empty.

use std::net::IpAddr;

use chrono::{DateTime, NaiveTime, Utc};
use shared::identifiers::folded;
use shared::tenant::visibility::PersonalField;
use unicode_segmentation::UnicodeSegmentation as _;

/// Replaces the hidden part. A text that contains it counts as a mask where one is allowed.
pub const MASK: &str = "***";

/// Characters, as people count them, below which a text does not show its first.
const SHORT: usize = 3;
/// A character of more bytes than this could be made to say something.
const LONGEST_CHARACTER: usize = 16;
/// Digits behind the calling code below which a number does not show its last two.
const SHORT_NUMBER: usize = 7;
/// Digits behind the calling code below which a number does not show the code.
const SHORTEST_NUMBER: usize = 4;
/// Digits from which on a user name can be a telephone number.
const NUMBER: usize = 7;

/// `A***`.
pub fn name(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let mut characters = text.graphemes(true);
    let first = characters.next().unwrap_or_default();
    let is_long = characters.take(SHORT - 1).count() == SHORT - 1;
    let is_letter = first.chars().next().is_some_and(char::is_alphanumeric);
    let shown = if is_long && is_letter && first.len() <= LONGEST_CHARACTER { first } else { "" };
    format!("{shown}{MASK}")
}

/// `a***@example.org`.
pub fn address(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let is_domain =
        |domain: &str| !domain.is_empty() && !domain.chars().any(|c| c.is_whitespace() || c.is_control());
    match text.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && is_domain(domain) => {
            format!("{}@{domain}", name(local))
        }
        _ => String::from(MASK),
    }
}

/// `+44 *** 12`.
pub fn number(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let international = text.strip_prefix('+');
    if !international.unwrap_or(text).chars().all(is_of_a_number) {
        return String::from(MASK);
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let code = if international.is_some() { calling_code(&digits) } else { 0 };
    let Some((code, rest)) = digits.split_at_checked(code) else { return String::from(MASK) };
    let mut shown = String::new();
    if !code.is_empty() && rest.len() >= SHORTEST_NUMBER {
        shown = format!("+{code} ");
    }
    shown.push_str(MASK);
    if rest.len() >= SHORT_NUMBER {
        shown = format!("{shown} {}", rest.get(rest.len() - 2..).unwrap_or_default());
    }
    shown
}

/// Digits and what divides them.
fn is_of_a_number(c: char) -> bool {
    c.is_ascii_digit() || " -()./".contains(c)
}

/// How many digits of an international number are its calling code (ITU-T E.164, list of assigned codes).
fn calling_code(digits: &str) -> usize {
    const TWO: [&str; 44] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
        "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
        "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    match digits.get(..2) {
        Some(begin) if begin.starts_with(['1', '7']) => 1,
        Some(begin) if TWO.contains(&begin) => 2,
        _ => 3,
    }
}

/// The first moment of its day.
pub fn moment(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// `192.0.***`, `2001:db8:***`: the network of a large provider, of a client's address or network.
pub fn client(text: &str) -> String {
    let address = text.split('/').next().unwrap_or_default().trim();
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            let [a, b, ..] = address.octets();
            format!("{a}.{b}.{MASK}")
        }
        Ok(IpAddr::V6(address)) => {
            let [a, b, ..] = address.segments();
            format!("{a:x}:{b:x}:{MASK}")
        }
        Err(_) => String::from(MASK),
    }
}

/// The other field that a user name reveals: some tenants' user names are addresses or telephone numbers.
#[must_use]
pub fn also(username: &str) -> Option<PersonalField> {
    let username = folded(username);
    if username.contains('@') {
        return Some(PersonalField::Email);
    }
    let is_digit = |c: &char| c.is_numeric();
    let is_number = username.chars().all(|c| is_digit(&c) || "+-()./".contains(c));
    (is_number && username.chars().filter(is_digit).count() >= NUMBER).then_some(PersonalField::Phone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        for (text, shown) in [
            ("Ada", "A***"),
            ("Lovelace", "L***"),
            (" Ada ", "A***"),
            ("", ""),
            ("  ", ""),
            ("A", "***"),
            ("Al", "***"),
            // Two characters, however many code points they are.
            ("e\u{301}a\u{308}", "***"),
            ("e\u{301}va", "e\u{301}***"),
            ("李小龙", "李***"),
            ("李明", "***"),
            ("नमस्ते", "न***"),
            ("👩‍👩‍👧", "***"),
            ("👩‍👩‍👧abc", "***"),
            ("\u{202e}abc", "***"),
            ("'abc", "***"),
            ("***", "***"),
        ] {
            assert_eq!(name(text), shown, "{text}");
        }
        let stacked = format!("a{}bc", "\u{301}".repeat(20));
        assert_eq!(name(&stacked), MASK);
    }

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("ada@example.org", "a***@example.org"),
            ("a@example.org", "***@example.org"),
            ("ad@example.org", "***@example.org"),
            ("ada@bücher.example", "a***@bücher.example"),
            ("ada@b@example.org", "a***@example.org"),
            ("\"a b\"@example.org", "***@example.org"),
            ("", ""),
            ("ada", "***"),
            ("ada@", "***"),
            ("@example.org", "***"),
            ("ada@exa mple", "***"),
        ] {
            assert_eq!(address(text), shown, "{text}");
        }
    }

    #[test]
    fn numbers() {
        for (text, shown) in [
            ("+44 7700 900112", "+44 *** 12"),
            ("+447700900112", "+44 *** 12"),
            ("+1 (555) 010-0199", "+1 *** 99"),
            ("+7 495 123-45-67", "+7 *** 67"),
            ("+353 1 234 5678", "+353 *** 78"),
            ("07700 900112", "*** 12"),
            ("123456", "***"),
            ("1234567", "*** 67"),
            ("+44", "***"),
            ("+44 123", "***"),
            ("+44 1234", "+44 ***"),
            ("+4", "***"),
            ("+", "***"),
            ("", ""),
            ("call ada", "***"),
            ("+44 7700 900112 ext 5", "***"),
            ("+44+7700900112", "***"),
            ("٠١٢٣٤٥٦٧٨٩", "***"),
        ] {
            assert_eq!(number(text), shown, "{text}");
        }
    }

    #[test]
    fn clients() {
        for (text, shown) in [
            ("192.0.2.7", "192.0.***"),
            ("192.0.2.0/24", "192.0.***"),
            ("::ffff:192.0.2.7", "192.0.***"),
            ("2001:db8:1:2::7", "2001:db8:***"),
            ("2001:db8:1:2::/64", "2001:db8:***"),
            ("ada.example", "***"),
            ("", "***"),
        ] {
            assert_eq!(client(text), shown, "{text}");
        }
    }

    #[test]
    fn a_user_name_may_be_an_address_or_a_number() {
        for (username, expected) in [
            ("ada", None),
            ("ada.lovelace", None),
            ("ada@example.org", Some(PersonalField::Email)),
            ("ada＠example.org", Some(PersonalField::Email)),
            ("+447700900112", Some(PersonalField::Phone)),
            ("(07700)900112", Some(PersonalField::Phone)),
            ("０７７００９００", Some(PersonalField::Phone)),
            ("٠١٢٣٤٥٦٧", Some(PersonalField::Phone)),
            ("123456", None),
            ("1234567", Some(PersonalField::Phone)),
            ("a1234567", None),
        ] {
            assert_eq!(also(username), expected, "{username}");
        }
    }

    proptest! {
        /// Of a text without a domain, at most one character and two digits are left.
        #[test]
        fn a_mask_is_bounded(text in "\\PC{0,60}") {
            prop_assert!(name(&text).len() <= LONGEST_CHARACTER + MASK.len());
            prop_assert!(number(&text).len() <= "+999 *** 99".len());
            prop_assert!(client(&text).len() <= "ffff:ffff:***".len());
            let local = text.replace('@', "");
            prop_assert!(address(&local).len() <= MASK.len());
            let masked = address(&format!("{local}@example.org"));
            prop_assert!(masked.len() <= LONGEST_CHARACTER + "***@example.org".len());
        }

        #[test]
        fn texts_that_begin_alike_look_alike(begin in "[a-z]", one in "[a-z]{2,20}", other in "[a-z]{2,20}") {
            prop_assert_eq!(name(&format!("{begin}{one}")), name(&format!("{begin}{other}")));
        }
    }
}
