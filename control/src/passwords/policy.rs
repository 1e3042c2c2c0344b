//! What is refused as a password, in the words that clients of the legacy service know.
//!
//! No composition rules (NIST SP 800-63B, section 3.1.1.2): length, guessability, likeness to the
//! user's own names. "Entirely numeric" is said of guessable ones alone.

use shared::identifiers::folded;
use shared::passwords::Password;
use zxcvbn::Score;

/// As Django: at this share of common characters a password is too similar to a name.
const SIMILAR: f64 = 0.7;

/// The names that a password must not resemble.
#[derive(Clone, Copy, Default)]
pub struct Names<'a> {
    /// User name.
    pub username: &'a str,
    /// Address, or empty.
    pub email: &'a str,
    /// First name, or empty.
    pub first_name: &'a str,
    /// Last name, or empty.
    pub last_name: &'a str,
}

/// Everything that is wrong with `password`; empty if it may be used.
#[must_use]
pub fn faults(password: &Password, least_characters: u64, names: Names<'_>) -> Vec<String> {
    let text = password.expose();
    let mut faults = Vec::new();
    if let Some(name) = resembled(text, names) {
        faults.push(format!("The password is too similar to the {name}."));
    }
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if length < least_characters {
        faults.push(format!(
            "This password is too short. It must contain at least {least_characters} characters."
        ));
    }
    if is_common(text) {
        faults.push(String::from("This password is too common."));
        if text.chars().all(|c| c.is_ascii_digit()) {
            faults.push(String::from("This password is entirely numeric."));
        }
    }
    faults
}

/// Guessed within a million tries by zxcvbn's dictionaries and patterns.
fn is_common(text: &str) -> bool {
    matches!(zxcvbn::zxcvbn(text, &[]).score(), Score::Zero | Score::One)
}

fn resembled(password: &str, names: Names<'_>) -> Option<&'static str> {
    let password = folded(password);
    [
        ("username", names.username),
        ("first name", names.first_name),
        ("last name", names.last_name),
        ("email address", names.email),
    ]
    .into_iter()
    .find(|(_, name)| resembles(&password, &folded(name)))
    .map(|(label, _)| label)
}

/// Compares with the name and with each word of it, as Django's validator does.
fn resembles(password: &str, name: &str) -> bool {
    let words =
        name.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.chars().count() > 2);
    words
        .chain(std::iter::once(name))
        .filter(|word| !word.is_empty())
        .any(|word| ratio(password, word) >= SIMILAR)
}

/// Twice the characters that both have, counted with repeats, over all characters.
fn ratio(a: &str, b: &str) -> f64 {
    let mut rest: Vec<char> = b.chars().collect();
    let all = a.chars().count() + rest.len();
    let mut common = 0_u32;
    for c in a.chars() {
        if let Some(at) = rest.iter().position(|other| *other == c) {
            rest.swap_remove(at);
            common += 1;
        }
    }
    // Lengths are bounded by 1,024 bytes, far below what f64 holds exactly.
    2.0 * f64::from(common) / f64::from(u32::try_from(all).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(password: &str, least: u64) -> Vec<String> {
        let names = Names {
            username: "ada.lovelace",
            email: "ada@analytical.example",
            first_name: "Ada",
            last_name: "Lovelace",
        };
        faults(&Password::parse(password).unwrap(), least, names)
    }

    #[test]
    fn the_recorded_words_stand() {
        assert_eq!(
            said("123", 8),
            [
                "This password is too short. It must contain at least 8 characters.",
                "This password is too common.",
                "This password is entirely numeric.",
            ]
        );
        assert_eq!(said("Corr3ct-horse", 8), [""; 0]);
    }

    #[test]
    fn common_ones_are_refused_at_any_length() {
        for common in ["password123456789", "qwertyuiopasdfgh", "aaaaaaaaaaaaaaaa", "123456789012345"] {
            assert!(said(common, 15).contains(&"This password is too common.".to_owned()), "{common}");
        }
        for fine in ["correct horse battery staple", "8151623424208108", "Zug um sieben nach Ulm"] {
            assert_eq!(said(fine, 15), [""; 0], "{fine}");
        }
    }

    #[test]
    fn own_names_are_refused() {
        assert_eq!(said("Ada.Lovelace1", 8), ["The password is too similar to the username."]);
        assert_eq!(said("analytical-ex", 8), ["The password is too similar to the email address."]);
        // Names are stored as typed, a password in NFKC.
        let names =
            Names {
                username: "ｊｏｓｅ\u{301}ｐｈｉｎａ", last_name: "STRASSENBAU", ..Names::default()
            };
        let first = |password| faults(&Password::parse(password).unwrap(), 8, names).swap_remove(0);
        assert_eq!(first("Joséphina"), "The password is too similar to the username.");
        assert_eq!(first("Straßenbau"), "The password is too similar to the last name.");
    }
}
